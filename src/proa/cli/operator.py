"""`proa operator ...`: the people who may operate a system.

Whoever may read the system's `cluster.json` may name operators; the tokens are stored as salted hashes and shown once.
"""

from __future__ import annotations

import asyncio
import getpass
import sys
from pathlib import Path
from typing import Literal

from cyclopts import App as Cli

from proa.cli.output import OK, print_json, print_table
from proa.cli.systems import global_store
from proa.control import operators
from proa.control.operators import OperatorRole
from proa.operate.reach import find
from proa.runtime.clock import SystemEntropy
from proa.runtime.config import ClusterConfig

operator = Cli(name="operator", result_action="return_value", help_format="plaintext")


@operator.command
def add(
    name: str,
    *,
    role: Literal["viewer", "operator", "approver"] = "operator",
    state_dir: Path | None = None,
    json: bool = False,
) -> int:
    """Add an operator and show the token, once.

    Args:
        name: short and in lower case.
        role: viewer looks, operator also requests and aborts, approver also approves.
        state_dir: the system's state directory; the one that runs below `.proa` unless given.
        json: print JSON.
    """
    token = asyncio.run(_add(find(state_dir), name, role))
    if json:
        print_json({"name": name, "role": role, "token": token})
    else:
        sys.stdout.write(f"{token}\n")
    return OK


@operator.command(name="list")
def list_all(*, state_dir: Path | None = None, json: bool = False) -> int:
    """List the operators.

    Args:
        state_dir: the system's state directory; the one that runs below `.proa` unless given.
        json: print JSON.
    """
    found = asyncio.run(_every(find(state_dir)))
    if json:
        print_json([{"name": one.name, "role": one.role} for one in found])
    else:
        print_table(("NAME", "ROLE"), [(one.name, one.role) for one in found])
    return OK


@operator.command
def remove(name: str, *, state_dir: Path | None = None, json: bool = False) -> int:
    """Remove an operator; the token is worth nothing from now on.

    Args:
        name: whom.
        state_dir: the system's state directory; the one that runs below `.proa` unless given.
        json: print JSON.
    """
    asyncio.run(_remove(find(state_dir), name))
    if json:
        print_json({"name": name, "removed": True})
    return OK


async def _add(config: ClusterConfig, name: str, role: OperatorRole) -> str:
    async with global_store(config) as store:
        return await operators.add(store, name, role, SystemEntropy(), by=getpass.getuser())


async def _every(config: ClusterConfig) -> list[operators.Operator]:
    async with global_store(config) as store:
        return await operators.every(store)


async def _remove(config: ClusterConfig, name: str) -> None:
    async with global_store(config) as store:
        await operators.remove(store, name, SystemEntropy(), by=getpass.getuser())
