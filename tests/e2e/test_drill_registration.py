"""A region is lost while sign-ups arrive: what it had not done is done by the other one, once."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.processes


def test_the_messages_of_a_lost_region_are_adopted_and_none_is_lost_or_doubled(rehearsal):
    report = rehearsal.drill("registration", rate=100, duration_s=6, fault_after_s=3, lease_s=1, hold_down_s=0.5)
    assert report.violations == []
    assert report.messages is not None
    assert (report.messages.duplicated, report.messages.lost, report.messages.waiting) == (0, 0, 0)
    assert report.messages.adopted == report.messages.in_flight
