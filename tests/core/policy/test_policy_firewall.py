"""Firewall: the corpora of attacks and of ordinary texts, depth, addresses behind proxies."""

import re
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.policy.address import client_of, household, networks
from proa.core.policy.firewall import SETS, Rule, compiled, deeper
from proa.errors import DeclarationError

HERE = Path(__file__).parent


def lines(name):
    return [line for line in (HERE / name).read_text().splitlines() if line and not line.startswith("#")]


ATTACKS = [tuple(line.split("\t", 1)) for line in lines("attacks.txt")]
ORDINARY = lines("ordinary.txt")


def found(text, where="body", sets=tuple(SETS)):
    """Which sets find something in a text, as a value of a JSON body or escaped in a query."""
    body = text.encode() if where == "raw" else msgspec.json.encode({"value": text})
    seen = SimpleNamespace(
        method="POST",
        path="/",
        query=f"q={quote(text)}" if where == "query" else "",
        headers={"user-agent": text} if where == "headers" else {},
        body=b"" if where in ("query", "headers") else body,
    )
    place = "body" if where in ("raw", "body") else where
    rules = [Rule(name=name, patterns=[name], places=[place]) for name in sets]
    return {one.rule.name for one in compiled(rules, body=place == "body") if one.matches(seen, "", "")}


@pytest.mark.parametrize("where", ["raw", "body", "query", "headers"])
def test_attacks_are_found_wherever_they_stand(where):
    missed = [text for name, text in ATTACKS if name not in found(text, where, [name])]
    assert missed == []


@pytest.mark.parametrize("where", ["raw", "body", "query", "headers"])
def test_ordinary_texts_are_left_alone(where):
    taken_for_attacks = {text: names for text in ORDINARY if (names := found(text, where))}
    assert taken_for_attacks == {}


LONG = [
    *("a" * 200_000, "<" * 50_000, "'" * 50_000, "' or " * 20_000, "../" * 30_000, "; " * 50_000, "/" * 100_000),
    *("union" + " " * 50_000, "union" + "(" * 50_000, "union/*" + "*/" * 20_000, "' order" + " " * 50_000),
    *("<img " + "x " * 50_000, "<script" * 20_000, "javascript" + " " * 50_000, "$(" * 50_000, "%25" * 30_000),
    *("\\u0041" * 20_000, "&lt;" * 20_000, "; cat a" + "a/" * 50_000, "'" + " " * 60_000),
]


@pytest.mark.parametrize("text", LONG, ids=lambda text: text[:9])
def test_no_text_makes_a_pattern_slow(text):
    began = process_time()
    found(text, "raw")
    assert process_time() - began < 2


JSON = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(alphabet='{}[]"\\ab', max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text('{["\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def depth_of(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if parts is None else 1 + max(map(depth_of, parts), default=0)


@given(value=JSON, most=st.integers(0, 6))
def test_depth_counts_objects_and_arrays_and_no_brackets_in_strings(value, most):
    assert deeper(msgspec.json.encode(value), most) == (depth_of(value) > most)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.1", "", "203.0.113.1"),
        ("203.0.113.1", "198.51.100.1", "203.0.113.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", "nonsense", "nonsense"),
        ("", "198.51.100.1", "unknown"),
    ],
)
def test_the_client_is_the_first_that_no_trusted_proxy_vouches_for(peer, forwarded, client):
    assert client_of(peer, forwarded, networks(["10.0.0.0/8"], "test")) == client


@pytest.mark.parametrize(
    ("address", "one"),
    [
        ("203.0.113.1", "203.0.113.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.1", "203.0.113.1"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_household_is_an_address_or_a_64th(address, one):
    assert household(address) == one


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"action": "explode", "methods": ["GET"]},
        {"addresses": ["10.0.0.0/33"]},
        {"patterns": ["("]},
        {"patterns": ["x"], "places": ["soul"]},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(wrong):
    with pytest.raises(DeclarationError, match="rule r"):
        Rule(name="r", **wrong)


def prose():
    """The lines of this project's documents, without code and links: nobody wrote them with patterns in mind."""
    root = HERE.parents[2]
    for page in [*(root / "docs").rglob("*.md"), *(root / "examples").rglob("*.md"), *root.glob("*.md")]:
        fenced = False
        for line in page.read_text().splitlines():
            if line.startswith("```"):
                fenced = not fenced
            elif line and not fenced and not line.startswith("|"):
                yield re.sub(r"\]\([^)]*\)", "]", line)


def test_of_texts_that_were_written_for_something_else_hardly_one_in_a_hundred_is_taken_for_an_attack():
    every = list(prose())
    taken = [line for line in every if found(line, "body")]
    assert len(every) > 1000
    assert len(taken) / len(every) < 0.01
