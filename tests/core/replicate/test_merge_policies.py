"""Rows made of several writes: replicas converge whatever handlers write, and every field means what it says."""

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.replicate.merge_model import course, in_pieces, merged, saw, shuffled
from proa.core.replicate import merge
from proa.core.replicate.crdt import plain_fields
from proa.core.replicate.journal import Row
from proa.core.replicate.merge import declared, resolve, verdict
from proa.core.replicate.resolve import dots_of
from proa.core.replicate.siblings import siblings_of
from proa.declare.codec import RowCodec


@dataclass
class Game:
    id: str
    level: int = 0
    title: str = ""
    plays: merge.GrowCounter = field(default_factory=merge.GrowCounter)
    score: merge.Counter = field(default_factory=merge.Counter)
    players: merge.AddWinsSet[str] = field(default_factory=merge.AddWinsSet[str])
    notes: merge.MultiValue[str] = field(default_factory=merge.MultiValue[str])
    host: merge.Register[str] = field(default_factory=lambda: merge.Register("nobody"))


@dataclass
class Level:
    id: str
    level: int = 0


GAMES, LEVELS = RowCodec(Game), RowCodec(Level)


def highest(one, other):
    return max(one, other, key=lambda row: row.level)


FIELDS = declared(merge.fields(level=max), GAMES)
FUNCTION = declared(merge.function(highest), LEVELS)
POLICIES = {"fields": FIELDS, "function": FUNCTION, "last writer": merge.last_writer()}


def play(value, rng, *, deletes=0.15, anew=0.15):
    """Change a game in some ways; now and then delete it, or put one that knows nothing of what is there."""
    if value is not None and rng.random() < deletes:
        return None
    game = Game("g") if value is None or rng.random() < anew else GAMES.decode(value)
    for change in rng.sample(CHANGES, rng.randint(1, 3)):
        change(game, rng)
    return GAMES.encode(game)


CHANGES = [
    lambda game, rng: setattr(game, "level", rng.randint(0, 5)),
    lambda game, rng: setattr(game, "title", rng.choice("abc")),
    lambda game, rng: game.plays.add(rng.randint(1, 3)),
    lambda game, rng: game.score.add(rng.randint(-3, 3)),
    lambda game, rng: game.players.add(rng.choice("xyz")),
    lambda game, rng: game.players.discard(rng.choice("xyz")),
    lambda game, rng: game.notes.set(rng.choice("pqr")),
    lambda game, rng: game.host.set(rng.choice("xyz")),
]


def climb(value, rng):
    """Set a level that may be lower than the one before."""
    return None if value is not None and rng.random() < 0.2 else LEVELS.encode(Level("g", rng.randint(0, 9)))


ACTS = {"fields": play, "function": climb, "last writer": climb}
SEEDS = st.integers(0, 2**32)


# Convergence.


@pytest.mark.parametrize("name", POLICIES)
@given(SEEDS, st.integers(1, 14), st.randoms(use_true_random=False))
def test_replicas_end_equal_whatever_handlers_wrote_and_in_whatever_order_they_learned_it(name, seed, length, rng):
    policy = POLICIES[name]
    writes = course(policy, ACTS[name], seed, length)
    assert merged(policy, shuffled(writes, rng)) == merged(policy, writes)


@pytest.mark.parametrize("name", POLICIES)
@given(SEEDS, st.integers(1, 14), st.randoms(use_true_random=False))
def test_replicas_that_merged_early_end_equal_too(name, seed, length, rng):
    policy = POLICIES[name]
    writes = course(policy, ACTS[name], seed, length)
    assert in_pieces(policy, writes, rng) == merged(policy, writes)


@pytest.mark.parametrize("name", POLICIES)
@given(SEEDS, st.integers(1, 10), st.randoms(use_true_random=False))
def test_what_is_left_when_some_writes_are_set_aside_does_not_depend_on_the_order_either(name, seed, length, rng):
    """As after a fail-over: the row is built anew from the writes that stand; some had seen those that do not."""
    policy = POLICIES[name]
    writes = course(policy, ACTS[name], seed, length)
    standing = [row for row in writes if rng.random() < 0.7] or writes
    assert merged(policy, shuffled(standing, rng)) == merged(policy, standing)


@given(SEEDS, st.integers(1, 14))
def test_a_row_is_made_of_the_writes_that_no_other_had_seen_and_lives_if_one_of_them_does(seed, length):
    writes = course(FIELDS, play, seed, length)
    last = [row for row in writes if not any(saw(other, row) for other in writes if other is not row)]
    row = merged(FIELDS, writes)
    assert {(one.origin, one.seq) for one in siblings_of(row)} == {row.dot for row in last if row.value is not None}
    assert (row.value is None) == all(row.value is None for row in last)


# What the fields mean, over courses in which each write builds on what it read.


class Told:
    """What handlers did, told apart from what the framework makes of it: (seen writes, change) for each write."""

    def __init__(self, seed, length):
        self.done = []
        self.writes = course(FIELDS, self.act, seed, length)
        self.game = GAMES.decode(merged(FIELDS, self.writes).value)

    def act(self, value, rng):
        game = Game("g") if value is None else GAMES.decode(value)
        amount, player, adds = rng.randint(1, 5), rng.choice("xyz"), rng.random() < 0.6
        game.plays.add(amount)
        game.score.subtract(amount)
        (game.players.add if adds else game.players.discard)(player)
        if rng.random() < 0.5:
            game.host.set(player)
        self.done.append((amount, player, adds))
        return GAMES.encode(game)


@given(SEEDS, st.integers(1, 14))
def test_counters_hold_everything_that_was_ever_counted(seed, length):
    told = Told(seed, length)
    total = sum(amount for amount, _, _ in told.done)
    assert (told.game.plays.value, told.game.score.value) == (total, -total)


@given(SEEDS, st.integers(1, 14))
def test_an_element_is_in_if_some_addition_of_it_was_seen_by_no_removal(seed, length):
    told = Told(seed, length)
    removals = [row for row, (_, _, adds) in zip(told.writes, told.done, strict=True) if not adds]
    by_player = {
        player: [(row, adds) for row, (_, who, adds) in zip(told.writes, told.done, strict=True) if who == player]
        for player in "xyz"
    }
    expected = {
        player
        for player, acts in by_player.items()
        if any(
            adds and not any(saw(other, row) for other, again in acts if not again and other in removals)
            for row, adds in acts
        )
    }
    assert set(told.game.players) == expected


# Cases.


def row(origin, seq, value, stamp, seen=(), policy=FIELDS, codec=GAMES):
    versions = {origin: seq}
    for other in seen:
        versions = {**other.versions, **versions}
    data = None if value is None else codec.encode(value)
    if data is not None and policy is FIELDS:
        data = policy.committed(data, origin, seq, stamp)
    return Row("t", "g", data, stamp, origin, seq, versions, 0)


def game(of):
    return GAMES.decode(of.value)


def changed(of, change):
    value = game(of)
    change(value)
    return value


CREATED = row("eu/1", 1, Game("g", players=merge.AddWinsSet(["ada"]), score=merge.Counter(5)), 1)


def test_two_regions_that_count_at_once_are_added_up():
    one = row("eu/1", 2, changed(CREATED, lambda g: g.score.add(1)), 2, [CREATED])
    other = row("us/1", 1, changed(CREATED, lambda g: g.score.subtract(3)), 2, [CREATED])
    assert game(merged(FIELDS, [CREATED, one, other])).score.value == 3


def test_rows_are_the_same_bytes_in_whatever_order_their_versions_were_learned():
    one = row("eu/1", 2, changed(CREATED, lambda g: g.score.add(1)), 2, [row("ap/1", 1, Game("g"), 1)])
    other = row("us/1", 1, Game("g"), 2)
    turned = msgspec.structs.replace(one, versions=dict(reversed(one.versions.items())))
    assert resolve(FIELDS, one, other)[0].value == resolve(FIELDS, turned, other)[0].value


def test_an_element_added_again_while_it_is_removed_elsewhere_stays():
    removed = row("eu/1", 2, changed(CREATED, lambda g: g.players.discard("ada")), 3, [CREATED])
    again = row("us/1", 1, changed(CREATED, lambda g: g.players.add("ada")), 2, [CREATED])
    untouched = row("us/1", 1, changed(CREATED, lambda g: g.players.add("bob")), 2, [CREATED])
    assert list(game(merged(FIELDS, [removed, again])).players) == ["ada"]
    assert list(game(merged(FIELDS, [removed, untouched])).players) == ["bob"]


def test_values_set_at_once_are_all_kept_until_one_who_saw_them_sets_one():
    one = row("eu/1", 2, changed(CREATED, lambda g: g.notes.set("x")), 2, [CREATED])
    other = row("us/1", 1, changed(CREATED, lambda g: g.notes.set("y")), 2, [CREATED])
    both = merged(FIELDS, [one, other])
    assert game(both).notes.values == ["x", "y"]
    settled = row("us/1", 2, changed(both, lambda g: g.notes.set("z")), 3, [both])
    assert game(merged(FIELDS, [settled, one, other])).notes.values == ["z"]


def test_a_register_keeps_its_own_time_and_other_fields_the_rows():
    hosted = row("eu/1", 2, changed(CREATED, lambda g: g.host.set("ada")), 2, [CREATED])
    titled = row("us/1", 1, changed(CREATED, lambda g: setattr(g, "title", "chess")), 3, [CREATED])
    both = game(merged(FIELDS, [hosted, titled]))
    assert (both.host.value, both.title) == ("ada", "chess")


def test_a_field_with_a_function_is_what_it_makes_of_both_values():
    one = row("eu/1", 2, changed(CREATED, lambda g: setattr(g, "level", 9)), 2, [CREATED])
    other = row("us/1", 1, changed(CREATED, lambda g: setattr(g, "level", 4)), 3, [CREATED])
    assert game(merged(FIELDS, [one, other])).level == 9


def test_a_delete_removes_what_it_had_seen():
    deleted = row("us/1", 1, None, 2, [CREATED])
    assert [merged(FIELDS, order).value for order in ([CREATED, deleted], [deleted, CREATED])] == [None, None]


def test_a_write_that_had_not_seen_the_delete_stands_whole_however_early_it_was():
    deleted = row("us/1", 1, None, 9, [CREATED])
    counted = row("eu/1", 2, changed(CREATED, lambda g: g.score.add(1)), 2, [CREATED])
    kept = merged(FIELDS, [deleted, counted])
    assert (game(kept).score.value, list(game(kept).players)) == (6, ["ada"])
    assert merged(FIELDS, [CREATED, counted, deleted]) == kept


def test_what_a_delete_removed_does_not_come_back_with_a_row_that_is_made_anew():
    deleted = row("eu/1", 2, None, 2, [CREATED])
    anew = row("eu/1", 3, Game("g", players=merge.AddWinsSet(["bob"]), score=merge.Counter(1)), 3, [deleted])
    joined = row("us/1", 1, changed(CREATED, lambda g: (g.players.add("cy"), g.score.add(2))), 2, [CREATED])
    kept = game(merged(FIELDS, [joined, deleted, anew]))
    assert (sorted(kept.players), kept.score.value) == (["bob", "cy"], 3)


def test_a_new_life_of_a_region_does_not_reuse_what_its_old_one_counted():
    other_life = row("eu/2", 1, Game("g", score=merge.Counter(2)), 2)
    assert game(merged(FIELDS, [CREATED, other_life])).score.value == 7


def test_who_reads_a_row_has_read_every_write_that_it_is_made_of():
    one = row("eu/1", 2, changed(CREATED, lambda g: g.score.add(1)), 2, [CREATED])
    other = row("us/1", 1, changed(CREATED, lambda g: g.score.add(1)), 2, [CREATED])
    deleted = row("ap/1", 1, None, 9, [CREATED])
    assert dots_of(CREATED) == [("eu/1", 1)]
    assert dots_of(one) == [("eu/1", 2)]
    assert dots_of(merged(FIELDS, [one, other, deleted])) == [("eu/1", 2), ("us/1", 1)]
    assert dots_of(merged(FIELDS, [CREATED, deleted])) == [("ap/1", 1)]


def test_a_function_that_raises_leaves_the_last_writers_row_and_the_writes_it_is_made_of():
    def picky(one, other):
        raise ZeroDivisionError

    policy = declared(merge.function(picky), LEVELS)
    one = row("eu/1", 1, Level("g", 1), 1, policy=policy, codec=LEVELS)
    other = row("us/1", 1, Level("g", 2), 2, policy=policy, codec=LEVELS)
    kept, rule = resolve(policy, one, other)
    assert (LEVELS.decode(kept.value).level, rule) == (2, "concurrent")
    assert verdict(policy, kept) == "last_writer, since picky raised ZeroDivisionError"
    assert verdict(FUNCTION, merged(FUNCTION, [one, other])) == "highest"
    assert merged(FUNCTION, [kept, one]).dot == other.dot


def test_a_lower_value_that_replaced_a_higher_one_is_not_undone_by_an_order_of_arrival():
    high = row("eu/1", 1, Level("g", 9), 1, policy=FUNCTION, codec=LEVELS)
    low = row("eu/1", 2, Level("g", 1), 2, [high], policy=FUNCTION, codec=LEVELS)
    other = row("us/1", 1, Level("g", 4), 1, policy=FUNCTION, codec=LEVELS)
    for order in ([high, low, other], [high, other, low], [other, high, low]):
        assert LEVELS.decode(merged(FUNCTION, order).value).level == 4


def test_clients_and_drills_see_plain_values():
    assert plain_fields(CREATED.value) == {
        "id": "g",
        "level": 0,
        "title": "",
        "plays": 0,
        "score": 5,
        "players": ["ada"],
        "notes": [],
        "host": "nobody",
    }


def test_a_counter_that_only_grows_refuses_to_shrink():
    with pytest.raises(ValueError, match="needs a Counter"):
        merge.GrowCounter(1).add(-1)


def test_a_change_is_seen_by_the_handler_that_made_it():
    value = changed(CREATED, lambda g: (g.score.add(2), g.players.add("bob"), g.host.set("bob")))
    assert (int(value.score), len(value.players), "bob" in value.players, value.host.value) == (7, 2, True, "bob")


@dataclass
class Nested:
    id: str
    scores: list[merge.Counter]


@pytest.mark.parametrize(
    ("policy", "codec", "reason"),
    [
        (None, GAMES, r"needs merge=merge.fields\(\)"),
        (merge.last_writer(), GAMES, r"needs merge=merge.fields\(\)"),
        (merge.fields(levle=max), GAMES, "no field levle"),
        (merge.fields(score=max), GAMES, "needs no function"),
        (merge.fields(), RowCodec(Nested), "inside another type"),
    ],
)
def test_a_policy_that_does_not_fit_its_rows_is_refused(policy, codec, reason):
    with pytest.raises(ValueError, match=reason):
        declared(policy, codec)


def test_random_play_ends_with_writes_side_by_side_with_one_and_with_none():
    """The courses above are worth something."""
    ends = [siblings_of(merged(FIELDS, course(FIELDS, play, seed, 8))) for seed in range(200)]
    assert {0, 1, 2, 3} <= {len(siblings) for siblings in ends}


def test_the_bytes_of_a_merged_row_do_not_depend_on_the_order_in_which_its_origins_are_named():
    values = [GAMES.encode(Game("g", level)) for level in (1, 2)]

    def row(origin, value, versions):
        return Row("games", "g", value, versions[origin], origin, versions[origin], versions, 1)

    first = row("eu/1", values[0], {"eu/1": 10, "us/1": 6})
    turned = row("eu/1", values[0], {"us/1": 6, "eu/1": 10})
    other = row("us/1", values[1], {"us/1": 16})
    merged_rows = [resolve(FIELDS, one, other, other.versions)[0] for one in (first, turned)]
    assert merged_rows[0].value == merged_rows[1].value
    assert len(siblings_of(merged_rows[0])) == 2
