"""Which residency can be declared, and what is refused with which words."""

from dataclasses import dataclass

import pytest

from proa import App, by, merge
from proa.errors import DeclarationError

REGIONS = ["eu", "de", "us"]


@dataclass
class Person:
    id: str
    country: str
    age: int = 0


def people(residency, app=None, **options):
    return (app or App("a", regions=REGIONS)).table("people", Person, key="id", residency=residency, **options)


def test_a_table_is_kept_in_one_part_for_each_set_of_regions():
    assert people(["us", "eu"]).parts == ("people@eu+us",)
    sets = {"DE": ["de", "eu"], "AT": ["eu", "de"], "US": ["us"]}
    assert people(by("country", sets)).parts == ("people@de+eu", "people@us")
    assert people(by("country", sets, otherwise=["eu", "us"])).parts == ("people@de+eu", "people@eu+us", "people@us")


def test_a_store_knows_every_part_and_its_merge():
    app = App("a", regions=REGIONS)
    table = people(by("country", {"DE": ["de"], "US": ["us"]}), app, merge=merge.last_writer())
    assert app.merges() == dict.fromkeys(table.parts, table.merge)
    assert sorted(app.schemas(strong=False)) == ["people@de", "people@us"]
    assert app.table_of("people@de") is table


def test_another_residency_is_another_shape_which_keeps_a_standby_from_being_at_parity():
    shapes = {people(declared).schema.shape for declared in (None, ["eu"], ["eu", "us"], by("country", {"A": ["eu"]}))}
    assert len(shapes) == 4


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ([], "a list of one region or more, not []"),
        ("eu", "a list of one region or more, not 'eu'"),
        (["eu", "mars"], "residency names mars; the app has eu, de, us"),
        (by("country", {}), "a residency names at least one set of regions"),
        (by("country", {"DE": []}), "a list of one region or more, not []"),
        (by("country", {"DE": ["de"]}, otherwise=["moon"]), "residency names moon"),
        (by("planet", {"DE": ["de"]}), "'planet' is no field of Person"),
        (by("age", {"DE": ["de"]}), "residency by 'age' needs a text field"),
    ],
)
def test_what_cannot_be_kept_is_refused(declared, said):
    with pytest.raises(DeclarationError) as refused:
        people(declared)
    assert said in str(refused.value)


def test_strong_rows_need_a_global_store_in_one_of_their_regions():
    with pytest.raises(DeclarationError, match="the global store, which is in no region of the residency"):
        people(["eu", "de"], mode="strong")
    with pytest.raises(DeclarationError, match="the global store"):
        people(["eu", "de"], App("a", regions=REGIONS, witness="us"), mode="strong")
    assert people(["eu", "de"], App("a", regions=REGIONS, witness="de"), mode="strong").parts == ("people@de+eu",)


def test_a_region_whose_name_would_be_read_as_two_is_refused():
    with pytest.raises(DeclarationError, match=r"residency cannot name 'eu\+1'"):
        people(["eu+1"], App("a", regions=["eu+1", "us"]))
