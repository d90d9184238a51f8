"""Dead letters: found by what is known of them, sent back once, edited, purged; by the region that acts for them."""

import asyncio
import itertools

import pytest

from proa.declare.queues import Message
from proa.errors import NotFound, Rejected, Unavailable, Unprocessable
from proa.runtime.messages import dead as dead_module
from proa.runtime.messages.dead import Wanted, Where
from support.inproc import everybody, take, until
from support.messages import Order, Total, count, dead, handled, play, send, shop


class Mood:
    """What the handler thinks of orders."""

    def __init__(self):
        self.refuses = True


def moody(mood):
    def made(totals):
        async def handle(message: Message[Order]) -> None:
            if mood.refuses and message.body.qty < 5:
                raise Rejected(f"qty {message.body.qty} of {message.body.id} is too small")
            if mood.refuses:
                raise KeyError(message.body.id)
            total = await totals.get("all", Total("all"))
            await totals.put(Total("all", total.count + 1))

        return handle

    return made


def letters_play(folder, story, **options):
    """A story on an app whose handler refuses everything at first."""
    mood = Mood()

    async def told(s):
        await story(s, mood)

    play(folder, shop(moody(mood), **options), told)


async def died(s, region, *ids, number=None, **more):
    before = len(dead(s))
    sent = await send(s, region, *ids, **more)
    await until(lambda: len(dead(s)) == before + len(ids))
    return sent


def letters(s, region="eu"):
    return s[region].messages.dead


async def done(job):
    await until(lambda: job.state != "running")
    return job


def ids(page):
    return [letter.body["id"] for letter in page.letters]


def test_a_letter_tells_what_became_of_its_message(tmp_path):
    async def story(s, _):
        (message,) = await died(s, "eu", "a")
        letter = await letters(s).one("orders", message)
        assert (letter.body, letter.region, letter.attempts) == ({"id": "a", "qty": 1}, "eu", 1)
        assert (letter.error, letter.said) == (Rejected.code, "Rejected: qty 1 of a is too small")
        assert [one.error for one in letter.history] == [Rejected.code]
        with pytest.raises(NotFound, match="no dead letter 'x'"):
            await letters(s).one("orders", "x")
        with pytest.raises(NotFound, match="no queue 'receipts'"):
            await letters(s).one("receipts", message)

    letters_play(tmp_path, story)


def test_letters_are_found_by_error_age_field_and_home(tmp_path):
    async def story(s, _):
        await died(s, "eu", "a", "b")
        await died(s, "us", "c", qty=7)
        await s.settled()
        every = (await letters(s).page(Wanted("orders"))).letters
        mark = next(letter.fingerprint for letter in every if letter.error == "KeyError")
        pages = {
            "error": Wanted("orders", error=mark),
            "code": Wanted("orders", code=Rejected.code),
            "field": Wanted("orders", fields={"qty": "7"}),
            "home": Wanted("orders", region="eu"),
            "old": Wanted("orders", until=min(letter.died_at for letter in every)),
            "new": Wanted("orders", since=min(letter.died_at for letter in every)),
        }
        found = {name: sorted(ids(await letters(s).page(wanted))) for name, wanted in pages.items()}
        assert found == {
            "error": ["c"],
            "code": ["a", "b"],
            "field": ["c"],
            "home": ["a", "b"],
            "old": [],
            "new": ["a", "b", "c"],
        }

    letters_play(tmp_path, story)


def test_letters_come_page_by_page_the_latest_first(tmp_path, monkeypatch):
    monkeypatch.setattr(dead_module, "SLICE", 2)

    async def story(s, _):
        for one in "abcde":
            await died(s, "eu", one)
        first = await letters(s).page(Wanted("orders"), limit=2)
        second = await letters(s).page(Wanted("orders"), limit=2, start=first.next)
        third = await letters(s).page(Wanted("orders"), limit=2, start=second.next)
        assert [ids(page) for page in (first, second, third)] == [["e", "d"], ["c", "b"], ["a"]]
        assert third.next == ""
        with pytest.raises(Unprocessable, match="a page has 1 to 1000 letters"):
            await letters(s).page(Wanted("orders"), limit=0)

    letters_play(tmp_path, story)


def test_letters_of_several_homes_come_in_the_order_in_which_they_died(tmp_path, monkeypatch):
    monkeypatch.setattr(dead_module, "SLICE", 2)

    async def story(s, _):
        for number, one in enumerate("abcdefg"):
            await died(s, "us" if number % 3 else "eu", one)
            await s.settled()
        assert ids(await letters(s).page(Wanted("orders"))) == list("gfedcba")
        found, start = [], ""
        while page := await letters(s).page(Wanted("orders"), limit=2, start=start):
            found += ids(page)
            if not (start := page.next):
                break
        assert found == list("gfedcba")
        with pytest.raises(Unprocessable, match="'x', which is not where a page ended"):
            await letters(s).page(Wanted("orders"), start="x")

    letters_play(tmp_path, story)


def test_of_letters_that_died_in_one_moment_each_is_before_or_behind_a_place():
    keys = {
        Where(died, id_, home): f"orders\x1f{home}\x1f{died}\x1f{id_}"
        for died, id_, home in itertools.product(("0000000000001", "0000000000002"), "ab", ("eu", "us"))
    }
    places = sorted(keys, reverse=True)
    for number, place in enumerate(places):
        behind = [one for one in places if keys[one] < place.end("orders", one.home)]
        assert (behind, Where.read(place.text)) == (places[number + 1 :], place)


def test_of_letters_that_died_at_another_time_none_is_looked_at(tmp_path):
    async def story(s, _):
        for one in "abc":
            await died(s, "eu", one)
            await asyncio.sleep(0.002)
        _, b, _ = reversed((await letters(s).page(Wanted("orders"))).letters)
        looked = {
            "at": Wanted("orders", since=b.died_at, until=b.died_at + 0.001),
            "never": Wanted("orders", since=b.died_at + 3600),
            "ever": Wanted("orders", since=-1e300, until=1e300),
        }
        pages = {name: await letters(s).page(wanted) for name, wanted in looked.items()}
        assert {name: (ids(page), page.looked_at) for name, page in pages.items()} == {
            "at": (["b"], 1),
            "never": ([], 0),
            "ever": (["c", "b", "a"], 3),
        }

    letters_play(tmp_path, story)


def test_a_search_that_finds_little_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(dead_module, "LOOKED_AT_MAX", 2)

    async def story(s, _):
        for one in "abc":
            await died(s, "eu", one)
        wanted = Wanted("orders", fields={"id": "a"})
        first = await letters(s).page(wanted)
        assert (ids(first), first.looked_at) == ([], 2)
        assert ids(await letters(s).page(wanted, start=first.next)) == ["a"]
        counted = await letters(s).count(Wanted("orders"))
        rest = await letters(s).count(Wanted("orders"), start=counted.next)
        assert (counted.letters, rest.letters, rest.next) == (2, 1, "")

    letters_play(tmp_path, story)


def test_what_is_sent_back_takes_effect_once_and_counts_its_attempts_anew(tmp_path):
    async def story(s, mood):
        sent = await died(s, "eu", "a", "b", "c")
        mood.refuses = False
        job = await done(letters(s).redrive(Wanted("orders")))
        assert (job.moved, job.state) == (3, "done")
        again = await done(letters(s).redrive(Wanted("orders")))
        await until(lambda: len(handled(s)) == 3)
        assert (sorted(handled(s)), again.moved, await count(s)) == (sorted(sent), 0, 3)
        assert (await letters(s).page(Wanted("orders"))).letters == []

    letters_play(tmp_path, story)


def test_two_who_send_back_the_same_letters_move_each_once(tmp_path):
    async def story(s, mood):
        await died(s, "eu", *map(str, range(20)))
        mood.refuses = False
        jobs = [letters(s).redrive(Wanted("orders")) for _ in range(3)]
        moved = sum([(await done(job)).moved for job in jobs])
        await until(lambda: len(handled(s)) == 20)
        await asyncio.sleep(0.05)
        assert (moved, len(handled(s)), await count(s)) == (20, 20, 20)

    letters_play(tmp_path, story)


def test_letters_that_die_again_meanwhile_are_not_sent_back_once_more(tmp_path, monkeypatch):
    monkeypatch.setattr(dead_module, "BATCH", 1)
    monkeypatch.setattr(dead_module, "SLICE", 2)

    async def story(s, _):
        await died(s, "eu", *map(str, range(5)))
        job = await done(letters(s).redrive(Wanted("orders"), rate=50))
        await until(lambda: len(dead(s)) == 10)
        page = await letters(s).page(Wanted("orders"))
        assert (job.state, job.moved, [letter.redriven for letter in page.letters]) == ("done", 5, [1] * 5)

    letters_play(tmp_path, story)


def test_only_the_region_that_acts_for_a_letter_moves_it_and_may_send_it_elsewhere(tmp_path):
    async def story(s, mood):
        await died(s, "us", "a")
        await s.settled()
        mood.refuses = False
        assert (await done(letters(s, "eu").redrive(Wanted("orders")))).moved == 0
        counted = [(await letters(s, "eu").count(Wanted("orders"), mine=mine)).letters for mine in (False, True)]
        assert counted == [1, 0]
        assert (await done(letters(s, "us").redrive(Wanted("orders"), to="eu"))).moved == 1
        await until(lambda: handled(s))
        assert s["us"].messages.intakes["orders"].handled.count == 0
        assert s["eu"].messages.intakes["orders"].handled.count == 1

    letters_play(tmp_path, story)


def test_letters_are_found_behind_those_that_left_and_no_statement_walks_them_all(tmp_path, monkeypatch):
    monkeypatch.setattr(dead_module, "SLICE", 2)

    async def story(s, _):
        await died(s, "eu", *"abcde")
        for one in "bcde":
            await done(letters(s).purge(Wanted("orders", fields={"id": one})))
        walk, walked = s["eu"].store.walk, []

        async def watched(span):
            walked.append(span.limit)
            return await walk(span)

        s["eu"].store.walk = watched
        assert ids(await letters(s).page(Wanted("orders"))) == ["a"]
        assert (max(walked), len(walked) > 2) == (2, True)

    letters_play(tmp_path, story)


def test_a_job_that_was_named_is_begun_once(tmp_path):
    async def story(s, mood):
        await died(s, "eu", "a")
        mood.refuses = False
        first, again = [letters(s).redrive(Wanted("orders"), job="mine") for _ in range(2)]
        assert (first is again, first.id) == (True, "mine")
        assert (await done(first)).moved == 1
        assert letters(s).redrive(Wanted("orders"), job="mine") is first

    letters_play(tmp_path, story)


def test_a_job_that_is_cancelled_before_its_beginning_arrives_does_nothing(tmp_path):
    async def story(s, _):
        await died(s, "eu", "a")
        with pytest.raises(NotFound, match="no job 'mine'"):
            letters(s).cancel("orders", "mine")
        job = letters(s).purge(Wanted("orders"), job="mine")
        await asyncio.sleep(0.05)
        assert (job.state, job.moved) == ("cancelled", 0)
        assert ids(await letters(s).page(Wanted("orders"))) == ["a"]

    letters_play(tmp_path, story)


def test_jobs_that_ended_are_forgotten_beyond_a_number_and_one_that_goes_on_never(tmp_path, monkeypatch):
    monkeypatch.setattr(dead_module, "ENDED_KEPT", 2)

    async def story(s, mood):
        await died(s, "eu", *map(str, range(3)))
        mood.refuses = False
        slow = letters(s).redrive(Wanted("orders"), rate=0.001)
        ended = [await done(letters(s).purge(Wanted("orders", message="x"))) for _ in range(4)]
        last = letters(s).purge(Wanted("orders", message="x"))
        assert [job.id for job in letters(s).jobs()] == [slow.id, ended[2].id, ended[3].id, last.id]
        with pytest.raises(NotFound, match=f"no job '{ended[0].id}'; it tells of .* the last 2 that have ended"):
            letters(s).cancel("orders", ended[0].id)
        assert letters(s).cancel("orders", slow.id).state == "cancelled"

    letters_play(tmp_path, story)


def test_a_rate_is_kept_and_a_job_can_be_stopped_halfway(tmp_path):
    async def story(s, mood):
        await died(s, "eu", *map(str, range(10)))
        mood.refuses = False
        job = letters(s).redrive(Wanted("orders"), rate=20)
        await until(lambda: job.moved == 1 or job.state != "running")
        letters(s).cancel("orders", job.id)
        await until(lambda: len(handled(s)) == job.moved)
        assert job.state == "cancelled"
        assert job.moved + len((await letters(s).page(Wanted("orders"))).letters) == 10
        with pytest.raises(NotFound, match="no job 'x'"):
            letters(s).cancel("orders", "x")
        with pytest.raises(Unprocessable, match="rate must be positive"):
            letters(s).redrive(Wanted("orders"), rate=0)

    def one_by_one(monkey):
        monkey.setattr(dead_module, "BATCH", 1)

    with pytest.MonkeyPatch.context() as monkey:
        one_by_one(monkey)
        letters_play(tmp_path, story)


def test_a_region_that_no_longer_acts_for_letters_leaves_the_others_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(dead_module, "BATCH", 1)

    async def story(s, mood):
        await died(s, "eu", *map(str, range(10)))
        mood.refuses = False
        job = letters(s).redrive(Wanted("orders"), rate=20)
        await until(lambda: job.moved)
        take(s["eu"], everybody(2, lost=["eu"]))
        await done(job)
        assert (job.state, job.moved < 10) == ("done", True)
        assert len((await letters(s).page(Wanted("orders"))).letters) == 10 - job.moved

    letters_play(tmp_path, story)


def test_a_letter_is_edited_before_it_goes_back(tmp_path):
    async def story(s, _):
        (message,) = await died(s, "eu", "a")
        edited = await letters(s).edit("orders", message, b'{"id": "a", "qty": 9}')
        assert edited.body == {"id": "a", "qty": 9}
        with pytest.raises(Unprocessable):
            await letters(s).edit("orders", message, b'{"id": 7}')
        await s.settled()
        with pytest.raises(Unavailable, match="us does not act for the letters of eu"):
            await letters(s, "us").edit("orders", message, b'{"id": "a", "qty": 9}')

    letters_play(tmp_path, story)


def test_purged_letters_are_gone(tmp_path):
    async def story(s, _):
        await died(s, "eu", "a", "b")
        job = await done(letters(s).purge(Wanted("orders", fields={"id": "a"})))
        assert (job.moved, ids(await letters(s).page(Wanted("orders")))) == (1, ["b"])

    letters_play(tmp_path, story)


def test_sending_back_waits_while_the_queue_is_full(tmp_path):
    async def story(s, mood):
        await died(s, "eu", "a")
        await s["eu"].messages.pause("orders", "for a while", "anna")
        await until(lambda: s["eu"].messages.intakes["orders"].paused)
        await send(s, "eu", "b")
        await until(lambda: s["eu"].messages.depth("orders", "eu") == 1)
        job = letters(s).redrive(Wanted("orders"))
        await asyncio.sleep(0.1)
        assert (job.moved, job.state) == (0, "running")
        mood.refuses = False
        await s["eu"].messages.pause("orders", "", "anna")
        await until(lambda: len(handled(s)) == 2)

    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(dead_module, "FULL_S", 0.02)
        letters_play(tmp_path, story, queue={"depth_max": 1})
