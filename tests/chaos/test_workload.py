"""What a `drill.py` declares is held against the app, before anything is started."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from proa import App
from proa.chaos.workload import Workload, contradictions, workload_of
from proa.errors import AppNotFound, DeclarationError


@dataclass
class Order:
    id: str
    reference: str


def shop():
    app = App("shop", regions=["eu", "us"])
    app.table("orders", Order, key="id")
    return app


def drill(folder, **declared):
    lines = [f"    {name} = {value!r}" for name, value in declared.items()]
    head = ["from proa.chaos import workload", "class Workload(workload.Workload):"]
    (folder / "drill.py").write_text("\n".join([*head, *lines, "    def request(self, number, rng): ..."]))
    return str(folder)


def test_a_workload_of_tables_and_fields_that_the_app_has_is_taken(tmp_path):
    found = workload_of(drill(tmp_path, counted={"orders": "reference"}, kept=["orders"]), shop())
    assert (found.counted, found.kept) == ({"orders": "reference"}, ["orders"])


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"counted": {"order": "reference"}}, "the workload of shop names the table 'order'; the app has orders"),
        ({"kept": ["stock"]}, "the workload of shop names the table 'stock'; the app has orders"),
        ({"counted": {"orders": "key"}}, "the workload of shop counts orders by 'key', which is no field of it"),
    ],
)
def test_what_the_app_does_not_have_is_named(tmp_path, declared, said):
    with pytest.raises(DeclarationError) as refused:
        workload_of(drill(tmp_path, **declared), shop())
    assert refused.value.detail == said


def test_an_app_without_a_workload_is_told_where_one_belongs(tmp_path):
    with pytest.raises(AppNotFound, match=r"there is no .*drill\.py"):
        workload_of(str(tmp_path), shop())


class Judging(Workload):
    kept: ClassVar = ["orders"]

    def request(self, number, rng): ...

    def check(self, rows):
        if len(rows["orders"]) != len(rows["bills"]):
            yield "an order has no bill"


def test_a_check_speaks_in_sentences():
    assert contradictions(Judging(), {"orders": [{"id": "1"}], "bills": []}) == ["an order has no bill"]


def test_a_check_is_told_that_a_table_was_not_read_and_what_to_do():
    with pytest.raises(DeclarationError) as refused:
        contradictions(Judging(), {"orders": []})
    assert refused.value.detail == ("`check` of the workload wants the rows of bills: name that table in its `kept`")
