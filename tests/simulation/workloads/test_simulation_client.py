"""What a client concludes from an answer, and how it misbehaves."""

import asyncio
from random import Random

import pytest

from proa.chaos.workload import Request
from proa.simulation.client import Call, Client, Habits, Reply
from proa.simulation.history import NEVER
from proa.simulation.loop import run

REGIONS = ("eu-west-1", "us-east-1", "ap-southeast-1")
KEYED = Request("POST", "/orders", b"{}", key="k-1")
PLAIN = Request("GET", "/orders/1")
NOT_STARTED = {"proa-not-started": "true"}


def answered(*answers, request=KEYED, via="", seed=0, **habits):
    """The operation and the whole history of one call, to which `answers` are given in turn, and where it went."""
    waiting, ways, history = list(answers), [], []

    async def send(via, request):
        ways.append(via)
        answer = waiting.pop(0) if waiting else Reply(200, {}, b"true")
        await asyncio.sleep(0.01)
        if isinstance(answer, type):
            raise answer
        return answer if answer is not NEVER else await asyncio.Event().wait()

    async def main():
        now = asyncio.get_running_loop().time
        chosen = Habits(**{"direct_share": 0, "repeat_share": 0, "tries_max": 0, **habits})
        client = Client("c", "eu-west-1", send, now, history, regions=REGIONS, rng=Random(seed), habits=chosen)
        return await client.ask(Call("orders", "add", "1", None, request, via))

    return run(main()), history, ways


@pytest.mark.parametrize(
    ("answer", "request_", "via", "outcome"),
    [
        (Reply(200, {}, b"1"), KEYED, "", "ok"),
        (Reply(204, {}, b""), KEYED, "", "ok"),
        (Reply(404, {}, b"{}"), PLAIN, "", "failed"),
        (Reply(409, {}, b"{}"), KEYED, "", "failed"),
        (Reply(422, {}, b"{}"), KEYED, "", "failed"),
        (Reply(500, {}, b"{}"), KEYED, "eu-west-1", "unknown"),
        (Reply(503, {}, b"{}"), KEYED, "eu-west-1", "unknown"),
        (Reply(504, {}, b""), KEYED, "", "unknown"),
        (Reply(503, NOT_STARTED, b"{}"), KEYED, "eu-west-1", "failed"),
        (Reply(507, NOT_STARTED, b"{}"), KEYED, "eu-west-1", "failed"),
        (Reply(503, NOT_STARTED, b"{}"), PLAIN, "", "failed"),
        (Reply(503, NOT_STARTED, b"{}"), KEYED, "", "unknown"),
        (ConnectionRefusedError, KEYED, "", "failed"),
        (ConnectionResetError, KEYED, "", "unknown"),
        (TimeoutError, KEYED, "", "unknown"),
        (NEVER, KEYED, "", "unknown"),
    ],
)
def test_what_an_attempt_means_follows_from_its_answer(answer, request_, via, outcome):
    operation, history, _ = answered(answer, request=request_, via=via)
    assert operation.outcome == outcome
    assert history == [operation]
    assert (operation.ended == NEVER) == (outcome == "unknown")


def test_an_operation_keeps_what_the_answer_tells():
    headers = {"proa-region": "us-east-1", "proa-epoch": "3"}
    operation, _, _ = answered(Reply(200, headers, b'{"id": 1}', left_at=0.004))
    assert (operation.result, operation.region, operation.epoch) == ({"id": 1}, "us-east-1", 3)
    assert (operation.began, operation.answered, operation.ended) == (0.0, 0.004, 0.01)
    assert operation.idempotency_key == "k-1"


@pytest.mark.parametrize(("via", "patience_s"), [("edge", 2), ("us-east-1", 9)])
def test_a_client_waits_as_long_as_its_patience_lasts(via, patience_s):
    async def main():
        started = asyncio.get_running_loop().time()
        history = []

        async def send(via, request):
            await asyncio.Event().wait()

        now = asyncio.get_running_loop().time
        habits = Habits(timeout_s=2, patient_share=1, patient_s=9)
        client = Client("c", "", send, now, history, regions=REGIONS, rng=Random(1), habits=habits)
        await client.ask(Call("orders", "add", "1", None, PLAIN, via))
        return now() - started

    assert run(main()) == patience_s


def test_an_operation_of_unknown_fate_is_sent_again_under_its_key():
    operation, history, ways = answered(TimeoutError, ConnectionResetError, tries_max=2)
    assert operation.outcome == "ok"
    assert [one.outcome for one in history] == ["unknown", "unknown", "ok"]
    assert {one.idempotency_key for one in history} == {"k-1"}
    assert ways == ["edge", "edge", "edge"]


def test_a_refusal_after_silence_does_not_make_it_certain_that_nothing_was_done():
    operation, history, _ = answered(TimeoutError, Reply(503, {}, b""), Reply(409, {}, b"{}"), tries_max=2)
    assert operation.outcome == "unknown"
    assert len(history) == 3


def test_a_request_without_a_key_is_never_sent_again():
    _, _, ways = answered(TimeoutError, request=PLAIN, repeat_share=1, tries_max=2)
    assert ways == ["edge"]


def test_a_share_of_the_keys_is_repeated_in_every_way():
    went = set()
    for seed in range(40):
        _, history, ways = answered(seed=seed, repeat_share=1)
        assert [one.idempotency_key for one in history] == ["k-1", "k-1"]
        overlapped = max(one.began for one in history) < min(one.ended for one in history)
        went.add((overlapped, ways[1] == "edge", "unknown" in {one.outcome for one in history}))
    assert (True, True, False) in went, "at once"
    assert (False, True, False) in went, "after the answer"
    assert (True, True, True) in went, "after giving up"
    assert {way for _, way, _ in went} == {True, False}, "elsewhere"


def test_a_client_that_skips_the_edge_stays_with_a_region_until_it_fails():
    ways, history, fresh = [], [], Reply(200, {"proa-region": "us-east-1"}, b"")
    answers = [Reply(200, {"proa-region": "eu-west-1"}, b""), fresh, Reply(503, NOT_STARTED, b""), fresh, fresh]

    async def send(via, request):
        ways.append(via)
        return answers.pop(0)

    async def main():
        now = asyncio.get_running_loop().time
        habits = Habits(direct_share=1)
        client = Client("c", "eu-west-1", send, now, history, regions=REGIONS, rng=Random(1), habits=habits)
        for via in ("", "edge", "", "", ""):
            await client.ask(Call("orders", "look", "1", None, PLAIN, via))

    run(main())
    assert ways == ["eu-west-1", "edge", "eu-west-1", "us-east-1", "us-east-1"]


def test_an_attempt_that_is_cancelled_is_accounted_for():
    history = []

    async def send(via, request):
        await asyncio.Event().wait()

    async def main():
        now = asyncio.get_running_loop().time
        client = Client("c", "eu-west-1", send, now, history, regions=REGIONS, rng=Random(1))
        task = asyncio.create_task(client.ask(Call("orders", "add", "1", None, PLAIN)))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())
    assert [(one.outcome, one.ended) for one in history] == [("unknown", NEVER)]


def test_keys_are_the_clients_own():
    client = Client("c", "", None, None, [], regions=REGIONS, rng=Random(1))
    assert [client.new_key(), client.new_key()] == ["c-1", "c-2"]
