"""Which global store a system of processes gets, and what whoever starts one is told where that cannot be had."""

import asyncio
import stat
import sys

import psycopg
import pytest

from proa.errors import GlobalStoreUnreachable, UsageError
from proa.local.cluster import Cluster
from proa.local.stores import emptied, in_database
from support.ports import free_port

APP = """
from proa import App

app = App("shop", regions=["eu", "us"])
"""


def test_without_the_driver_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "proa.engines.postgres.connections", None)
    with pytest.raises(UsageError, match=r"pip install 'proa\[postgres\]'"):
        in_database("postgresql://proa@127.0.0.1/none")


@pytest.mark.parametrize(
    "url", ["mysql://proa:s3cret@db/x", "proa:s3cret", "postgresql://proa:s3/cret@db:1/x", "postgresql://a:s3@cret@b/x"]
)
def test_what_is_no_address_of_a_database_is_refused_without_repeating_it(url):
    with pytest.raises(UsageError, match="postgresql://USER:PASSWORD@HOST:PORT/DATABASE") as told:
        in_database(url)
    assert "s3" not in str(told.value)


def test_a_system_whose_database_cannot_be_reached_does_not_start_and_tells_no_password(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    url = f"postgresql://proa:s3cret@127.0.0.1:{free_port()}/none"

    async def main():
        async with Cluster(str(tmp_path), tmp_path / "state", global_store=url):
            pass

    with pytest.raises(GlobalStoreUnreachable, match="Connection refused") as told:
        asyncio.run(main())
    assert "s3cret" not in str(told.value)
    assert not (tmp_path / "state" / "logs").exists(), "no node was started"
    assert stat.S_IMODE((tmp_path / "state" / "cluster.json").stat().st_mode) == 0o600


def test_a_drill_gets_a_schema_of_its_own_that_begins_with_nothing(postgres_server):
    async def rows(url):
        store = in_database(url, timeout_s=10)
        try:
            await store.prepared()
            return (await store.view([])).revision
        finally:
            await store.close()

    async def main():
        return [await rows(await emptied(postgres_server.url, "shop-drill")) for _ in range(2)]

    assert asyncio.run(main()) == [0, 0]
    with psycopg.connect(postgres_server.url) as connection:
        connection.execute("SELECT * FROM proa_shop_drill.proa_counters")
        connection.execute("DROP SCHEMA proa_shop_drill CASCADE")
