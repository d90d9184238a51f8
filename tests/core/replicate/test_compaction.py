"""What may leave the journal, by tables of cases and as a law."""

from hypothesis import given
from hypothesis import strategies as st

from proa.core.replicate.compaction import Floor, Retention, copied_by, cut_below, horizon, lacking, passed_by
from proa.core.replicate.journal import Commit, Write
from proa.core.roles import Cut
from proa.core.time import stamp_of

SEQS = st.integers(0, 5)
VERSIONS = st.dictionaries(st.sampled_from(["eu/1", "us/1", "ap/1"]), SEQS)


def commit(seq, mode="any", epoch=0, origin="eu/1", stamp=None):
    return Commit(origin, seq, stamp or seq, epoch, {}, [Write("t", "a", b"", mode)], [], None, "u")


def test_an_old_entry_goes_when_everybody_has_it():
    retention = Retention(old=10, oldest=0, passed={"eu/1": 5})
    assert [retention.drops(commit(seq, stamp=10)) for seq in (5, 6)] == [True, False]
    assert retention.drops(commit(5, stamp=11)) is False
    assert retention.drops(commit(1, origin="us/1", stamp=10)) is False


def test_past_the_longest_age_an_entry_goes_whoever_lacks_it_or_reads_it():
    retention = Retention(old=10, oldest=3, needed={"eu/1": 0})
    assert [retention.drops(commit(9, stamp=stamp)) for stamp in (3, 4)] == [True, False]


def test_what_only_the_holder_of_a_role_could_make_stays_until_somebody_else_has_it():
    retention = Retention(old=10, oldest=10, copied={"eu/1": 4})
    assert [retention.drops(commit(seq, "active")) for seq in (4, 5)] == [True, False]
    assert retention.drops(commit(5)) is True


def test_the_region_of_an_origin_is_no_copy_of_it():
    peers = {"eu": {"eu/1": 9, "us/1": 3}, "us": {"eu/1": 5, "us/1": 7}}
    assert copied_by({"eu/1": 9, "us/1": 9, "ap/1": 2}, peers) == {"eu/1": 5, "us/1": 3, "ap/1": 0}
    assert copied_by({"eu/1": 9}, {}) == {"eu/1": 0}


def test_nothing_goes_of_an_origin_that_a_cut_may_be_about_to_name():
    assert Retention(old=10, oldest=10, passed={"eu/1": 9}, held=("eu/1",)).drops(commit(1)) is False


def test_a_stream_keeps_what_it_has_not_read():
    retention = Retention(old=10, oldest=0, passed={"eu/1": 9}, needed={"eu/1": 4})
    assert [retention.drops(commit(seq, stamp=1)) for seq in (4, 5)] == [True, False]


def test_a_clock_that_jumps_ahead_makes_nothing_older():
    latest = stamp_of(1000.0)
    assert horizon(100.0, 1000.0, latest) == stamp_of(900.0)
    assert horizon(100.0, 99_000.0, latest) == stamp_of(900.0)
    assert horizon(100.0, 500.0, latest) == stamp_of(400.0)
    assert horizon(100.0, 50.0, latest) == 0


def test_a_peer_that_was_not_heard_of_has_passed_nothing():
    assert passed_by({"eu/1": 5}, []) == {"eu/1": 5}
    assert passed_by({"eu/1": 5, "us/1": 2}, [{"eu/1": 4, "us/1": 9}, {}]) == {"eu/1": 0, "us/1": 0}


@given(VERSIONS, st.lists(VERSIONS, max_size=3))
def test_what_everybody_passed_each_of_them_has(own, peers):
    passed = passed_by(own, peers)
    assert passed.keys() == own.keys()
    assert all(seq <= peer.get(origin, 0) for origin, seq in passed.items() for peer in [own, *peers])


def test_a_reader_lacks_what_lies_between_it_and_the_floor():
    assert lacking({"eu/1": 3, "us/1": 0}, {"eu/1": 3, "us/1": 2, "ap/1": 9}) == {"us/1": 2}


def test_a_cut_is_below_the_floor_only_where_fenced_commits_of_older_epochs_were_folded():
    floor = Floor().raised(commit(1, "active", 1), parked=False).raised(commit(2), parked=False)
    assert (floor.seq, floor.fenced, floor.epoch) == (2, 1, 1)
    assert cut_below([Cut(2, "eu/1", 1)], {"eu/1": floor}) is None
    assert cut_below([Cut(2, "eu/1", 0)], {"eu/1": floor}) == Cut(2, "eu/1", 0)
    assert cut_below([Cut(1, "eu/1", 0)], {"eu/1": floor}) is None
    assert cut_below([Cut(2, "us/1", 0)], {"eu/1": floor}) is None
    assert floor.raised(commit(3, "active", 1), parked=True).fenced == 1
