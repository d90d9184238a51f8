"""Secrets of an app: rotated without a restart, kept through an outage, and never shown."""

import asyncio

import pytest

from proa import App
from proa.declare.secrets import Secret
from proa.errors import DeclarationError, SecretUnavailable
from proa.local.secrets import FileSecrets
from proa.observe import logs
from proa.observe.hub import Hub
from proa.runtime.secrets import Keeper, SecretNotRead, SecretRead
from proa.simulation import World, simulated
from support.asgi import ask
from support.ends import ManualClock
from support.inproc import Documents, system


class Kept:
    """A keeper of one secret, a clock to move, and what it tells."""

    def __init__(self):
        self.place, self.clock, self.events = Documents({"bank": ("one",)}), ManualClock(), []
        hub = Hub()
        hub.subscribe(self.events.append)
        self.secret = Secret("bank", 30, 3600)
        self.keeper = Keeper({"bank": self.secret}, self.place, self.clock, hub)

    def look(self):
        asyncio.run(self.keeper.look(self.secret))

    @property
    def versions(self):
        return self.keeper.versions("bank")


def test_a_new_version_is_used_from_the_next_look_on_and_the_old_one_is_good_beside_it():
    kept = Kept()
    kept.look()
    assert kept.versions == ("one",)
    kept.place.documents["bank"] = ("two", "one")
    kept.look()
    assert kept.versions == ("two", "one")
    assert kept.events == [SecretRead("bank", 1), SecretRead("bank", 2)]


def test_what_is_at_hand_serves_through_an_outage_up_to_its_bound_and_the_outage_is_told_once():
    kept = Kept()
    kept.look()
    kept.place.away = True
    for _ in range(3):
        kept.clock.time += 1200
        kept.look()
    assert kept.versions == ("one",)
    kept.clock.time += 1
    with pytest.raises(SecretUnavailable):
        _ = kept.versions
    assert [event for event in kept.events if isinstance(event, SecretNotRead)] == [
        SecretNotRead("bank", "OSError: out")
    ]


def test_a_secret_that_is_nowhere_is_named_and_no_handler_is_run_with_nothing():
    kept = Kept()
    kept.place.documents.clear()
    kept.look()
    assert kept.keeper.failing() == "bank"
    with pytest.raises(SecretUnavailable):
        _ = kept.versions


def shop():
    app = App("shop", regions=["eu-west-1"])
    bank = app.secret("bank_token", refresh_s=0.01)

    @app.get("/pay")
    async def pay() -> int:
        return len(bank.value())

    return app


def test_a_handler_reads_what_its_region_has_and_follows_a_rotation(tmp_path):
    async def main():
        async with system(shop(), tmp_path, {"bank_token": ("short",)}) as running:
            door = running["eu-west-1"].gateway
            first = (await ask(door, "GET", "/pay")).json
            running.outside.documents["bank_token"] = ("much longer", "short")
            async with asyncio.timeout(5):
                while (await ask(door, "GET", "/pay")).json == first:
                    await asyncio.sleep(0.001)
            return first, (await ask(door, "GET", "/pay")).json

    assert asyncio.run(main()) == (5, 11)


def test_a_region_without_its_secret_says_so(tmp_path):
    async def main():
        async with system(shop(), tmp_path) as running:
            door = running["eu-west-1"].gateway
            await running["eu-west-1"].secrets.look(running.app.secrets["bank_token"])
            return await ask(door, "GET", "/pay"), await ask(door, "GET", "/_proa/health")

    reply, health = asyncio.run(main())
    assert (reply.status, reply.json["code"], reply.headers["proa-not-started"]) == (503, "PROA-I002", "true")
    assert health.json["checks"] == {"secrets": [{"status": "fail", "output": "cannot be read: bank_token"}]}


@simulated
async def test_a_world_has_secrets_too():
    world = World(shop(), seed=1)
    world.documents["secret:bank_token"] = b"simulated"
    async with world:
        assert (await world["eu-west-1"].get("/pay")).body == b"9"


def test_files_are_read_without_the_line_end_and_the_version_before_beside_it(tmp_path):
    (tmp_path / "bank").write_text("the new one\n")
    (tmp_path / "bank.previous").write_text("the old one\n")
    assert asyncio.run(FileSecrets(tmp_path).read("bank")) == ("the new one", "the old one")


def test_a_file_that_is_not_there_or_empty_is_no_secret(tmp_path):
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(LookupError):
        asyncio.run(FileSecrets(tmp_path).read("bank"))
    with pytest.raises(ValueError, match="is empty"):
        asyncio.run(FileSecrets(tmp_path).read("empty"))


def test_what_was_read_is_concealed_in_every_line_of_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "_concealed", {})
    (tmp_path / "bank").write_text("s3cret-of-the-bank")
    asyncio.run(FileSecrets(tmp_path).read("bank"))
    line = {"event": "raised", "detail": "no s3cret-of-the-bank here", "more": [{"at": ["s3cret-of-the-bank"]}], "n": 1}
    assert logs.redact(None, "", line) == {
        "event": "raised",
        "detail": "no [redacted] here",
        "more": [{"at": ["[redacted]"]}],
        "n": 1,
    }


def test_a_declaration_shows_its_name_and_nothing_else():
    assert repr(Secret("bank", 1, 2)) == "<Secret bank>"


@pytest.mark.parametrize(("name", "refresh_s", "stale_s"), [("Bank", 1, 2), ("../x", 1, 2), ("b", 0, 2), ("b", 3, 2)])
def test_a_declaration_that_makes_no_sense_is_refused(name, refresh_s, stale_s):
    with pytest.raises(DeclarationError):
        Secret(name, refresh_s, stale_s)


def test_a_secret_is_declared_once():
    app = App("shop", regions=["eu"])
    app.secret("bank")
    with pytest.raises(DeclarationError):
        app.secret("bank")
