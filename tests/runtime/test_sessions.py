"""Sessions in regions on real files: what a client wrote or read, it reads again anywhere, or is told why not."""

import asyncio

import msgspec
import pytest

from proa.core.roles import Assignment, Cut
from proa.core.session import Token, read_token
from support.leveled import REGIONS, Item, apart, code, leading, run, shop, value, without, witness_away


def token(answer):
    """The session's token in an answer."""
    (found,) = [value for name, value in answer.headers if name == "proa-session"]
    return found


def told(answer):
    """What the token names."""
    return read_token(token(answer), REGIONS)


def detail(answer):
    return msgspec.json.decode(answer.body)["detail"]


def test_a_request_without_the_header_gets_no_token(tmp_path):
    async def scenario(running):
        answer = await running.request("eu", "PUT", "/any", Item("a", 1))
        assert [name for name, _ in answer.headers] == []

    run(tmp_path, scenario)


def test_a_write_is_read_in_any_region_by_its_session_and_not_before_it_is_there(tmp_path):
    async def scenario(running):
        apart(running, "eu", "us")
        apart(running, "eu", "ap")
        written = await running.request("eu", "PUT", "/any", Item("a", 7), session="")
        assert told(written) == Token({"eu/1": 1})
        behind = await running.request("us", "GET", "/any/a/none", session=token(written))
        assert code(behind) == (503, "PROA-Q002")
        assert {("proa-not-started", "true"), ("retry-after", "1")} <= set(behind.headers)
        assert detail(behind) == "us has not yet applied eu/1 up to 1"
        assert value(await running.request("us", "GET", "/any/a/none"))["left"] == -1
        running.links.cut.clear()
        read = await running.request("us", "GET", "/any/a/none", session=token(written))
        assert value(read)["left"] == 7
        assert told(read) == Token({"eu/1": 1})

    run(tmp_path, scenario)


def test_what_a_session_has_read_it_does_not_unread_in_another_region(tmp_path):
    async def scenario(running):
        apart(running, "us", "ap")
        apart(running, "eu", "ap")
        await running.request("eu", "PUT", "/any", Item("a", 7))
        await running.request("eu", "PUT", "/any", Item("b", 8))
        await running.request("us", "GET", "/any/a/0")
        one = await running.request("us", "GET", "/any/a/none", session="")
        assert told(one) == Token({"eu/1": 1})
        both = await running.request("us", "GET", "/any-query/none", session=token(one))
        assert told(both).seen["eu/1"] == 2
        assert code(await running.request("ap", "GET", "/any/a/none", session=token(one))) == (503, "PROA-Q002")

    run(tmp_path, scenario)


def test_a_deleted_row_stays_deleted_for_the_session_that_saw_it_go(tmp_path):
    async def scenario(running):
        await running.request("eu", "PUT", "/any", Item("a", 7))
        await running.settled()
        apart(running, "us", "ap")
        apart(running, "eu", "ap")
        await running.request("eu", "DELETE", "/any/a")
        await running.request("us", "GET", "/any/a/0")
        for path in ("/any/a/none", "/any-query/none"):
            gone = await running.request("us", "GET", path, session="")
            assert told(gone).seen["eu/1"] == 2
            assert code(await running.request("ap", "GET", path, session=token(gone))) == (503, "PROA-Q002")

    run(tmp_path, scenario)


def test_a_bounded_read_of_a_strong_table_is_no_older_than_what_its_session_wrote(tmp_path):
    async def scenario(running):
        await running.request("eu", "PUT", "/strong", Item("a", 1))
        assert value(await running.request("us", "GET", "/strong/a/60"))["left"] == 1
        assert value(await running.request("us", "GET", "/strong-query/60")) == ["a"]
        written = await running.request("eu", "PUT", "/strong", Item("a", 2), session="")
        await running.request("eu", "PUT", "/strong", Item("b", 3))
        assert value(await running.request("us", "GET", "/strong/a/60"))["left"] == 1
        assert value(await running.request("us", "GET", "/strong/a/60", session=token(written)))["left"] == 2
        assert value(await running.request("us", "GET", "/strong-query/60", session=token(written))) == ["a", "b"]

    run(tmp_path, scenario)


def test_a_bounded_read_in_a_session_that_only_the_store_could_answer_refuses_without_it(tmp_path):
    async def scenario(running):
        await running.request("eu", "PUT", "/strong", Item("a", 1))
        await running.request("us", "GET", "/strong/a/60")
        read = await running.request("us", "GET", "/strong/a/60", session="")
        witness_away(running, "us")
        assert value(await running.request("us", "GET", "/strong/a/60", session=token(read)))["left"] == 1
        written = await running.request("eu", "PUT", "/strong", Item("a", 2), session=token(read))
        refused = await running.request("us", "GET", "/strong/a/60", session=token(written))
        assert code(refused) == (503, "PROA-Q001")

    run(tmp_path, scenario)


@pytest.mark.parametrize("text", ["x", "1", "1AAAA", "2" + Token().text()[1:], "1" + "A" * 3000])
def test_a_token_that_no_region_gave_is_refused_by_name(tmp_path, text):
    async def scenario(running):
        refused = await running.request("eu", "GET", "/any/a/none", session=text)
        assert code(refused) == (400, "PROA-Q004")

    run(tmp_path, scenario)


def test_a_token_names_regions_of_the_app_alone(tmp_path):
    async def scenario(running):
        foreign = Token({"mars/1": 3}).text()
        assert code(await running.request("eu", "GET", "/any/a/none", session=foreign)) == (400, "PROA-Q004")

    run(tmp_path, scenario)


def keyed():
    app = shop()
    items = app.tables["items"]

    @app.post("/orders", idempotent=True, timeout_s=1)
    async def order(item: Item) -> Item:
        await items.put(item)
        return item

    return app


def test_a_replayed_answer_carries_the_commit_that_it_tells_of(tmp_path):
    async def scenario(running):
        written = await running.request("eu", "POST", "/orders", Item("a", 1), key="k1", session="")
        await running.settled()
        again = await running.request("us", "POST", "/orders", Item("a", 1), key="k1", session="")
        assert ("idempotency-replayed", "true") in again.headers
        assert told(again).seen["eu/1"] == told(written).seen["eu/1"] == 1

    run(tmp_path, scenario, keyed())


async def felt(region, epoch):
    """Until the region's rows have felt the cuts of `epoch`."""
    while region.sessions.epoch < epoch:
        await asyncio.sleep(0)


def test_a_session_whose_commits_a_fail_over_cut_off_is_told_so_once(tmp_path):
    async def scenario(running):
        await running.request("eu", "PUT", "/any", Item("a", 1))
        await running.settled()
        for other in ("us", "ap"):
            apart(running, "eu", other)
        written = await running.request("eu", "PUT", "/any", Item("a", 2), session="")
        for name in ("us", "ap"):
            running[name].assume(without("eu", cuts=(Cut(2, "eu/1", 1),)), float("inf"))
            await felt(running[name], 2)
        lost = await running.request("us", "GET", "/any/a/none", session=token(written))
        assert code(lost) == (409, "PROA-Q003")
        assert detail(lost) == ("1 commits that this session may have written or read are missing: 1 of eu/1 after 1")
        assert told(lost) == Token({"eu/1": 1}, epoch=2)
        after = await running.request("us", "GET", "/any/a/none", session=token(lost))
        assert value(after)["left"] == 1
        assert told(after).epoch == 2

    run(tmp_path, scenario)


def test_a_session_is_told_of_commits_that_were_set_aside_in_the_region_that_came_back(tmp_path):
    async def scenario(running):
        running["eu"].authority.assume(leading("eu", 1), float("inf"))
        await running.request("eu", "PUT", "/active", Item("a", 1))
        await running.settled()
        for other in ("us", "ap"):
            apart(running, "eu", other)
        written = await running.request("eu", "PUT", "/active", Item("a", 2), session="")
        merged = await running.request("eu", "PUT", "/any", Item("b", 2), session="")
        running.links.cut.clear()
        for region in running.regions.values():
            region.assume(leading("us", 2, (Cut(2, "eu/1", 1),)), float("inf"))
            await felt(region, 2)
        await running.settled()
        for name in REGIONS:
            lost = await running.request(name, "GET", "/active/a/none", session=token(written))
            assert code(lost) == (409, "PROA-Q003")
            after = await running.request(name, "GET", "/active/a/none", session=token(lost))
            assert value(after)["left"] == 1
            assert told(after).epoch == 2
        assert told(merged).seen == {"eu/1": 3}

    run(tmp_path, scenario, shop("active-passive"))


def test_a_session_whose_commits_went_with_a_disk_is_told_so_once_every_region_was_asked(tmp_path):
    async def scenario(running):
        await running.request("eu", "PUT", "/any", Item("a", 1))
        await running.settled()
        for other in ("us", "ap"):
            apart(running, "eu", other)
        written = await running.request("eu", "PUT", "/any", Item("a", 2), session="")
        await running.stop("eu")
        behind = await running.request("us", "GET", "/any/a/none", session=token(written))
        assert code(behind) == (503, "PROA-Q002")
        running.links.cut.clear()
        (tmp_path / "eu").rename(tmp_path / "gone")
        await running.start("eu", incarnation=2)
        lost = await running.request("us", "GET", "/any/a/none", session=token(written))
        assert code(lost) == (409, "PROA-Q003")
        assert told(lost) == Token({"eu/1": 1})
        assert value(await running.request("eu", "GET", "/any/a/none", session=token(lost)))["left"] == 1

    run(tmp_path, scenario)


def test_a_region_that_has_not_felt_the_cuts_of_a_session_is_behind_it(tmp_path):
    async def scenario(running):
        ahead = Token({}, epoch=3).text()
        behind = await running.request("us", "GET", "/any/a/none", session=ahead)
        assert code(behind) == (503, "PROA-Q002")
        assert detail(behind) == "us has not yet applied the cuts of epoch 3"

    run(tmp_path, scenario)


def test_a_write_that_was_handed_on_to_its_home_is_in_the_token(tmp_path):
    async def scenario(running):
        assignment = Assignment(1, "active-active", dict.fromkeys(REGIONS, "active"))
        for region in running.regions.values():
            region.assume(assignment, float("inf"))
        written = [await running.request(name, "PUT", "/home", Item("a", 1), session="") for name in REGIONS]
        homes = {value for answer in written for name, value in answer.headers if name == "proa-home"}
        (home,) = homes
        assert [told(answer).seen[f"{home}/1"] for answer in written] == [1, 2, 3]

    run(tmp_path, scenario)
