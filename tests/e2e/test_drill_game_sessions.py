"""Game sessions are written in two regions under one key on purpose: what was counted twice is taken back, once."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.processes


def test_what_two_regions_counted_under_one_key_is_listed_and_taken_back(rehearsal):
    report = rehearsal.drill("game-sessions", rate=150, duration_s=6, fault_after_s=3, lease_s=1, hold_down_s=0.5)
    assert report.duplicates == 0
    assert report.duplicates_listed >= report.duplicates_handled > 0
    about_keys = ("doubled", "on_duplicate", "different ways", "session ")
    assert [said for said in report.violations if any(word in said for word in about_keys)] == []
