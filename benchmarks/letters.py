"""A million dead letters: pages of those that are meant, what a count costs everybody else, and sending some back.

They are put into the store by commits of its own, as consumers do that give messages up; what is looked for is then
found through the region's dead letters, as the control API finds it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time

import msgspec

from alone import HERE
from figures import Figure, at_least, at_most
from proa.core.queue import Attempt, Dead, Envelope, Spot, fingerprint
from proa.core.replicate.journal import Write
from proa.ports import Batch, Committed
from proa.runtime.messages.consumer import dead_key
from proa.runtime.messages.dead import LOOKED_AT_MAX, DeadLetters, Wanted
from processes import told_by
from queues import Order, Running, in_region

LETTERS = 1_000_000
COMMON, RARE, USUAL = "ProviderGone", "NoSuchAddress", "TimeoutError"
COMMON_EVERY, RARE_EVERY = 20, 250_000
"""One in so many has this error; all others have the usual one."""
SENT_BACK = LETTERS // COMMON_EVERY
PER_COMMIT = 2_000
FIRST_AT, EVERY_S = 1_700_000_000.0, 0.1
PAGES = 5
encode = msgspec.msgpack.Encoder().encode


def run() -> list[Figure]:
    """Of a region in a process of its own."""
    found = told_by(__file__)
    looked = f"looks at {LOOKED_AT_MAX:,} and says where to go on"
    notes = {"a code that is rare": looked, "a field that is rare": looked}
    return [
        *(
            Figure(
                f"a page out of {LETTERS:,} dead letters, by {name}",
                ms,
                "ms",
                bound=at_most(100),
                note=notes.get(name, ""),
            )
            for name, ms in found["pages"].items()
        ),
        Figure(
            f"a dry run over {LETTERS:,} dead letters: its longest answer", found["answer"], "ms", bound=at_most(1000)
        ),
        Figure("a dry run: the longest that other work waits for it", found["wait"], "ms"),
        Figure(f"{SENT_BACK:,} of {LETTERS:,} dead letters sent back", found["redrive"], "/s", bound=at_least(5000)),
    ]


def error_of(number: int) -> str:
    """With which error a message died."""
    if number % RARE_EVERY == 1:
        return RARE
    return COMMON if number % COMMON_EVERY == 0 else USUAL


def said_of(error: str, number: int) -> str:
    return f"{error}: order {number:07d} is refused"


def mark(error: str) -> str:
    """The fingerprint of an error."""
    return fingerprint(error, said_of(error, 0))


def died(number: int) -> tuple[Spot, Dead]:
    """A message that was given up after one attempt, and where it stood."""
    at, error = FIRST_AT + number * EVERY_S, error_of(number)
    id_, said = f"message-{number:07d}", said_of(error, number)
    where = Spot("mail", HERE, "5", int(at * 1000), id_)
    body = encode(Order(f"order-{number:07d}", number % 1000))
    envelope = Envelope(id_, body, at, "unit", receives=1, history=(Attempt(at, HERE, error, said, 0.01),))
    return where, Dead(envelope, at, where.key, error, said, fingerprint(error, said))


async def fill(running: Running) -> None:
    """Commit all letters."""
    queue = running.region.app.queues["mail"]
    for start in range(0, LETTERS, PER_COMMIT):
        dead = map(died, range(start, start + PER_COMMIT))
        writes = [Write(queue.dead_table, dead_key(where, one.at), encode(one), "home") for where, one in dead]
        batch = Batch(f"fill-{start}", {}, writes, epoch=1, places=(queue.place(HERE),))
        assert isinstance(await running.region.store.commit(batch), Committed)


async def measured(running: Running) -> dict[str, object]:
    await fill(running)
    letters = running.region.messages.dead
    wanted = {
        "an error that is common": Wanted("mail", error=mark(COMMON)),
        "an error that is rare": Wanted("mail", error=mark(RARE)),
        "a code that is rare": Wanted("mail", code=RARE),
        "a field that is common": Wanted("mail", fields={"qty": "7"}),
        "a field that is rare": Wanted("mail", fields={"id": "order-0000007"}),
        "age, of the oldest": Wanted("mail", until=FIRST_AT + 1000),
    }
    pages = {name: await page_ms(letters, one) for name, one in wanted.items()}
    answer_ms, wait_ms = await counted(letters)
    return {"pages": pages, "answer": answer_ms, "wait": wait_ms, "redrive": await redrive_rate(running)}


async def page_ms(letters: DeadLetters, wanted: Wanted) -> float:
    """What a page takes; the median of the first ones."""
    took, start = list[float](), ""
    for _ in range(PAGES):
        began = time.perf_counter()
        page = await letters.page(wanted, start=start)
        took.append((time.perf_counter() - began) * 1000)
        if not (start := page.next):
            break
    return statistics.median(took)


async def counted(letters: DeadLetters) -> tuple[float, float]:
    """Count all letters; the longest that a part of it took, and that the loop went without a turn, in milliseconds."""
    waits = [0.0]
    ticking = asyncio.create_task(tick(waits))
    answers, number, start = list[float](), 0, ""
    while True:
        began = time.perf_counter()
        part = await letters.count(Wanted("mail"), mine=True, start=start)
        answers.append(time.perf_counter() - began)
        number, start = number + part.letters, part.next
        if not start:
            break
    ticking.cancel()
    assert number == LETTERS
    return max(answers) * 1000, waits[0] * 1000


async def tick(waits: list[float]) -> None:
    """Note how long the loop takes to come round."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0)
        waits[0] = max(waits[0], time.perf_counter() - began)


async def redrive_rate(running: Running) -> float:
    """Letters of one error a second, into a queue that hands out nothing meanwhile."""
    await running.pause("sending back")
    began = time.perf_counter()
    job = running.region.messages.dead.redrive(Wanted("mail", error=mark(COMMON)))
    await running.until(lambda: job.state != "running")
    assert (job.state, job.moved) == ("done", SENT_BACK), job
    return SENT_BACK / (time.perf_counter() - began)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(in_region(measured))))
