"""The order of admission is the declared one, whatever order its parts are made in, and requests meet it."""

import asyncio

import pytest

from proa import ApiKeys, App, Rule, Throttle
from proa.declare.admission import STAGES
from proa.runtime.admission import compiled
from support.front import front


def test_stages_stand_in_their_declared_order_whoever_makes_them():
    names = [spec.name for spec in STAGES]
    makers = {name: lambda _route, name=name: name for name in sorted(names)}
    assert list(compiled(None, makers)) == names


def shop():
    app = App("shop", regions=["eu"], max_body_bytes=100)
    app.authenticate(ApiKeys())
    app.firewall(Rule(name="hostile", patterns=["sql"]))
    app.throttle(Throttle(0.001, burst=1))

    @app.post("/closed")
    async def closed(text: dict[str, str]) -> None: ...

    @app.post("/open", auth=None, idempotent=True)
    async def open_to_all(text: dict[str, str]) -> None: ...

    return app


HOSTILE = "' or 1=1 --"
LARGE = {"a": "x" * 200}
OTHER = "198.51.100.1"
"""A client who has not used its token up."""


@pytest.mark.parametrize(
    ("path", "body", "options", "answer"),
    [
        ("/none", LARGE, {"query": HOSTILE}, (404, "PROA-H404")),
        ("/closed", LARGE, {"query": HOSTILE, "proa_deadline_ms": "0"}, (403, "PROA-A001")),
        ("/closed", LARGE, {"proa_deadline_ms": "0"}, (504, "PROA-U005")),
        ("/closed", LARGE, {}, (429, "PROA-H429")),
        ("/closed", LARGE, {"peer": OTHER}, (401, "PROA-H402")),
        ("/open", LARGE, {"peer": OTHER}, (413, "PROA-H413")),
        ("/open", {"a": HOSTILE}, {"peer": OTHER}, (403, "PROA-A001")),
        ("/open", {"a": "b"}, {"peer": OTHER}, (400, "PROA-H401")),
    ],
)
def test_of_all_that_is_wrong_with_a_request_the_first_stage_speaks(path, body, options, answer, tmp_path):
    async def main():
        async with front(shop(), tmp_path) as (ask, _):
            await ask("POST", "/open", {"a": "b"}, idempotency_key="k")  # takes the client's only token
            return await ask("POST", path, body, **options)

    reply = asyncio.run(main())
    assert (reply.status, reply.code) == answer
