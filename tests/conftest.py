"""Settings of the whole suite.

Laws are checked on the same examples in every run, so that a failure is never a matter of luck;
`pytest --hypothesis-profile=explore` looks at new ones.
"""

import pytest
from hypothesis import HealthCheck, Phase, settings

from support.postgres import MISSING, installed, server

settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.register_profile(
    "explore", max_examples=1000, deadline=None, phases=[Phase.generate, Phase.shrink], print_blob=True
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def postgres_server():
    """One PostgreSQL server for all tests of a process that only use it; who kills one starts his own."""
    if installed() is None:
        pytest.skip(MISSING)
    with server() as own:
        yield own
