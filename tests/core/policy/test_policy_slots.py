"""Slots: laws that hold whatever comes, and the adaptive limit against a dependency with a capacity of its own."""

import heapq
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.policy.adaptive import AdaptiveLimit
from proa.core.policy.slots import PRIORITIES, Concurrency, Slots, Ticket
from proa.errors import DeclarationError

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.integers(0, 2), st.sampled_from("abc")),
        st.tuples(st.just("leave"), st.integers(0, 5)),
        st.tuples(st.just("give up"), st.integers(0, 5)),
    ),
    max_size=80,
)


@given(limit=st.integers(1, 3), line=st.integers(0, 4), events=EVENTS)
def test_never_more_run_or_wait_than_may_and_everybody_hears_once(limit, line, events):
    slots = Slots(Concurrency(limit=limit, line=line))
    running, waiting, told = [], [], {}
    for event in events:
        match event:
            case ("arrive", priority, tenant):
                ticket = Ticket("r", priority, tenant, float("inf"))
                verdict = slots.arrive(ticket, 0.0)
                if verdict == "run":
                    running.append(ticket)
                elif verdict == "wait":
                    waiting.append(ticket)

                    def called(verdict, ticket=ticket):
                        assert ticket not in told
                        told[ticket] = verdict
                        waiting.remove(ticket)
                        if verdict == "run":
                            running.append(ticket)

                    ticket.called = called
            case ("leave", which) if running:
                slots.leave(running.pop(which % len(running)), 0.0, failed=False)
            case ("give up", which) if waiting:
                slots.give_up(waiting.pop(which % len(waiting)))
        assert (slots.running, slots.waiting) == (len(running), len(waiting))
        assert slots.running <= limit
        assert sum(ticket.priority > 0 for ticket in waiting) <= line
        assert slots.waiting <= max(line, line * 8)
        assert not waiting or slots.running == limit, "nobody waits while a slot is free"


def called_in_order(tickets, limit=1, line=100):
    """In which order those that wait are called, by name."""
    slots = Slots(Concurrency(limit=limit, line=line))
    first = Ticket("r", 0, "first", float("inf"))
    slots.arrive(first, 0.0)
    order = []
    for name, priority, tenant in tickets:
        ticket = Ticket("r", PRIORITIES.index(priority), tenant, float("inf"))
        slots.arrive(ticket, 0.0)
        ticket.called = lambda verdict, ticket=ticket, name=name: order.append((name, verdict, ticket))
    slots.leave(first, 0.0, failed=False)
    for _, verdict, ticket in order:
        if verdict == "run":
            slots.leave(ticket, 0.0, failed=False)
    return [name if verdict == "run" else f"-{name}" for name, verdict, _ in order]


def test_classes_go_by_importance_and_tenants_in_turns_within_them():
    asked = [("a1", "normal", "a"), ("a2", "normal", "a"), ("b1", "normal", "b"), ("l", "low", "c"), ("h", "high", "a")]
    assert called_in_order(asked) == ["h", "a1", "b1", "a2", "l"]


def test_in_a_full_line_the_tenant_that_has_most_gives_way():
    asked = [("a1", "normal", "a"), ("a2", "normal", "a"), ("a3", "normal", "a"), ("b1", "normal", "b")]
    assert called_in_order(asked, line=3) == ["-a3", "a1", "b1", "a2"]


def test_a_tenant_that_is_alone_is_dropped_from_its_tail():
    asked = [("a1", "normal", "a"), ("a2", "normal", "a"), ("a3", "normal", "a")]
    assert called_in_order(asked, line=2) == ["a1", "a2"]


def driven(limit, capacity, *, rate, seconds, takes_s=0.01, change=None):
    """Units that arrive at a rate at a dependency with `capacity` places, run by `limit`: how many ran at the end."""
    now, ends, free_at, numbers = 0.0, [], [0.0] * capacity, count()
    done_late = 0
    running = 0
    arrivals = int(rate * seconds)
    for index in range(arrivals):
        now = index / rate
        if change and now >= change[0]:
            free_at, change = [now] * change[1], None
            capacity = len(free_at)
        while ends and ends[0][0] <= now:
            end, _, began = heapq.heappop(ends)
            limit.finished("r", end - began, end, running=running, failed=False)
            running -= 1
            done_late += end > seconds / 2
        if running < limit.limit:
            running += 1
            place = min(range(capacity), key=free_at.__getitem__)
            free_at[place] = max(now, free_at[place]) + takes_s
            heapq.heappush(ends, (free_at[place], next(numbers), now))
    return done_late / (seconds / 2)


@pytest.mark.parametrize("first", [4, 20, 200])
def test_the_limit_settles_near_what_keeps_the_dependency_busy(first):
    limit = AdaptiveLimit(4, 1000, first)
    goodput = driven(limit, 10, rate=3000, seconds=30)
    assert 10 <= limit.limit <= 25
    assert goodput >= 950  # of 1000 a second that ten places of 10 ms can do


def test_the_limit_follows_a_dependency_that_lost_places():
    limit = AdaptiveLimit(4, 1000, 20)
    driven(limit, 40, rate=8000, seconds=30, change=(15, 10))
    assert limit.limit <= 25


def test_failing_units_lower_the_limit():
    limit = AdaptiveLimit(4, 1000, 100)
    for index in range(1000):
        limit.finished("r", 0.01, index / 100, running=limit.limit, failed=True)
    assert limit.limit < 60


def test_without_load_the_limit_stays_where_it_is():
    limit = AdaptiveLimit(4, 1000, 20)
    for index in range(1000):
        limit.finished("r", 0.01, index / 100, running=1, failed=False)
    assert limit.limit == 20


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit_min": 5, "limit_max": 4}, {"line": -1}])
def test_concurrency_that_makes_no_sense_is_refused_by_name(wrong):
    with pytest.raises(DeclarationError, match="Concurrency"):
        Concurrency(**wrong)


class Bench:
    """Requests at a rate, a tenth of them important, through slots to a dependency whose places take 10 ms each."""

    TAKES_S = 0.01

    def __init__(self, slots, places):
        self.slots = slots
        self.free_at = [0.0] * places
        self.events, self.numbers = [], count()
        self.done, self.shed = [], []

    def run(self, rate, seconds):
        for index in range(int(rate * seconds)):
            now = index / rate
            self._until(now)
            self._arrive(now, 0 if index % 10 == 0 else 1)
        self._until(float("inf"))
        return self

    def _until(self, now):
        while self.events and self.events[0][0] <= now:
            end, _, ticket, came = heapq.heappop(self.events)
            self.done.append((ticket.priority, came, end - came))
            self.slots.leave(ticket, end, failed=False)

    def _arrive(self, now, priority):
        ticket = Ticket("r", priority, "", now + 2)
        ticket.called = lambda verdict: self._told(verdict, ticket, now)
        verdict = self.slots.arrive(ticket, now)
        if verdict != "wait":
            self._told(verdict, ticket, now)

    def _told(self, verdict, ticket, came):
        if verdict == "shed":
            self.shed.append((ticket.priority, came))
            return
        place = min(range(len(self.free_at)), key=self.free_at.__getitem__)
        self.free_at[place] = max(ticket.since, self.free_at[place]) + self.TAKES_S
        heapq.heappush(self.events, (self.free_at[place], next(self.numbers), ticket, came))


@pytest.mark.parametrize("places", [4, 10, 40])
@pytest.mark.parametrize("excess", [1.1, 3, 10])
def test_beyond_its_capacity_a_region_does_what_it_can_and_the_important_first(places, excess):
    bench = Bench(Slots(Concurrency(limit_min=2)), places).run(rate=excess * places * 100, seconds=4)
    settled = 1.5
    done = [(priority, took) for priority, came, took in bench.done if came >= settled]
    goodput = len(done) / (4 - settled) / (places * 100)
    important = sum(priority == 0 for priority, _ in done)
    lost = sum(priority == 0 for priority, came in bench.shed if came >= settled)
    slowest = sorted(took for _, took in done)[int(len(done) * 0.99)]
    success, patience = (0.99, 3) if excess <= 3 else (0.9, 5)  # at ten times the important alone are all it can do
    assert goodput >= 0.9
    assert important / (important + lost) >= success
    assert slowest < patience * bench.TAKES_S
