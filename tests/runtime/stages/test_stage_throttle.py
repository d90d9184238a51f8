"""Throttling at the front door: who shares a bucket, what the client is told, and each region's share."""

import asyncio

import pytest

from proa import App, Throttle
from support.front import front


def declared(*shared, regions=("eu",), own=(), topology="active-active"):
    app = App("shop", regions=regions, topology=topology)
    app.throttle(*shared)

    @app.get("/a", throttle=own)
    async def a() -> None: ...

    @app.get("/b")
    async def b() -> None: ...

    return app


def statuses(app, tmp_path, *requests):
    async def main():
        async with front(app, tmp_path) as (ask, _):
            return [(await ask("GET", path, peer=peer)).status for path, peer in requests]

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("throttle", "expected"),
    [
        (Throttle(1, burst=1), [204, 429, 429, 204]),
        (Throttle(1, burst=1, per="route"), [204, 429, 429, 429]),
        (Throttle(1, burst=1, per="app"), [204, 429, 429, 429]),
        (Throttle(1, burst=1, per="key"), [204, 429, 429, 204]),
    ],
)
def test_a_throttle_of_the_app_counts_all_routes_together(throttle, expected, tmp_path):
    asked = [("/a", "10.0.0.1"), ("/a", "10.0.0.1"), ("/b", "10.0.0.1"), ("/b", "10.0.0.2")]
    assert statuses(declared(throttle), tmp_path, *asked) == expected


def test_a_throttle_of_a_route_counts_it_alone(tmp_path):
    app = declared(own=Throttle(1, burst=1))
    asked = [("/a", "10.0.0.1"), ("/a", "10.0.0.1"), ("/b", "10.0.0.1"), ("/a", "10.0.0.2")]
    assert statuses(app, tmp_path, *asked) == [204, 429, 204, 204]


def test_the_client_is_told_what_is_left_of_each_limit_and_when_to_come_back(tmp_path):
    app = declared(Throttle(0.1, burst=2), own=(Throttle(100, burst=50, per="route"),))

    async def main():
        async with front(app, tmp_path) as (ask, _):
            return [await ask("GET", "/a") for _ in range(3)]

    first, second, third = asyncio.run(main())
    assert first.headers["ratelimit-policy"] == '"app-client";q=2;w=20, "route";q=50;w=1'
    assert [answer.headers["ratelimit"].split(", ")[0] for answer in (first, second, third)] == [
        '"app-client";r=1;t=10',
        '"app-client";r=0;t=20',
        '"app-client";r=0;t=20',
    ]
    assert (third.status, third.code, third.headers["retry-after"]) == (429, "PROA-H429", "10")


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({}, 5),
        ({"region_share": 1.0}, 10),
        ({"burst": 3}, 3),
    ],
)
def test_each_of_two_active_regions_allows_its_share(options, allowed, tmp_path):
    app = declared(Throttle(10, **options), regions=("eu", "us"))
    asked = [("/a", "10.0.0.1")] * 12
    assert statuses(app, tmp_path, *asked).count(204) == allowed


def test_where_one_region_is_active_it_allows_all(tmp_path):
    app = declared(Throttle(10), regions=("eu", "us"), topology="active-passive")
    assert statuses(app, tmp_path, *[("/a", "10.0.0.1")] * 12).count(204) == 10


def test_a_client_behind_a_trusted_proxy_is_known_by_what_the_proxy_says(tmp_path):
    app = declared(Throttle(1, burst=1))
    app.behind("10.0.0.0/8")

    async def main():
        async with front(app, tmp_path) as (ask, _):
            told = [
                ("10.0.0.1", "198.51.100.1"),
                ("10.0.0.1", "198.51.100.2"),
                ("10.0.0.2", "203.0.113.1, 198.51.100.2"),  # what the client wrote itself counts for nothing
                ("198.51.100.9", "198.51.100.3"),
                ("198.51.100.9", "198.51.100.4"),  # and nothing that somebody else says
            ]
            return [(await ask("GET", "/a", peer=peer, x_forwarded_for=said)).status for peer, said in told]

    assert asyncio.run(main()) == [204, 204, 429, 204, 429]


def test_a_client_over_its_own_limit_uses_up_nothing_that_it_shares(tmp_path):
    app = declared(Throttle(0.001, burst=10, per="app"), Throttle(0.001, burst=2, per="client"))
    flood = [("/a", "10.0.0.1")] * 50
    others = [("/a", f"10.0.0.{other}") for other in range(2, 10)]
    assert statuses(app, tmp_path, *flood, *others) == [204] * 2 + [429] * 48 + [204] * 8
