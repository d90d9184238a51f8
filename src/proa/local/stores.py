"""The global store of a system of processes: the witness's over the link, or the database that is configured."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from proa.engines.schemas import Progress, unwatched
from proa.errors import UsageError
from proa.ports import GlobalStore, Link, Schema
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.config import DATABASE, Address, ClusterConfig
from proa.runtime.global_client import CALL_TIMEOUT_S, GlobalClient

if TYPE_CHECKING:
    from proa.engines.postgres.global_store import PostgresGlobalStore


@asynccontextmanager
async def global_store(
    config: ClusterConfig,
    link: Link,
    caller: str,
    schemas: Mapping[str, Schema] | None = None,
    progress: Progress = unwatched,
) -> AsyncGenerator[GlobalStore]:
    """The store of a system as `caller` reaches it, as long as the block runs. Regions alone declare `schemas`."""
    if not config.global_store:
        yield GlobalClient(link, SystemClock(), config.node("witness"))
        return
    store = in_database(config.global_store, schemas, progress, via=config.via.get(caller, {}).get(DATABASE))
    try:
        yield store
    finally:
        await store.close()


def in_database(
    url: str,
    schemas: Mapping[str, Schema] | None = None,
    progress: Progress = unwatched,
    timeout_s: float = CALL_TIMEOUT_S,
    via: Address | None = None,
) -> PostgresGlobalStore:
    """The store in a database.

    Raises:
        UsageError: the driver is missing, or this is no address of a database.
    """
    with _driver():
        from proa.engines.postgres.connections import address_of
        from proa.engines.postgres.global_store import PostgresGlobalStore
    address = address_of(url, (via.host, via.port) if via else None)
    return PostgresGlobalStore(address, SystemClock(), SystemEntropy(), schemas, progress, timeout_s)


def place_of(url: str) -> Address | None:
    """Where a database listens; None where that is no single place of the network."""
    with _driver():
        from proa.engines.postgres.connections import address_of
    place = address_of(url).place
    return Address(*place) if place else None


async def emptied(url: str, name: str) -> str:
    """The address of the same database with a schema of this name as all that there is, and nothing in it."""
    with _driver():
        from proa.engines.postgres.tables import emptied_schema
    return await emptied_schema(url, name)


@contextmanager
def _driver() -> Generator[None]:
    """What the block imports needs the database's driver."""
    try:
        yield
    except ImportError as error:
        raise UsageError(f"a global store in PostgreSQL needs `pip install 'proa[postgres]'`: {error}") from error
