"""Deadlines that callers bring along."""

import asyncio

import pytest

from proa import App, Context
from support.front import front


def declared():
    app = App("shop", regions=["eu"])

    @app.get("/left")
    async def left(ctx: Context) -> float:
        return ctx.remaining_s()

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(30)

    @app.get("/onward")
    async def onward(ctx: Context) -> dict[str, str]:
        return dict(ctx.onward())

    return app


def answered(tmp_path, path, **headers):
    async def main():
        async with front(declared(), tmp_path) as (ask, _):
            return await ask("GET", path, **headers)

    return asyncio.run(main())


def test_a_caller_with_less_time_than_the_route_is_heeded(tmp_path):
    assert 1 < answered(tmp_path, "/left", proa_deadline_ms="2000").json <= 2


def test_a_caller_with_more_time_gets_no_more_than_the_route_has(tmp_path):
    assert 4 < answered(tmp_path, "/left", proa_deadline_ms="60000").json <= 5


def test_a_handler_is_cut_off_when_nobody_waits_any_more(tmp_path):
    answer = answered(tmp_path, "/slow", proa_deadline_ms="50")
    assert (answer.status, answer.code) == (504, "PROA-U005")


@pytest.mark.parametrize(
    ("said", "status"), [("0", 504), ("", 400), ("1.5", 400), ("-1", 400), ("9" * 11, 400), ("٣", 400)]
)
def test_no_time_is_refused_at_once_and_nonsense_named(said, status, tmp_path):
    assert answered(tmp_path, "/left", proa_deadline_ms=said.encode().decode("latin-1")).status == status


def test_what_is_left_is_handed_on_with_the_trace(tmp_path):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    told = answered(tmp_path, "/onward", proa_deadline_ms="2000", traceparent=trace).json
    assert (told["traceparent"], 1500 < int(told["proa-deadline-ms"]) <= 2000) == (trace, True)
