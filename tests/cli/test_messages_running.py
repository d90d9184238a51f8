"""What a person does about queues, dead letters, schedules, events, sagas and effects, beside a running `proa dev`."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import timedelta

import pytest

from proa.errors import NotFound
from proa.operate import System
from proa.operate.reach import find
from support.dev import Dev, run

pytestmark = pytest.mark.processes

EU, US = "eu-west-1", "us-east-1"
APP = """
from dataclasses import dataclass

from proa import App, Context, Rejected, Saga

app = App("desk", regions=["eu-west-1", "us-east-1"], lease_s=2)


@dataclass
class Order:
    id: str
    email: str = "ada@example.org"


@dataclass
class Mail:
    id: str
    email: str
    region: str


@dataclass
class Note:
    id: str
    times: int = 0


@dataclass
class Approval:
    by: str


mails = app.table("mails", Mail, key="id")
notes = app.table("notes", Note, key="id")
receipts = app.queue("receipts", Order)
placed = app.event("order.placed", Order)


@receipts.consumer()
async def send_mail(order: Order, ctx: Context) -> None:
    if "@" not in order.email:
        raise Rejected(f"{order.email} is no address")
    await mails.put(Mail(order.id, order.email, ctx.region))


async def noted(id: str) -> None:
    note = await notes.get(id, Note(id))
    await notes.put(Note(id, note.times + 1))


@placed.on(name="audit")
async def audit(order: Order) -> None:
    await noted(f"audit-{order.id}")


@app.schedule("0 3 1 1 *")
async def yearly() -> None:
    await noted("yearly")


async def reserve(order: Order) -> None:
    await noted(f"reserved-{order.id}")


async def release(order: Order) -> None:
    await noted(f"released-{order.id}")


@app.saga()
async def purchase(saga: Saga, order: Order) -> str:
    await saga.step(reserve, order, undo=release)
    return (await saga.wait("approved", Approval)).by


@app.effect
async def charge(id: str) -> int:
    raise TimeoutError("the bank did not answer")


@app.post("/orders")
async def place(order: Order) -> None:
    await receipts.send(order)
    await placed.emit(order)


@app.post("/purchases")
async def buy(order: Order) -> str:
    return await purchase.start(order, id=f"eu-west-1:{order.id}")


@app.post("/charges", idempotent=True, unit="regional")
async def pay(order: Order) -> int:
    return await charge(order.id)


@app.get("/mails/{id}")
async def mail(id: str) -> Mail:
    return await mails.get(id)


@app.get("/notes/{id}")
async def note(id: str) -> int:
    return (await notes.get(id, Note(id))).times
"""


class Desk:
    """One operator at a running system."""

    def __init__(self, token):
        self.token = token
        nodes = find(None).nodes
        self._urls = {name: f"http://{nodes[name].http.host}:{nodes[name].http.port}" for name in (EU, US)}

    def proa(self, capsys, command, verb, *words, code=0):
        """A command's JSON."""
        return run(capsys, command, verb, "app", *words, code=code, token=self.token)

    def ask(self, path, body=None, *, key="", region=EU):
        """What a client is answered: the status and the JSON."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} | ({"idempotency-key": key} if key else {})
        request = urllib.request.Request(self._urls[region] + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def until(self, path, wanted):
        """Wait until a client is answered this."""
        self.eventually(lambda: self.ask(path), wanted)

    def eventually(self, found, wanted, timeout_s=60.0):
        deadline = time.monotonic() + timeout_s
        while (now := found()) != wanted:
            assert time.monotonic() < deadline, now
            time.sleep(0.05)

    def letters(self, capsys, *words):
        """The dead letters of `receipts`."""
        return self.proa(capsys, "dlq", "list", "receipts", *words)["letters"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    (folder / "app").mkdir()
    (folder / "app" / "app.py").write_text(APP)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        running = Dev(folder)
        try:
            running.until("serving")
            added = [sys.executable, "-m", "proa.cli", "operator", "add", "ada"]
            yield Desk(subprocess.run(added, capture_output=True, text=True, check=True).stdout.strip())
        finally:
            running.process.kill()
            running.process.wait()
            running.out.close()


def test_a_queue_is_paused_and_resumed_and_a_wrong_name_is_refused(desk, capsys):
    assert desk.proa(capsys, "queue", "pause", "receipts", "--why", "rehearsal")["state"] == "paused"
    desk.ask("/orders", {"id": "paused"})

    def shown():
        found = desk.proa(capsys, "queue", "list", "receipts")["queues"]
        return {one["home"]: (one["region"], one["depth"], one["paused"]) for one in found}

    desk.eventually(shown, {EU: (EU, 1, "rehearsal"), US: (US, 0, "rehearsal")})
    assert desk.ask("/mails/paused")[0] == 404
    desk.proa(capsys, "queue", "resume", "receipts")
    desk.until("/mails/paused", (200, {"id": "paused", "email": "ada@example.org", "region": EU}))
    for verb in ("list", "pause"):
        refused = desk.proa(capsys, "queue", verb, "receitps", code=1)
        assert (refused["code"], "queue 'receitps'" in refused["detail"]) == ("PROA-H404", True)


def test_a_letter_is_found_mended_and_handled_by_another_region(desk, capsys):
    desk.ask("/orders", {"id": "typo", "email": "nobody"})
    desk.eventually(lambda: len(desk.letters(capsys, "--field", "id=typo")), 1)
    (letter,) = desk.letters(capsys, "--code", "PROA-M002", "--since", "5m", "--field", "id=typo")
    name = letter["message"]
    assert (letter["region"], letter["attempts"], letter["body"]["email"]) == (EU, 1, "nobody")
    assert desk.proa(capsys, "dlq", "show", "receipts", name)["history"][0]["error"] == "PROA-M002"

    assert desk.proa(capsys, "dlq", "edit", "receipts", name, '{"id": 7}', code=1)["code"] == "PROA-H422"
    assert desk.proa(capsys, "dlq", "edit", "receipts", name, "{", code=2)["code"] == "PROA-L003"
    mended = '{"id": "typo", "email": "grace@example.org"}'
    assert desk.proa(capsys, "dlq", "edit", "receipts", name, mended)["body"]["email"] == "grace@example.org"

    counted = desk.proa(capsys, "dlq", "redrive", "receipts", "--message", name, "--dry-run")
    assert counted == {"regions": {EU: {"letters": 1}, US: {"letters": 0}}}
    assert desk.proa(capsys, "dlq", "redrive", "receipts", "--to", "mars", code=1)["code"] == "PROA-H422"
    moved = desk.proa(capsys, "dlq", "redrive", "receipts", "--message", name, "--to", US)["regions"]
    assert {region: (job["moved"], job["state"]) for region, job in moved.items()} == {EU: (1, "done"), US: (0, "done")}
    desk.until("/mails/typo", (200, {"id": "typo", "email": "grace@example.org", "region": US}))
    assert desk.letters(capsys, "--field", "id=typo") == []
    assert desk.proa(capsys, "dlq", "show", "receipts", name, code=1)["code"] == "PROA-H404"


def test_a_redrive_is_stopped_midway_and_the_rest_is_purged(desk, capsys):
    for number in range(12):
        desk.ask("/orders", {"id": f"bad-{number}", "email": "nobody"})
    desk.eventually(lambda: len(desk.letters(capsys)), 12)
    command = [sys.executable, "-m", "proa.cli", "dlq", "redrive", "app", "receipts", "--rate", "2", "--json"]
    environment = os.environ | {"PROA_TOKEN": desk.token}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as redrive:
        assert "so far" in redrive.stderr.readline()
        redrive.send_signal(signal.SIGINT)
        said, _ = redrive.communicate(timeout=20)
    stopped = json.loads(said)["regions"][EU]
    assert (redrive.returncode, stopped["state"], stopped["moved"] < 12) == (1, "cancelled", True)

    desk.eventually(lambda: len(desk.letters(capsys)), 12)  # those that were sent back have died again
    assert desk.proa(capsys, "dlq", "purge", "receipts", code=2)["code"] == "PROA-L003"
    assert desk.proa(capsys, "dlq", "purge", "receipts", "--dry-run")["regions"][EU] == {"letters": 12}
    assert len(desk.letters(capsys)) == 12
    assert desk.proa(capsys, "dlq", "purge", "receipts", "--everything")["regions"][EU]["moved"] == 12
    assert desk.letters(capsys) == []
    assert desk.proa(capsys, "dlq", "list", "receitps", code=1)["code"] == "PROA-H404"


def test_a_program_mends_a_letter_and_stops_a_redrive_midway(desk):
    for number in range(6):
        desk.ask("/orders", {"id": f"program-{number}", "email": "nobody"})
    system = System(token=desk.token)
    dead = system.dead_letters("receipts")
    desk.eventually(lambda: len([*dead.where(code="PROA-M002").latest()]), 6)
    name = next(dead.latest()).body["id"]
    one = dead.where(fields={"id": name}, since=timedelta(minutes=5))
    (letter,) = one.latest()
    assert (letter.region, letter.attempts, letter.history[0].error) == (EU, 1, "PROA-M002")
    assert dead.edit(letter.message, {"id": name, "email": "grace@example.org"}, why="a typo").body["id"] == name
    assert one.count().regions == {EU: 1, US: 0}
    moving = one.redrive(to=US)
    assert (moving.wait(30), moving.moved, moving.unheard) == (True, 1, {})
    desk.until(f"/mails/{name}", (200, {"id": name, "email": "grace@example.org", "region": US}))
    with pytest.raises(NotFound):
        dead.get(letter.message)

    rest = dead.redrive(rate=1)
    desk.eventually(lambda: (rest.wait(0), rest.moved > 0), (False, True))
    rest.cancel()
    assert (rest.jobs[EU].state, rest.moved < 5) == ("cancelled", True)
    desk.eventually(lambda: dead.count().letters, 5)  # those that were sent back have died again
    assert dead.purge(everything=True).wait(30)
    desk.eventually(lambda: dead.count().letters, 0)
    with pytest.raises(NotFound, match="no queue 'receitps'"):
        system.dead_letters("receitps").count()


def test_a_schedule_is_run_paused_and_resumed(desk, capsys):
    (shown,) = desk.proa(capsys, "schedule", "list")["schedules"]
    assert (shown["schedule"], shown["fired"], shown["paused"]) == ("yearly", 0, False)
    assert desk.proa(capsys, "schedule", "pause", "yearly")["done"] == {shown["region"]: [""]}
    assert desk.proa(capsys, "schedule", "run", "yearly", "--why", "now")["done"] == {shown["region"]: [""]}
    desk.until("/notes/yearly", (200, 1))
    assert desk.proa(capsys, "schedule", "list")["schedules"][0]["paused"]
    desk.proa(capsys, "schedule", "resume", "yearly")
    assert not desk.proa(capsys, "schedule", "list")["schedules"][0]["paused"]
    assert desk.proa(capsys, "schedule", "run", "yaerly", code=1)["code"] == "PROA-H404"


def test_events_are_sent_once_more_to_one_subscription(desk, capsys):
    desk.ask("/orders", {"id": "told"})
    desk.until("/notes/audit-told", (200, 1))
    assert [one["event"] for one in run(capsys, "event", "list", "app")["events"]] == ["order.placed"]
    again = ("replay", "order.placed", "--to", "audit", "--since", "1h")
    counted = desk.proa(capsys, "event", *again, "--dry-run")
    assert (counted["sent"] >= 1, counted["dry_run"]) == (True, True)
    assert desk.ask("/notes/audit-told") == (200, 1)
    assert desk.proa(capsys, "event", *again)["sent"] == counted["sent"]
    desk.until("/notes/audit-told", (200, 2))
    assert (
        desk.proa(capsys, "event", "replay", "order.placed", "--to", "audti", "--since", "1h", code=1)["code"]
        == "PROA-H404"
    )
    assert (
        desk.proa(capsys, "event", "replay", "order.plcaed", "--to", "audit", "--since", "1h", code=1)["code"]
        == "PROA-H404"
    )


def test_a_saga_is_signalled_another_one_cancelled_and_tried_again(desk, capsys):
    for number in ("1", "2"):
        desk.ask("/purchases", {"id": number})
    one, other = f"{EU}:1", f"{EU}:2"

    def waiting():
        return {saga["id"]: saga["waits"] for saga in desk.proa(capsys, "saga", "list", "purchase")["sagas"]}

    desk.eventually(waiting, {one: "wait approved", other: "wait approved"})
    steps = desk.proa(capsys, "saga", "show", "purchase", one)["steps"]
    assert [(step["kind"], step["name"], step["state"]) for step in steps] == [
        ("step", "reserve", "done"),
        ("wait", "approved", "begun"),
    ]
    assert desk.proa(capsys, "saga", "signal", "purchase", one, "approved", "{", code=2)["code"] == "PROA-L003"
    desk.proa(capsys, "saga", "signal", "purchase", one, "approved", '{"by": "ada"}')
    ended = desk.proa(capsys, "saga", "cancel", "purchase", other, "--why", "a rehearsal", "--wait")
    assert (ended["id"], ended["status"]) == (other, "failed")

    def status(id):
        return desk.proa(capsys, "saga", "show", "purchase", id)["line"]["status"]

    desk.eventually(lambda: (status(one), status(other)), ("done", "failed"))
    assert desk.proa(capsys, "saga", "show", "purchase", one)["result"] == "ada"
    assert (desk.ask("/notes/released-1"), desk.ask("/notes/released-2")) == ((200, 0), (200, 1))

    assert desk.proa(capsys, "saga", "retry", "purchase", one, code=1)["code"] == "PROA-G409"
    desk.proa(capsys, "saga", "retry", "purchase", other, "--from", "0")
    desk.eventually(waiting, {other: "wait approved"})
    assert desk.ask("/notes/reserved-2") == (200, 2)
    assert desk.proa(capsys, "saga", "show", "purchase", "nobody", code=1)["code"] == "PROA-H404"
    assert desk.proa(capsys, "saga", "list", "purhcase", code=1)["code"] == "PROA-H404"


def test_what_became_of_an_effect_is_said_by_a_person(desk, capsys):
    assert desk.proa(capsys, "effect", "list") == {"effects": []}
    status, problem = desk.ask("/charges", {"id": "7"}, key="k")
    assert (status, problem["code"]) == (503, "PROA-F002")
    (parked,) = desk.proa(capsys, "effect", "list", code=1)["effects"]
    assert (parked["effect"], parked["state"], parked["arguments"]) == ("charge", "unknown", {"id": "7"})
    key = parked["key"]
    assert desk.proa(capsys, "effect", "show", key)["said"] == "TimeoutError: the bank did not answer"
    assert desk.proa(capsys, "effect", "resolve", key, code=2)["code"] == "PROA-L003"
    assert desk.proa(capsys, "effect", "resolve", key, "--done", '"seven"', code=1)["code"] == "PROA-H422"
    desk.proa(capsys, "effect", "resolve", key, "--done", "7", "--why", "it is in the ledger")
    assert desk.ask("/charges", {"id": "7"}, key="k") == (200, 7)
    assert desk.proa(capsys, "effect", "list") == {"effects": []}
    assert desk.proa(capsys, "effect", "show", "charge-0", code=1)["code"] == "PROA-H404"
