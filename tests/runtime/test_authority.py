"""Rights: whoever waits for their next change misses none, and a crowd does not keep the loop busy."""

import asyncio
from types import SimpleNamespace

import pytest

from proa.core.home import Place
from proa.errors import NotHome
from proa.runtime import authority as authority_module
from proa.runtime.authority import Authority
from proa.runtime.forward import Forwarder
from support.inproc import everybody, until
from support.messages import play, shop


class Ticking:
    """A clock that goes on by a millisecond at every look."""

    def __init__(self):
        self.looks = 0

    def monotonic(self):
        self.looks += 1
        return self.looks / 1000


def changes(act):
    """Whether what is done to an authority before anybody waits wakes who waits afterwards."""

    async def main():
        authority = Authority("eu", Ticking())
        since = authority.changes
        act(authority)
        async with asyncio.timeout(1):
            await authority.changed(since, 60)

    asyncio.run(main())


def test_a_change_of_roles_while_nobody_waits_is_not_lost():
    changes(lambda authority: authority.assume(everybody(), 60.0))


def test_the_end_of_a_fence_is_a_change():
    changes(lambda authority: setattr(authority, "fenced", False))


def test_a_change_while_homes_are_taken_up_has_them_looked_at_again(tmp_path):
    async def story(s):
        dispatcher, slow, looks = s["eu"].messages, asyncio.Event(), []

        async def follow():
            looks.append(s["eu"].authority.epoch)
            await slow.wait()

        dispatcher.follow = follow
        s["eu"].assume(everybody(2), s.clock.monotonic() + 60)
        await until(lambda: looks)
        s["eu"].assume(everybody(3), s.clock.monotonic() + 60)
        slow.set()
        await until(lambda: len(looks) == 2, timeout_s=2)
        assert looks == [2, 3]

    play(tmp_path, shop(), story)


def test_a_request_that_finds_too_many_waiting_for_rights_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(authority_module, "WAITING_MAX", 0)
    clock = Ticking()
    forwarder = Forwarder("eu", Authority("eu", clock), None, clock, lambda _: True)
    call = SimpleNamespace(route=SimpleNamespace(timeout_s=30.0))
    with pytest.raises(NotHome):
        asyncio.run(forwarder.resolve(call, Place("order")))
    assert clock.looks < 10
