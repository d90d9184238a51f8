"""The account of messages: what was under way when a region was lost, and what became of it."""

from proa.chaos.messages import MessageAccount, Name, accounted
from proa.core.queue import MESSAGES, Spot
from proa.core.replicate.journal import Commit, Write
from proa.core.time import stamp_of

FAULT_AT = 100.0


def key(name, due_ms=0):
    return Spot("orders", "eu", "5", due_ms, name).key


def sent(name, due_ms=0):
    return Write(MESSAGES, key(name, due_ms), b"")


def taken(name, due_ms=0):
    return Write(MESSAGES, key(name, due_ms), None, "home")


class Disks:
    """The commits on all disks."""

    def __init__(self):
        self.commits = {}
        self.parked = set()
        self.left = {}

    def commit(self, region, at, *writes, aside=False):
        dot = (f"{region}/1", len(self.commits) + 1)
        self.commits[dot] = Commit(*dot, stamp_of(at), 1, {}, list(writes), [], None, f"unit-{dot[1]}")
        if aside:
            self.parked.add(dot)
        return self

    def leave(self, at, *names, home="eu"):
        """At the fault these lay in the global store."""
        self.left |= {Name("orders", name, home): at for name in names}
        return self

    def account(self, *waiting):
        return accounted(self.commits, self.parked, waiting, self.left, "eu", FAULT_AT)


def test_what_was_handled_before_the_fault_is_not_in_flight():
    disks = Disks().commit("eu", 90, sent("a")).commit("eu", 91, taken("a"))
    assert disks.account() == MessageAccount()


def test_what_another_region_handled_after_the_fault_was_adopted():
    disks = Disks().commit("eu", 99, sent("a"), sent("b")).commit("us", 105, taken("a")).commit("eu", 120, taken("b"))
    assert disks.account() == MessageAccount(in_flight=2, adopted=1)


def test_a_retry_moves_a_message_and_ends_nothing():
    disks = (
        Disks().commit("eu", 98, sent("a")).commit("eu", 99, taken("a"), sent("a", 7)).commit("us", 105, taken("a", 7))
    )
    assert disks.account() == MessageAccount(in_flight=1, adopted=1)


def test_what_was_handled_by_a_commit_that_was_set_aside_is_reconciled_not_doubled():
    disks = Disks().commit("eu", 98, sent("a")).commit("eu", 99, taken("a"), aside=True).commit("us", 105, taken("a"))
    assert disks.account() == MessageAccount(in_flight=1, adopted=1, reconciled=1)


def test_two_commits_that_stand_and_end_one_message_double_it():
    disks = Disks().commit("eu", 98, sent("a")).commit("eu", 99, taken("a")).commit("us", 105, taken("a"))
    assert disks.account().duplicated == 1


def test_a_message_that_waits_is_not_lost_and_one_that_is_nowhere_is():
    disks = Disks().commit("eu", 98, sent("a"), sent("b"))
    assert disks.account("a") == MessageAccount(in_flight=2, lost=1, waiting=1)


def test_a_message_whose_sending_was_set_aside_was_never_sent():
    assert Disks().commit("eu", 99, sent("a"), aside=True).account() == MessageAccount()


def test_what_the_global_store_had_for_the_lost_region_is_in_flight_and_adopted_by_who_fetches_and_handles_it():
    disks = Disks().leave(99, "a", "b").commit("us", 105, sent("a"), sent("b")).commit("us", 106, taken("a"))
    assert disks.account("b") == MessageAccount(in_flight=2, adopted=1, waiting=1)


def test_what_the_lost_region_had_fetched_and_handled_for_all_to_see_is_not_in_flight():
    disks = Disks().leave(97, "a").commit("eu", 98, sent("a")).commit("eu", 99, taken("a"))
    assert disks.account() == MessageAccount()


def test_what_was_fetched_and_handled_by_commits_that_were_set_aside_is_adopted_once():
    disks = Disks().leave(97, "a").commit("eu", 98, sent("a"), aside=True).commit("eu", 99, taken("a"), aside=True)
    disks.commit("us", 105, sent("a")).commit("us", 106, taken("a"))
    assert disks.account() == MessageAccount(in_flight=1, adopted=1, reconciled=1)


def test_what_the_global_store_had_at_the_fault_and_nobody_ever_fetched_is_lost_unless_it_is_still_there():
    assert Disks().leave(99, "a", "b").account("a") == MessageAccount(in_flight=2, lost=1, waiting=1)


def test_what_the_global_store_had_for_others_is_not_in_flight():
    assert Disks().leave(99, "a", home="us").account("a") == MessageAccount(waiting=1)
