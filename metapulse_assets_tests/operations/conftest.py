"""What the tests of operations share: a platform whose clock the test moves, without a sandbox."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import Settings
from metapulse_assets_tests.conftest import FixedClock

NOON = datetime(2026, 3, 4, 12, 0, 3, tzinfo=UTC)


@pytest.fixture
def clock() -> FixedClock:
    """A clock standing shortly after noon of a plain day."""
    return FixedClock(NOON)


@pytest.fixture
def quiet(make_settings: Callable[..., Settings], clock: FixedClock) -> Platform:
    """A platform on a fresh database that asks nobody."""
    # The process that runs the tests takes more than a run may.
    return Platform(make_settings(memory_limit_mb=100_000), clock=clock)
