"""A run's story: nodes and clients in one course, without what does not matter."""

from proa.simulation.case import Moment
from proa.simulation.history import NEVER, Operation, Violation
from proa.simulation.story import WHOLE_MAX, story

KILLED = Moment(2.0, "fault", "kill: eu-west-1")


def operation(number, outcome="ok", began=1.0, **more):
    ended = NEVER if outcome == "unknown" else began + 0.25
    return Operation(number, "client-0", "register", "cas", "k", (1, 2), outcome, True, began, ended, **more)


def test_operations_stand_where_they_began():
    told = story([KILLED], [operation(0), operation(1, "unknown", 2.5)], ())
    assert told == (
        Moment(1.0, "client-0", "[0] cas k (1, 2) -> ok True after 0.250 s"),
        KILLED,
        Moment(2.5, "client-0", "[1] cas k (1, 2) -> no answer: it may have happened"),
    )


def test_an_answer_tells_its_region_and_epoch():
    (told,) = story([], [operation(0, region="eu-west-1", epoch=3)], ())
    assert told.what == "[0] cas k (1, 2) -> ok True from eu-west-1 in epoch 3 after 0.250 s"


def test_of_a_long_history_only_what_failed_or_was_named_is_told():
    history = [operation(number) for number in range(WHOLE_MAX)]
    history += [operation(98, "failed"), operation(99, "unknown")]
    told = story([], history, [Violation("register", "", (3, 7))])
    assert [moment.what.partition(" ")[0] for moment in told] == ["[3]", "[7]", "[98]", "[99]"]


def test_long_values_are_left_out():
    long = Operation(0, "c", "drill", "POST", "/sales", None, "ok", b"{" + b" " * 100 + b"}", 1.0, 1.5)
    assert story([], [long], ())[0].what == "[0] POST /sales -> ok after 0.500 s"
