"""The in-sync set, by its rules, and over interleavings of all that can happen to it."""

from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from proa.core import insync
from proa.core.insync import LAG_S, SILENT_S, Group, InSync, Wanted
from proa.core.replicate.stamp import region_of
from proa.core.roles import Cut, Node

NOW = 100.0


def group(*members, boot="b1", acknowledged=0, since=0.0, **more):
    row = InSync("eu/1", members, "b1")
    return Group("eu/1", boot, since, row, 7, acknowledged=acknowledged, **more)


def after(known, *reports, epoch=1, head=0, now=NOW):
    """The same after peers reported how far they have eu/1, of which `head` is durable at home."""
    for peer, seq in reports:
        known = insync.heard(known, peer, {"eu/1": seq}, epoch, {"eu/1": head}, now)
    return known


def want(seq, epoch=1):
    return Wanted({"eu/1": seq}, epoch)


# Who is counted.


def test_a_member_confirms_what_it_has_and_nothing_beyond():
    known = after(group("us/1"), ("us/1", 5))
    assert insync.confirms(known, want(5), epoch=1)
    assert not insync.confirms(known, want(6), epoch=1)


def test_a_peer_outside_the_set_confirms_nothing():
    assert not insync.confirms(after(group("us/1"), ("ap/1", 9)), want(5), epoch=1)


def test_another_life_of_a_member_is_nobody():
    assert not insync.confirms(after(group("us/1"), ("us/2", 9)), want(5), epoch=1)


def test_while_a_change_is_under_way_only_members_of_both_rows_count():
    joining = insync.proposing(group("us/1"), InSync("eu/1", ("ap/1", "us/1"), "b1"))
    assert joining.counted == ("us/1",)
    leaving = insync.proposing(group("ap/1", "us/1"), InSync("eu/1", ("ap/1",), "b1"))
    assert leaving.counted == ("ap/1",)
    assert insync.withdrawn(leaving).counted == ("ap/1", "us/1")


def test_a_newer_row_settles_the_fate_of_a_change():
    joining = insync.proposing(group("us/1"), InSync("eu/1", ("ap/1", "us/1"), "b1"))
    assert insync.learned(joining, joining.proposed, 8).counted == ("ap/1", "us/1")
    assert insync.learned(joining, joining.row, 7) is joining


def test_nobody_counts_before_a_restarted_process_has_taken_the_row_over():
    again = insync.begun(group("us/1"), "eu/1", "b2", 5, NOW)
    assert (again.counted, again.acknowledged) == ((), 5)
    claim = insync.proposal(again, {"eu/1": 5}, NOW)
    assert claim == InSync("eu/1", ("us/1",), "b2")
    assert not insync.admits(again, claim)
    assert insync.learned(again, claim, 8).counted == ("us/1",)


def test_a_member_of_a_later_epoch_counts_when_this_region_acts_under_it_too():
    known = after(group("us/1"), ("us/1", 5), epoch=2)
    assert not insync.confirms(known, want(5), epoch=1)
    assert insync.confirms(known, want(5), epoch=2)


def test_what_lies_beyond_a_cut_of_a_later_epoch_is_never_confirmed():
    cut = Cut(2, "eu/1", 4)
    assert insync.cut_off(want(5), [cut]) == cut
    assert insync.cut_off(want(4), [cut]) is None
    assert insync.cut_off(want(5, epoch=2), [cut]) is None


def test_a_unit_has_a_chance_while_a_member_was_heard_lately():
    known = after(group("us/1"), ("us/1", 0))
    assert insync.reachable(known, NOW + SILENT_S)
    assert not insync.reachable(known, NOW + SILENT_S + 0.1)
    assert not insync.reachable(after(group(), ("us/1", 0)), NOW)


# Joining.


def test_a_peer_is_admitted_when_it_has_all_that_was_durable_here():
    known = after(group("us/1"), ("us/1", 9), ("ap/1", 8), head=9)
    assert insync.proposal(known, {"eu/1": 9}, NOW) is None
    joined = insync.proposal(after(known, ("ap/1", 9), head=9), {"eu/1": 9}, NOW)
    assert joined == InSync("eu/1", ("ap/1", "us/1"), "b1")


def test_under_load_a_peer_is_admitted_when_it_has_what_was_durable_a_moment_ago():
    known = after(group("us/1"), ("us/1", 9), ("ap/1", 9), head=9)
    known = msgspec.structs.replace(known, row=InSync("eu/1", ("us/1",), "b1"))
    known = after(known, ("ap/1", 15), head=20, now=NOW + 1)
    assert "ap/1" in insync.proposal(known, {"eu/1": 20}, NOW + 1).members


def test_a_peer_that_has_fallen_silent_is_not_admitted():
    known = after(group("us/1"), ("us/1", 9), ("ap/1", 9), head=9)
    assert insync.proposal(known, {"eu/1": 9}, NOW + SILENT_S + 0.1) is None


def test_whoever_joins_has_the_earlier_lives_of_this_region_whole():
    known = insync.heard(group("us/1"), "ap/1", {"eu/0": 3, "eu/1": 9}, 1, {"eu/0": 4, "eu/1": 9}, NOW)
    known = insync.heard(known, "ap/1", {"eu/0": 3, "eu/1": 9}, 1, {"eu/0": 3, "eu/1": 9}, NOW)
    assert insync.proposal(known, {"eu/0": 4, "eu/1": 9}, NOW) is None


# Leaving.


def lagging(*members, acknowledged):
    known = after(group("ap/1", "us/1", acknowledged=acknowledged), ("ap/1", 5), ("us/1", 5), head=5)
    return after(known, *members, head=9, now=NOW + LAG_S + 1)


def test_a_member_that_fell_behind_is_dropped_when_another_has_all_that_was_acknowledged():
    known = lagging(("us/1", 9), acknowledged=9)
    assert insync.proposal(known, {"eu/1": 9}, NOW + LAG_S + 1) == InSync("eu/1", ("us/1",), "b1")


def test_it_stays_while_it_may_be_the_only_one_that_has_something():
    known = lagging(("us/1", 8), acknowledged=9)
    known = insync.heard(known, "us/1", {"eu/1": 8}, 1, {"eu/1": 8}, NOW + LAG_S + 1)
    assert insync.proposal(known, {"eu/1": 9}, NOW + LAG_S + 1) is None


def test_the_last_member_is_never_dropped():
    known = after(group("us/1", acknowledged=5), ("us/1", 5), head=5)
    assert insync.proposal(known, {"eu/1": 9}, NOW + 100 * LAG_S) is None


def test_a_life_that_is_over_makes_room_for_the_next_one_of_the_same_peer():
    known = after(group("us/1", acknowledged=5), ("us/1", 5), head=5)
    known = after(known, ("us/2", 5), head=5)
    both = insync.proposal(known, {"eu/1": 5}, NOW)
    assert both.members == ("us/1", "us/2")
    assert insync.proposal(insync.learned(known, both, 8), {"eu/1": 5}, NOW).members == ("us/2",)


# A new life of this region's own disk.


def successor(*reports, own):
    known = insync.begun(group("ap/1", "us/1"), "eu/2", "b2", 0, NOW)
    for peer, seq in reports:
        known = insync.heard(known, peer, {"eu/1": seq}, 1, own, NOW)
    return insync.proposal(known, own, NOW)


def test_a_new_life_takes_the_row_over_when_it_has_what_every_member_has_of_the_old_one():
    own = {"eu/1": 9, "eu/2": 0}
    assert successor(("us/1", 9), ("ap/1", 7), own=own) == InSync("eu/2", ("us/1",), "b2")
    assert successor(("us/1", 9), own=own) is None
    assert successor(("us/1", 9), ("ap/1", 10), own=own) is None


def test_a_member_that_lives_on_under_another_origin_answers_for_the_disk_that_it_has_kept():
    own, known = {"eu/1": 9, "eu/2": 0}, insync.begun(group("us/1"), "eu/2", "b2", 0, NOW)
    another_disk = insync.heard(known, "us/2", {"eu/1": 9}, 1, own, NOW)
    assert insync.proposal(another_disk, own, NOW) is None
    same_disk = insync.heard(known, "us/2", {"eu/1": 9}, 1, own, NOW, whole_since=1)
    assert insync.proposal(same_disk, own, NOW) == InSync("eu/2", ("us/2",), "b2")
    ahead = insync.heard(same_disk, "us/2", {"eu/1": 10}, 1, own, NOW, whole_since=1)
    assert insync.proposal(ahead, own, NOW) is None


def test_an_old_life_does_not_take_the_row_back():
    known = msgspec.structs.replace(group("us/1"), row=InSync("eu/2", ("us/1",), "b2"))
    known = after(known, ("us/1", 9), head=9)
    assert (known.counted, insync.proposal(known, {"eu/1": 9}, NOW)) == ((), None)


# Releasing a new life from members that are gone for good.


def test_only_a_member_whose_disk_is_lost_is_gone():
    def lives(**whole_since):
        return {
            name: Node(name, "region", "b", 1, 4.0, f"{name}/2", whole_since=since)
            for name, since in whole_since.items()
        }

    row = InSync("eu/1", ("ap/1", "us/1"), "b1")
    assert insync.gone(row, lives(eu=0, us=0, ap=1)) == ("us/1",)
    assert insync.obstacle(row, "eu", lives(eu=0, us=1, ap=1)) == "every member of eu/1 may still answer: ap/1, us/1"


# Over all interleavings.


class Interleavings:
    """A region and two peers: disks, messages on their way, one row, and what clients were told.

    Reports and transactions come late, twice, out of order or never; processes restart, disks are lost.
    """

    def __init__(self, rng):
        self.rng = rng
        self.now = 100.0
        self.row, self.version, self.made = None, 0, set()
        self.disk = {"eu/1": 0}
        self.life, self.boots = 1, 0
        self.group = Group()
        self.lives = {"us": 1, "ap": 1}
        self.disks = {"us/1": {}, "ap/1": {}}  # of every life there ever was, as it ended
        self.whole_since = {"us": 1, "ap": 1}
        self.reports, self.sent = [], []
        self.told = []
        self.restart()

    @property
    def origin(self):
        return f"eu/{self.life}"

    def peer(self):
        name = self.rng.choice(("us", "ap"))
        return f"{name}/{self.lives[name]}"

    # The world.

    def commit(self):
        self.disk[self.origin] += 1

    def replicate(self):
        """One peer takes some of what another disk has."""
        held, count = self.disks[self.peer()], self.rng.choice((1, 2, 100))
        source = self.rng.choice((self.disk, self.disk, self.disks[self.peer()]))
        for origin, head in source.items():
            held[origin] = max(held.get(origin, 0), min(head, held.get(origin, 0) + count))

    def catch_up(self):
        """The region takes what a peer has of its earlier lives."""
        for origin, seq in self.disks[self.peer()].items():
            if origin != self.origin:
                self.disk[origin] = max(self.disk.get(origin, 0), seq)

    def wait(self):
        self.now += self.rng.choice((0.1, 0.5, 1.0, LAG_S / 2))

    def restart(self):
        self.boots += 1
        self.group = insync.begun(self.group, self.origin, f"b{self.boots}", self.disk[self.origin], self.now)

    def lose_own_disk(self):
        self.life += 1
        self.disk = {self.origin: 0}
        self.group = Group()
        self.restart()

    def lose_a_peers_disk(self):
        name = self.rng.choice(("us", "ap"))
        self.lives[name] += 1
        self.whole_since[name] = self.lives[name]
        self.disks[f"{name}/{self.lives[name]}"] = {}

    def rename_a_peer(self):
        """It goes on under another origin with what it has."""
        held = self.disks[peer := self.peer()]
        name = region_of(peer)
        self.lives[name] += 1
        self.disks[f"{name}/{self.lives[name]}"] = held

    # Messages.

    def report(self):
        peer = self.peer()
        self.reports.append((peer, dict(self.disks[peer]), f"b{self.boots}", self.whole_since[region_of(peer)]))

    def hear(self):
        late = self.rng.random() < 0.2
        peer, cursors, to, whole_since = self.rng.choice(self.reports) if late else self.reports[-1]
        if to == f"b{self.boots}":
            self.group = insync.heard(self.group, peer, cursors, 1, dict(self.disk), self.now, whole_since)

    def propose(self):
        row = insync.proposal(self.group, dict(self.disk), self.now)
        if row:
            self.sent.append((len(self.sent), row, self.group.version))
            self.group = insync.proposing(self.group, row)

    def arrive(self):
        late = self.rng.random() < 0.2
        number, row, version = self.rng.choice(self.sent) if late else self.sent[-1]
        if number not in self.made and version == self.version:
            self.version, self.row = self.version + 1, row
            self.made.add(number)

    def learn(self):
        if self.row:
            self.group = insync.learned(self.group, self.row, self.version)

    def give_up(self):
        """A change was refused, which proves that it will never be made."""
        if self.group.proposed and self.sent[-1][2] < self.version:
            self.learn()
            self.group = insync.withdrawn(self.group)

    def acknowledge(self):
        for seq in range(self.disk[self.origin], self.group.acknowledged, -1):
            wanted = Wanted({self.origin: seq}, 1)
            if insync.confirms(self.group, wanted, 1):
                self.group = insync.acknowledged(self.group, wanted)
                self.told.append((self.origin, seq))

    def step(self):
        choices = {
            self.commit: 5, self.replicate: 9, self.catch_up: 2, self.wait: 3, self.restart: 1,
            self.lose_own_disk: 0.1, self.lose_a_peers_disk: 0.2, self.rename_a_peer: 0.3, self.report: 10,
            self.propose: 4, self.learn: 4, self.give_up: 1, self.acknowledge: 8,
        }  # fmt: skip
        if self.reports:
            choices[self.hear] = 10
        if self.sent:
            choices[self.arrive] = 4
        self.rng.choices(list(choices), choices.values())[0]()

    def unprotected(self):
        """What was acknowledged and never was durable at any member that the row names."""
        return [
            (origin, seq)
            for origin, seq in self.told
            if not any(self.disks[member].get(origin, 0) >= seq for member in self.row.members)
        ]


@given(st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_whatever_was_acknowledged_is_durable_at_a_member_that_the_row_names(seed):
    world = Interleavings(Random(seed))
    for _ in range(400):
        world.step()
        assert world.unprotected() == []
