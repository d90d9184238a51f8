"""The hedge: how long to wait before a second attempt."""

import pytest

from proa.core.policy.hedge import RECKONED_EVERY, Hedge, Pace
from proa.errors import DeclarationError


def test_without_a_percentile_the_delay_is_as_given():
    pace = Pace(Hedge(after_s=0.2))
    for _ in range(100):
        pace.note(5.0)
    assert pace.after_s == 0.2


def test_with_a_percentile_it_follows_the_last_calls():
    pace = Pace(Hedge(after_s=0.2, percentile=0.9))
    for number in range(RECKONED_EVERY - 1):
        pace.note(number / 100)
    assert pace.after_s == 0.2
    for number in range(RECKONED_EVERY - 1, 300):
        pace.note((number % 100) / 100)
    assert pace.after_s == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("wrong", [{"after_s": 0}, {"percentile": 1}])
def test_a_value_that_cannot_work_is_refused(wrong):
    with pytest.raises(DeclarationError, match=next(iter(wrong))):
        Hedge(**wrong)
