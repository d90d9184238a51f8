"""The page of what an app promises follows from its declarations alone."""

import json
from dataclasses import dataclass

import pytest
from cli_apps import SHOP

from proa import App, merge
from proa.cli.consistency import MODES, markdown, page
from proa.cli.main import main
from proa.declare import tables


@dataclass
class Row:
    id: str


def shop(**options):
    app = App("shop", regions=["eu", "us"], **options)
    app.table("carts", Row, key="id", mode="any", merge=merge.last_writer())
    app.table("hearts", Row, key="id", mode="any", merge=merge.last_writer())
    stock = app.table("stock", Row, key="id", mode="strong")

    @app.post("/stock", idempotent=True)
    async def take(row: Row) -> None:
        await stock.put(row)

    return app


def test_every_mode_that_can_be_declared_is_told_of():
    assert set(tables.MODES) <= set(MODES)


def test_each_table_says_who_writes_what_reads_show_and_what_a_loss_does():
    carts, _, stock = page(shop()).tables
    assert (carts.mode, carts.writers) == ("any", "every region, at once; of concurrent writes: the later one stays")
    assert [read.level for read in carts.reads] == ["default", "bounded(s)", "session", "strong"]
    assert [read.level for read in stock.reads] == ["default, strong", "bounded(s)", "session"]
    assert [what for what, _ in stock.lost] == ["A region", "The global store", "The link between regions"]


def test_each_route_says_its_unit_and_what_its_key_promises():
    (route,) = page(shop()).routes
    assert (route.route, route.unit, route.writes, route.key) == (
        "POST /stock",
        "global",
        ("stock",),
        "once, everywhere",
    )


@pytest.mark.parametrize(
    ("failover", "told"),
    [
        ("automatic", "(at once where its end is certain, else after its lease of 3 s)"),
        ("approval", "(at once where its end is certain, else after its lease of 3 s; a person approves)"),
    ],
)
def test_how_long_an_active_table_refuses_follows_from_lease_and_approval(failover, told):
    app = App("shop", regions=["eu", "us"], topology="active-passive", failover=failover, lease_s=3)
    app.table("jobs", Row, key="id")
    (jobs,) = page(app).tables
    assert jobs.writers == "eu, or the region that a fail-over has promoted"
    assert told in dict(jobs.lost)["A region"]


def test_tables_that_promise_the_same_share_a_section():
    headings = [line for line in markdown(page(shop())).splitlines() if line.startswith("#")]
    assert headings == [
        "# What shop promises",
        "## `carts`, `hearts`: mode `any`",
        "## `stock`: mode `strong`",
        "## Routes",
    ]


def test_the_command_prints_markdown_or_json(tmp_path, monkeypatch, capsys):
    (tmp_path / "app.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "consistency", "app.py"]) == 0
    assert capsys.readouterr().out.startswith("# What shop promises\n")
    assert main(["explain", "consistency", "app.py", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(table["table"], table["mode"]) for table in found["tables"]] == [("orders", "any"), ("stock", "strong")]


def test_the_command_wants_an_app(capsys):
    assert main(["explain", "consistency"]) == 2
    assert "proa explain consistency APP" in capsys.readouterr().err
