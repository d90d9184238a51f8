"""Real processes without their identity provider.

Keys at hand serve on, and revocations spread. A region that starts without keys refuses until the provider is back,
while the edge has the other one answer.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request
from proa.local.cluster import Cluster

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "authorizer"))
from idp import IdentityProvider, serving

pytestmark = pytest.mark.processes
EU, US = "eu-west-1", "us-east-1"
URL = "SHOP_JWKS_URL"
APP = """
import os
from proa import App, Context, Oidc, Principal

app = App("shop", regions=["eu-west-1", "us-east-1"], lease_s=1)
provider = Oidc(
    "https://idp.example", audience="authorizer", jwks_url=os.environ["SHOP_JWKS_URL"], fresh_s=1, cooldown_s=0.5
)
auth = app.authenticate(provider, recheck_s=0.2)

@app.get("/me")
async def me(who: Principal) -> str:
    return who.subject

@app.post("/log-out")
async def log_out(who: Principal, ctx: Context) -> None:
    await auth.revoke(who, ctx)
"""


class Clients:
    """Clients of one system, each with a token of its own."""

    def __init__(self, cluster, provider):
        self.cluster = cluster
        self.provider = provider

    async def ask(self, url, token, method="GET", path="/me"):
        client = HttpClient(url)
        answer = await client.send(Request(method, path, headers=(("authorization", f"Bearer {token}"),)), 5)
        client.close()
        return answer

    async def status(self, region, token, method="GET", path="/me"):
        return (await self.ask(self.cluster.region_url(region), token, method, path)).status

    async def until(self, region, token, status, within_s=10):
        deadline = time.monotonic() + within_s
        while (found := await self.status(region, token)) != status:
            assert time.monotonic() < deadline, f"{region} still answers {found}"
            await asyncio.sleep(0.05)


async def story(clients, provider_stack):
    cluster, new = clients.cluster, clients.provider.issue
    known = new("ada")
    for region in (EU, US):
        await clients.until(region, known, 200)

    await provider_stack.aclose()
    await asyncio.sleep(1.5)  # the keys have aged
    fresh = new("grace")
    assert [await clients.status(region, token) for region in (EU, US) for token in (known, fresh)] == [200] * 4

    assert await clients.status(EU, known, "POST", "/log-out") == 204
    await clients.until(US, known, 401)
    assert await clients.status(US, fresh) == 200

    await cluster.restart(US)
    await clients.until(US, fresh, 503)
    refused = await clients.ask(cluster.region_url(US), fresh)
    assert msgspec.json.decode(refused.body)["code"] == "PROA-I001"
    assert (await clients.ask(cluster.edge_url, fresh)).status == 200
    return fresh


def test_an_outage_of_the_provider_is_survived_with_the_keys_at_hand(tmp_path, monkeypatch):
    (tmp_path / "app.py").write_text(APP)
    provider = IdentityProvider()

    async def main():
        outage = AsyncExitStack()
        url = await outage.enter_async_context(serving(provider, 0))
        monkeypatch.setenv(URL, url)
        async with Cluster(str(tmp_path), tmp_path / "state") as cluster:
            clients = Clients(cluster, provider)
            fresh = await story(clients, outage)
            async with serving(provider, int(url.split(":")[2].split("/")[0])):
                await clients.until(US, fresh, 200)

    asyncio.run(main())
