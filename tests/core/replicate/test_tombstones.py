"""A tombstone goes when no write can come any more that had not seen the delete."""

from proa.core.replicate.tombstones import Passed, heard, passed_by_all

DELETED = {"eu/1": 5, "us/1": 2}


def after(*reports):
    """What is known of a peer after (its report, what is applied here) one after the other."""
    known = Passed()
    for report, own in reports:
        known = heard(known, report, own)
    return known


def test_a_peer_that_was_never_heard_of_keeps_all_tombstones():
    assert not passed_by_all(DELETED, [Passed()])
    assert not passed_by_all({}, [Passed()])


def test_without_peers_nobody_can_send_anything():
    assert passed_by_all(DELETED, [])


def test_a_report_counts_once_everything_in_it_is_applied_here():
    report = {"eu/1": 5, "us/1": 3}
    assert not passed_by_all(DELETED, [after((report, report))])
    assert not passed_by_all(DELETED, [after((report, DELETED), (report, DELETED))])
    assert passed_by_all(DELETED, [after((report, DELETED), (report, report))])


def test_a_peer_that_writes_faster_than_it_is_followed_is_caught_up_with_all_the_same():
    known = after(({"eu/1": 5, "us/1": 3}, {"us/1": 2}), ({"eu/1": 5, "us/1": 9}, {"eu/1": 5, "us/1": 3}))
    assert known == Passed({"eu/1": 5, "us/1": 9}, {"eu/1": 5, "us/1": 3})
    assert passed_by_all(DELETED, [known])


def test_a_delete_that_one_peer_has_not_applied_is_kept():
    up, behind = {"eu/1": 5, "us/1": 2}, {"eu/1": 4, "us/1": 9}
    assert not passed_by_all(DELETED, [after((up, up), (up, up)), after((behind, behind), (behind, behind))])


def test_what_a_lost_disk_had_passed_is_void():
    report = {"eu/1": 5, "us/1": 3}
    assert after((report, report), (report, report), ({"us/2": 1}, report)) == Passed({"us/2": 1})
