"""A redrive or a purge that all regions do their share of: it is awaited, stopped, and what is not known is said."""

import pytest
from control_stand_in import JOB, Regions

from proa.errors import NotFound, RegionSilent
from proa.operate import DeadLetters, dead_letters, moving

LOST = "the region started anew, or many others ended since"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(moving, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(dead_letters, "new_job", lambda: JOB["id"])


def jobs(moved, state="running", **more):
    return {"jobs": [JOB | {"id": "another"}, JOB | {"moved": moved, "state": state, **more}]}


def begun(answers):
    regions = Regions({"orders/dead/redrive": JOB, **answers})
    return regions, DeadLetters(regions, "orders").redrive()


def states(moving):
    return {region: (job.moved, job.state) for region, job in moving.jobs.items()}


def test_it_is_awaited_until_every_region_has_done_its_share():
    regions, moving = begun(
        {"eu/orders/dead/jobs": [jobs(5, "done")], "us/orders/dead/jobs": [jobs(2), jobs(7, "done")]}
    )
    assert moving.wait()
    assert (moving.moved, moving.unheard) == (12, {})
    assert states(moving) == {"eu": (5, "done"), "us": (7, "done")}
    looks = [region for region, method, *_ in regions.asked if method == "GET"]
    assert looks == ["eu", "us", "us"]  # who is done is not asked again


def test_whoever_waits_no_longer_is_told_that_it_goes_on():
    _, moving = begun({"eu/orders/dead/jobs": jobs(3), "us/orders/dead/jobs": jobs(2, "done")})
    assert not moving.wait(0)
    assert (moving.moved, states(moving)["eu"]) == (5, (3, "running"))


def test_a_share_that_failed_says_why():
    _, moving = begun({"orders/dead/jobs": jobs(3, "failed", why="StoreFull: no room")})
    assert moving.wait()
    assert (moving.jobs["us"].state, moving.jobs["us"].why) == ("failed", "StoreFull: no room")


def test_a_region_that_does_not_answer_any_more_is_told_and_not_waited_for():
    regions, moving = begun({"orders/dead/jobs": jobs(3, "done")})
    regions.deaf.add("us")
    assert moving.wait()
    assert (states(moving)["us"], str(moving.unheard["us"])) == ((0, "running"), "us does not answer (refused)")
    regions.deaf.clear()
    assert moving.wait()
    assert (states(moving)["us"], moving.unheard) == ((3, "done"), {})


def test_a_region_that_started_anew_has_lost_its_share():
    _, moving = begun({"eu/orders/dead/jobs": [jobs(3), {"jobs": []}], "us/orders/dead/jobs": jobs(1, "done")})
    assert not moving.wait(0)
    assert moving.wait()
    assert (states(moving)["eu"], moving.jobs["eu"].why) == ((3, "lost"), LOST)


def test_it_is_cancelled_where_it_goes_on():
    regions, moving = begun({
        "eu/orders/dead/jobs": jobs(3, "done"), "us/orders/dead/jobs": jobs(2),
        "us/orders/dead/cancel/j": JOB | {"moved": 4, "state": "cancelled"},
    })  # fmt: skip
    assert not moving.wait(0)
    moving.cancel()
    assert states(moving) == {"eu": (3, "done"), "us": (4, "cancelled")}
    assert [asked[:3] for asked in regions.asked if "cancel" in asked[2]] == [("us", "POST", "orders/dead/cancel/j")]
    assert moving.wait()


def test_a_cancel_that_a_region_does_not_hear_is_told():
    regions, moving = begun({"eu/orders/dead/cancel/j": NotFound("eu has no job 'j'")})
    regions.deaf.add("us")
    moving.cancel()
    assert states(moving) == {"eu": (0, "lost"), "us": (0, "running")}
    assert isinstance(moving.unheard["us"], RegionSilent)


def silent_at_first(answers):
    return begun({"us/orders/dead/redrive": RegionSilent("us", "timed out"), "eu/orders/dead/jobs": jobs(1), **answers})


def test_what_a_region_may_have_begun_is_cancelled_though_it_did_not_say_so():
    regions, moving = silent_at_first({
        "eu/orders/dead/cancel/j": JOB | {"moved": 1, "state": "cancelled"},
        "us/orders/dead/cancel/j": JOB | {"moved": 4, "state": "cancelled"},
    })  # fmt: skip
    assert {body["job"] for _, _, path, body in regions.asked if path.endswith("redrive")} == {"j"}
    assert [*moving.jobs] == ["eu"]
    moving.cancel()
    assert (states(moving), moving.unheard) == ({"eu": (1, "cancelled"), "us": (4, "cancelled")}, {})


def test_a_region_that_did_begin_unheard_is_waited_for_once_it_says_so():
    _, moving = silent_at_first({
        "eu/orders/dead/jobs": jobs(1, "done"), "us/orders/dead/jobs": [jobs(2), jobs(4, "done")],
    })  # fmt: skip
    assert moving.wait()
    assert (states(moving), moving.unheard) == ({"eu": (1, "done"), "us": (4, "done")}, {})


def test_a_region_that_never_began_stays_unheard_and_is_not_waited_for():
    _, moving = silent_at_first({
        "eu/orders/dead/jobs": jobs(1, "done"), "us/orders/dead/jobs": {"jobs": []},
        "us/orders/dead/cancel/j": NotFound("us has no job 'j'"),
    })  # fmt: skip
    assert moving.wait()
    moving.cancel()
    assert ([*moving.jobs], str(moving.unheard["us"])) == (["eu"], "us does not answer (timed out)")
