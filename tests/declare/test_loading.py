"""What importing and declaring loads: a function starts with what it uses, and no more."""

import subprocess
import sys

SERVING = "import proa, proa.runtime.gateway, proa.runtime.invoke, proa.engines.sqlite.region_store"
PLAIN = """
from dataclasses import dataclass

@dataclass
class Order:
    id: str
    total: int

app = proa.App("orders", regions=["a", "b"])
orders = app.table("orders", Order, key="id")

@app.post("/orders", idempotent=True)
async def create(order: Order) -> Order:
    await orders.put(order)
    return order
"""
MERGING = """
from __future__ import annotations
from dataclasses import dataclass
import proa

@dataclass
class Play:
    id: str
    count: proa.merge.Counter

proa.App("plays", regions=["a", "b"]).table("plays", Play, key="id")
"""
NOT_NEEDED = {
    "proa.core.replicate.crdt",
    "proa.core.replicate.merge",
    "proa.core.replicate.siblings",
    "proa.declare.queries",
    "proa.declare.residency",
    "proa.declare.updates",
    "proa.runtime.resident",
}


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_function_of_plain_tables_loads_nothing_of_merges_queries_updates_and_residency():
    done = run(f"{SERVING}\n{PLAIN}\nimport sys; print(*sys.modules)")
    assert NOT_NEEDED & {*done.stdout.split()} == set(), done.stderr
    assert "proa.declare.tables" in done.stdout.split(), done.stderr


def test_a_merging_field_that_only_an_annotation_names_is_refused_without_its_policy():
    done = run(MERGING)
    assert "count merges by its type, which needs merge=merge.fields()" in done.stderr


def test_every_public_name_can_be_asked_for():
    done = run("import proa; print(*(name for name in proa.__all__ if getattr(proa, name, None) is None))")
    assert (done.stdout, done.stderr) == ("\n", "")


def test_a_name_that_proa_does_not_have_is_refused():
    done = run("import proa; proa.nothing")
    assert "AttributeError: module 'proa' has no attribute 'nothing'" in done.stderr
