"""Firewall rules at the front door."""

import asyncio

import pytest

from proa import App, Rule
from proa.runtime.events import RuleMatched
from support.front import front


def answers(tmp_path, rules, *requests, proxies=(), country_header=""):
    app = App("shop", regions=["eu"])
    app.firewall(*rules)
    if proxies:
        app.behind(*proxies, country_header=country_header)

    @app.get("/a")
    async def a() -> None: ...

    @app.post("/a")
    async def b(body: dict[str, object]) -> None: ...

    async def main():
        async with front(app, tmp_path) as (ask, running):
            found = [await ask(*request, **rest) for request, rest in requests]
            return found, [event for event in running.events if isinstance(event, RuleMatched)]

    return asyncio.run(main())


def get(path="/a", **rest):
    return ("GET", path), rest


def post(body, **rest):
    return ("POST", "/a", body), rest


@pytest.mark.parametrize(
    ("rule", "blocked", "passes"),
    [
        (Rule(name="r", addresses=["203.0.113.0/24"]), get(peer="203.0.113.9"), get(peer="198.51.100.1")),
        (Rule(name="r", not_addresses=["10.0.0.0/8"]), get(peer="203.0.113.9"), get(peer="10.1.1.1")),
        (Rule(name="r", addresses=["2001:db8::/32"]), get(peer="2001:db8::1"), get(peer="203.0.113.9")),
        (Rule(name="r", methods=["POST"], under=["/a"]), post(b"{}"), get()),
        (
            Rule(name="r", not_content_types=["application/json"]),
            post(b"{}", content_type="text/xml"),
            post(b"{}", content_type="application/json; charset=utf-8"),
        ),
        (Rule(name="r", content_types=["text/*"]), post(b"{}", content_type="text/html"), post(b"{}")),
        (Rule(name="r", head_over_bytes=100), get(x_long="x" * 100), get()),
        (Rule(name="r", body_over_bytes=20), post({"a": "x" * 20}), post({"a": 1})),
        (Rule(name="r", depth_over=3), post({"a": {"b": [{}]}}), post({"a": {"b": "{{{{["}})),
        (Rule(name="r", patterns=["sql"]), get(query="q=1%27+OR+%271%27%3D%271"), get(query="q=this+or+that")),
        (Rule(name="r", patterns=["script"]), post({"a": "<script>alert(1)</script>"}), post({"a": "a < b"})),
        (Rule(name="r", patterns=["scanner"]), get(user_agent="sqlmap/1.7"), get(user_agent="curl/8.4.0")),
        (Rule(name="r", patterns=[r"\bproa\b"], places=["query"]), get(query="q=proa"), post({"q": "proa"})),
    ],
    ids=[
        "address",
        "elsewhere",
        "ipv6",
        "method",
        "type",
        "any text",
        "head",
        "body",
        "depth",
        "sql",
        "script",
        "tool",
        "own",
    ],
)
def test_a_rule_blocks_what_it_describes_and_nothing_else(rule, blocked, passes, tmp_path):
    (first, second), events = answers(tmp_path, [rule], blocked, passes)
    assert (first.status, first.code, second.status) == (403, "PROA-A001", 204)
    assert [(event.rule, event.blocked) for event in events] == [("r", True)]


def test_a_rule_that_counts_lets_pass_what_it_counts(tmp_path):
    rules = [Rule(name="try", patterns=["sql"], action="count")]
    (answer,), events = answers(tmp_path, rules, get(query="q=1%27+OR+%271%27%3D%271"))
    assert (answer.status, events) == (204, [RuleMatched("try", "GET /a", "203.0.113.7", blocked=False)])


def test_the_country_is_what_a_trusted_edge_says_of_the_client(tmp_path):
    rules = [Rule(name="embargo", countries=["XX"])]
    asked = [get(peer="10.0.0.1", x_country="xx"), get(peer="10.0.0.1", x_country="DE"), get(peer="10.0.0.1")]
    found, _ = answers(tmp_path, rules, *asked, proxies=["10.0.0.0/8"], country_header="X-Country")
    assert [answer.status for answer in found] == [403, 204, 204]


def test_a_country_that_anybody_might_have_written_is_not_believed(tmp_path):
    rules = [Rule(name="at home only", not_countries=["DE"])]
    asked = [get(peer="10.0.0.1", x_country="DE"), get(peer="203.0.113.9", x_country="DE")]
    found, _ = answers(tmp_path, rules, *asked, proxies=["10.0.0.0/8"], country_header="x-country")
    assert [answer.status for answer in found] == [204, 403]


def test_all_conditions_of_a_rule_have_to_hold(tmp_path):
    rules = [Rule(name="r", methods=["GET"], addresses=["203.0.113.0/24"])]
    found, _ = answers(tmp_path, rules, get(peer="203.0.113.1"), get(peer="10.0.0.1"), post(b"{}", peer="203.0.113.1"))
    assert [answer.status for answer in found] == [403, 204, 204]
