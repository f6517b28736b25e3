"""Fixtures of the sandbox's tests: one running sandbox for all of them, and plain clients."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx2
import pytest

from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running

# Far above what the tests send: only the tests of limits want to meet one.
UNLIMITED = {"dexscreener": 1_000_000, "dexscreener-profiles": 1_000_000, "geckoterminal": 1_000_000}
# The same market each time, a little past a quarter hour in the afternoon.
STARTS_AT = datetime(2026, 11, 20, 14, 16, 5, tzinfo=UTC).timestamp() - time.monotonic()


def now() -> float:
    """The time of the shared sandbox, epoch seconds; it goes on as all time does."""
    return STARTS_AT + time.monotonic()


@pytest.fixture(scope="package")
def shared_sandbox() -> Iterator[Sandbox]:
    with running(SandboxConfig(limits=UNLIMITED, slow_seconds=0.4, wall=now)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """A running simulation without faults and with an empty request log."""
    shared_sandbox.clear_requests()
    yield shared_sandbox
    shared_sandbox.set_faults({})


@pytest.fixture(scope="package")
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=60.0) as client:
        yield client


@pytest.fixture
def dex(sandbox: Sandbox) -> Iterator[httpx2.Client]:
    """A client whose base URL is the DexScreener stand-in."""
    with httpx2.Client(base_url=sandbox.dexscreener_url, timeout=60.0) as client:
        yield client


@pytest.fixture
def gecko(sandbox: Sandbox) -> Iterator[httpx2.Client]:
    """A client whose base URL is the GeckoTerminal stand-in."""
    with httpx2.Client(base_url=sandbox.geckoterminal_url, timeout=60.0) as client:
        yield client
