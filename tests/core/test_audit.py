"""The chain shows every change to it, and the timeline is the entries' times."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from proa.core.audit import Dated, Head, Phase, append, broken_at, timeline


def chain(count):
    entries, head = [], Head()
    for number in range(count):
        entry, head = append(head, "ann", f"act {number}", 1, "", {"b": "2", "a": "1"})
        entries.append(entry)
    return entries, head


def test_an_untouched_chain_holds_and_an_empty_one_too():
    assert broken_at(*chain(5)) is None
    assert broken_at([], Head()) is None


@given(st.integers(0, 5), st.sampled_from(["change", "remove", "swap", "cut off"]))
def test_a_changed_removed_or_moved_entry_shows(at, how):
    entries, head = chain(6)
    match how:
        case "change":
            entries[at] = msgspec.structs.replace(entries[at], by="mallory")
        case "remove":
            del entries[at]
        case "swap":
            entries[at - 1], entries[at] = entries[at], entries[at - 1]
        case _:
            entries = entries[:at]
    assert broken_at(entries, head) is not None


def test_the_timeline_runs_from_the_last_renewal_to_the_verification():
    head, dated = Head(), []
    steps = {
        "request": 2,
        "gate": 2.1,
        "approve": 3,
        "fence": 3.1,
        "catch_up": 5,
        "promote": 5.5,
        "shift": 6,
        "verify": 7,
    }
    for action, at in steps.items():
        detail = {"known_good_at_s": "100.5"} if action == "request" else {}
        entry, head = append(head, "us", action, 1, "000001", detail)
        dated.append(Dated(entry, 100.0 + at))
    phases = timeline(dated, "000001")
    assert phases[:2] == [Phase("detect", 100.5, 1.5), Phase("decide", 102, 1)]
    assert [phase.took_s for phase in phases[2:]] == [2, 0.5, 0.5, 1]
    assert timeline(dated, "000002") == []
