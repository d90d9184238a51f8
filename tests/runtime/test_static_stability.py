"""Static stability: with the global store gone under load, a region serves all that does not need it.

Every stage of admission is on, and none of them asks anybody: they go on as before.
"""

import asyncio
from dataclasses import dataclass

from proa import App, Concurrency, Rule, Throttle
from support.front import ask
from support.inproc import system


@dataclass
class Note:
    id: str
    text: str = ""


async def legacy(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"legacy"})


def shop():
    app = App("shop", regions=["eu", "us"])
    app.throttle(Throttle(10**6))
    app.concurrency(Concurrency(limit=500))
    app.firewall(Rule(name="hostile", patterns=["sql"]))
    notes = app.table("notes", Note, key="id")
    stock = app.table("stock", Note, key="id", mode="strong")

    @app.post("/notes", idempotent=True)
    async def write(note: Note) -> Note:
        await notes.put(note)
        return note

    @app.get("/notes/{id}")
    async def read(id: str) -> Note:
        return await notes.get(id)

    @app.post("/stock", idempotent=True, timeout_s=0.5)
    async def take(note: Note) -> Note:
        await stock.put(note)
        return note

    app.mount("/legacy", legacy)
    return app


async def load(gateway, count):
    """So many rounds of everything, at once; the statuses by path."""
    asked = []
    for number in range(count):
        key = {"idempotency_key": f"{count}-{number}"}
        asked += [
            ("/notes", ask(gateway, "POST", "/notes", {"id": str(number)}, **key)),
            ("/notes/0", ask(gateway, "GET", "/notes/0")),
            ("/legacy", ask(gateway, "POST", "/legacy", b"", **key)),
            ("/stock", ask(gateway, "POST", "/stock", {"id": str(number)}, **key)),
        ]
    answered = await asyncio.gather(*(one for _, one in asked))
    found = {}
    for (path, _), answer in zip(asked, answered, strict=True):
        found.setdefault(path, set()).add(answer.status)
    return found


def test_a_region_serves_all_that_does_not_need_the_global_store(tmp_path):
    async def main():
        async with system(shop(), tmp_path) as running:
            gateway = running["eu"].gateway
            await ask(gateway, "POST", "/notes", {"id": "0"}, idempotency_key="first")
            before = await load(gateway, 20)
            under_way = asyncio.create_task(load(gateway, 40))
            await asyncio.sleep(0)
            running.links.cut |= {(region, "witness") for region in ("eu", "us")}  # in the middle of it
            during = await under_way
            after = await load(gateway, 30)
            refused = await ask(gateway, "POST", "/stock", {"id": "1"}, idempotency_key="strong")
            running.links.cut.clear()
            return before, during, after, refused, await load(gateway, 10)

    before, during, after, refused, healed = asyncio.run(main())
    whole = {"/notes": {200}, "/notes/0": {200}, "/legacy": {200}, "/stock": {200}}
    assert before == healed == whole
    for found in (during, after):
        assert {path: statuses for path, statuses in found.items() if path != "/stock"} == {
            path: statuses for path, statuses in whole.items() if path != "/stock"
        }
    assert during["/stock"] <= {200, 503, 504}
    assert after["/stock"] <= {503, 504}
    assert (refused.code, "retry-after" in refused.headers) == ("PROA-R004", True)
