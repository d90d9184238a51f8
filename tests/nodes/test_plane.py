"""What a node tells of itself to the others."""

from dataclasses import dataclass

from proa import App
from proa.nodes.plane import schema_of


@dataclass
class Visit:
    page: str
    at: int
    by: str = ""


def declared(**options):
    app = App("visits", regions=["eu-west-1", "us-east-1"])
    app.table("visits", Visit, key="page", **options)
    return app


def test_a_standby_shares_the_schema_only_if_it_declares_its_rows_alike():
    assert schema_of(declared()) == schema_of(declared())
    assert schema_of(declared(sort="at")) != schema_of(declared())
    assert schema_of(declared(indexes={"by_visitor": "by"})) != schema_of(declared())
