"""The global store of a system of processes: the witness's over the link, or the database that is configured."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from proa.engines.schemas import Progress, unwatched
from proa.errors import UsageError
from proa.ports import Clock, Entropy, GlobalStore, Link, Schema
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.config import ClusterConfig
from proa.runtime.global_client import CALL_TIMEOUT_S, GlobalClient

if TYPE_CHECKING:
    from proa.engines.postgres.global_store import PostgresGlobalStore

CLOCK, ENTROPY = SystemClock(), SystemEntropy()


@asynccontextmanager
async def global_store(
    config: ClusterConfig,
    link: Link,
    schemas: Mapping[str, Schema] | None = None,
    progress: Progress = unwatched,
    clock: Clock = CLOCK,
    entropy: Entropy = ENTROPY,
) -> AsyncGenerator[GlobalStore]:
    """The store of a system, as long as the block runs. `schemas` are declared by nodes alone."""
    if not config.global_store:
        yield GlobalClient(link, clock, config.node("witness"))
        return
    store = in_database(config.global_store, clock, entropy, schemas, progress)
    try:
        yield store
    finally:
        await store.close()


def in_database(
    url: str,
    clock: Clock = CLOCK,
    entropy: Entropy = ENTROPY,
    schemas: Mapping[str, Schema] | None = None,
    progress: Progress = unwatched,
    timeout_s: float = CALL_TIMEOUT_S,
) -> PostgresGlobalStore:
    """The store in a database.

    Raises:
        UsageError: the driver is missing, or this is no address of a database.
    """
    try:
        from proa.engines.postgres.connections import address_of
        from proa.engines.postgres.global_store import PostgresGlobalStore
    except ImportError as error:
        raise _driver_missing(error) from error
    return PostgresGlobalStore(address_of(url), clock, entropy, schemas, progress, timeout_s)


async def emptied(url: str, name: str) -> str:
    """The address of the same database with a schema of this name as all that there is, and nothing in it."""
    try:
        from proa.engines.postgres.tables import emptied_schema
    except ImportError as error:
        raise _driver_missing(error) from error
    return await emptied_schema(url, name)


def _driver_missing(error: ImportError) -> UsageError:
    return UsageError(f"a global store in PostgreSQL needs `pip install 'proa[postgres]'`: {error}")
