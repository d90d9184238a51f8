"""What a region does with input and data that are wrong: it says which and why, and nothing else comes to harm."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec
import pytest

from proa import App
from proa.core.replicate.journal import FORMAT
from proa.declare.tables import ROW_BYTES_MAX
from proa.errors import LinkRefused
from proa.runtime.replicator import Pull
from support.inproc import System, system


class Note(msgspec.Struct):
    id: str
    text: str = ""


class NewerNote(msgspec.Struct):
    id: str
    text: str = ""
    colour: str = "blue"


class StrictNote(msgspec.Struct):
    id: str
    text: int = 0


def notebook(kind=Note, **options):
    app = App("notebook", regions=["eu", "us"], max_body_bytes=2 * ROW_BYTES_MAX, **options)
    notes = app.table("notes", kind, key="id")

    async def write(note):
        await notes.put(note)

    write.__annotations__ = {"note": kind}
    app.post("/notes")(write)

    async def read(id: str):
        return await notes.get(id)

    read.__annotations__ = {"id": str, "return": kind}
    app.get("/notes/{id}")(read)
    return app


def run(folder, scenario, app=None):
    async def go():
        async with system(app or notebook(), folder) as s, asyncio.timeout(20):
            await scenario(s)

    asyncio.run(go())


def problem(answer):
    found = msgspec.json.decode(answer.body)
    return answer.status, found["code"], found["detail"]


def test_an_unknown_field_is_refused_by_its_name_and_nothing_is_written(tmp_path):
    async def scenario(s):
        answer = await s.request("eu", "POST", "/notes", {"id": "a", "colour": "blue"})
        status, code, detail = problem(answer)
        assert (status, code) == (422, "PROA-H422")
        assert "colour" in detail
        assert (await s.request("eu", "GET", "/notes/a")).status == 404

    run(tmp_path, scenario)


@dataclass
class Sized:
    over: int
    status: int


@pytest.mark.parametrize("case", [Sized(0, 204), Sized(1, 422)], ids=["just fits", "one byte more"])
def test_a_row_may_have_400_000_bytes_and_a_larger_one_is_refused_with_its_size(tmp_path, case):
    async def scenario(s):
        overhead = len(msgspec.msgpack.encode(Note("a", "x" * ROW_BYTES_MAX))) - ROW_BYTES_MAX
        text = "x" * (ROW_BYTES_MAX - overhead + case.over)
        answer = await s.request("eu", "POST", "/notes", {"id": "a", "text": text})
        assert answer.status == case.status
        if case.over:
            said = "a row of notes has 400,001 bytes; at most 400,000 fit"
            assert problem(answer) == (422, "PROA-U009", said)
            assert (await s.request("eu", "GET", "/notes/a")).status == 404

    run(tmp_path, scenario)


@pytest.mark.parametrize("key", [b"", b"x" * 513, b"\\ud800"], ids=["empty", "too long", "no text"])
def test_what_can_be_no_key_is_refused_and_nothing_is_written(tmp_path, key):
    async def scenario(s):
        answer = await s.request("eu", "POST", "/notes", b'{"id": "%s"}' % key)
        assert answer.status in (400, 422)
        assert s["eu"].store.head == 0

    run(tmp_path, scenario)


class Shifted:
    """A clock that is off."""

    def __init__(self, clock, by_s):
        self._clock, self._by_s = clock, by_s

    def now(self):
        return self._clock.now() + self._by_s

    def __getattr__(self, name):
        return getattr(self._clock, name)


def test_commits_of_a_clock_an_hour_ahead_wait_at_the_peer_which_says_so_and_come_in_when_their_time_has(tmp_path):
    async def scenario(s):
        right = s["us"].replicator._clock
        s["eu"].store._in.clock = Shifted(s.clock, 3600)
        assert (await s.request("eu", "POST", "/notes", {"id": "early"})).status == 204
        while not (told := [event for event in s.events if type(event).__name__ == "ClockSkewSeen"]):
            await asyncio.sleep(0.01)
        assert (told[0].origin, 3590 < told[0].ahead_s < 3610) == ("eu/1", True)
        assert (await s.request("us", "GET", "/notes/early")).status == 404
        assert (await s.request("us", "POST", "/notes", {"id": "own"})).status == 204
        s["us"].replicator._clock = Shifted(right, 3600)
        await s.settled()
        assert (await s.request("us", "GET", "/notes/early")).status == 200

    run(tmp_path, scenario)


def test_a_peer_that_speaks_a_newer_journal_format_is_refused_and_told_both_versions(tmp_path):
    async def scenario(s):
        pull = Pull({}, "us/1", [], 10, 0.0, format=FORMAT + 1)
        with pytest.raises(LinkRefused) as refused:
            await s["eu"].methods()["pull"]("us", msgspec.msgpack.encode(pull))
        assert refused.value.detail == f"us speaks journal format {FORMAT + 1}; eu knows up to {FORMAT}"

    run(tmp_path, scenario)


class Mixed(System):
    """A system whose regions run different versions of the app."""

    apps: dict

    async def start(self, name, incarnation=1):
        self.app = self.apps[name]
        return await super().start(name, incarnation)


def mixed(folder, eu, us, scenario):
    async def go():
        s = Mixed(notebook(), folder)
        s.apps = {"eu": notebook(eu), "us": notebook(us)}
        async with AsyncExitStack() as stack, asyncio.timeout(20):
            await s.open()
            stack.push_async_callback(s.close)
            await scenario(s)

    asyncio.run(go())


def test_rows_of_a_newer_declaration_are_kept_and_read_as_far_as_the_older_one_knows_them(tmp_path):
    async def scenario(s):
        await s.request("us", "POST", "/notes", {"id": "a", "text": "t", "colour": "red"})
        await s.settled()
        assert (await s.request("eu", "GET", "/notes/a")).body == b'{"id":"a","text":"t"}'
        await s.request("eu", "POST", "/notes", {"id": "b", "text": "u"})
        await s.settled()
        old = [msgspec.json.decode((await s.request("us", "GET", f"/notes/{key}")).body) for key in ("a", "b")]
        assert [row["colour"] for row in old] == ["red", "blue"]
        await s.request("eu", "POST", "/notes", {"id": "a", "text": "written again"})
        await s.settled()
        assert msgspec.json.decode((await s.request("us", "GET", "/notes/a")).body)["colour"] == "blue"

    mixed(tmp_path, Note, NewerNote, scenario)


def test_rows_that_the_other_declaration_cannot_read_replicate_and_fail_where_they_are_read_alone(tmp_path):
    async def scenario(s):
        await s.request("us", "POST", "/notes", {"id": "a", "text": 7})
        await s.request("us", "POST", "/notes", {"id": "b", "text": 8})
        await s.settled()
        assert (await s.request("eu", "GET", "/notes/a")).status == 500
        await s.request("eu", "POST", "/notes", {"id": "c", "text": "fine"})
        await s.settled()
        assert (await s.request("us", "GET", "/notes/b")).status == 200
        assert (await s.request("eu", "GET", "/notes/c")).status == 200

    mixed(tmp_path, Note, StrictNote, scenario)
