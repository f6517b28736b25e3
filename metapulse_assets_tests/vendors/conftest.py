"""Clients of the vendors whose database the tests use in turn, and a sandbox that they share."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.settings import Settings, load_settings
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running
from metapulse_assets_tests.platform.conftest import shared_engine, vendor_engine

__all__ = ["engine", "sandbox", "settings_for", "shared_engine", "vendor_engine"]


@pytest.fixture
def engine(vendor_engine: sa.Engine) -> sa.Engine:
    """One that the tests use in turn."""
    return vendor_engine


@pytest.fixture(scope="session")
def _one_sandbox() -> Iterator[Sandbox]:
    limits = {"dexscreener": 100_000, "dexscreener-profiles": 100_000, "geckoterminal": 100_000}
    with running(SandboxConfig(limits=limits)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_one_sandbox: Sandbox) -> Iterator[Sandbox]:
    """A sandbox without faults."""
    yield _one_sandbox
    _one_sandbox.set_faults({})


def settings_for(url: str) -> Settings:
    """Settings of a client whose vendors are at this URL, quick to give up, with generous limits."""
    return load_settings(
        dexscreener_api_url=url,
        geckoterminal_api_url=url,
        vendor_backoff_seconds=0.01,
        vendor_timeout_seconds=5.0,
        dexscreener_rate_limit=10_000,
        dexscreener_pairs_per_minute=100_000,
        dexscreener_profiles_per_minute=100_000,
        geckoterminal_rate_limit=100_000,
    )
