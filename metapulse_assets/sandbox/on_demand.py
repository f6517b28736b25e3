"""The sandbox for one run: if it is meant to answer and nobody listens, it is started inside the process and stopped after.

So a plain `dagster asset materialize` works in sandbox mode without anything started by hand beforehand.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import httpx2

from metapulse_assets.platform.settings import Settings


@contextmanager
def sandbox_if_needed(settings: Settings, *urls: str) -> Iterator[None]:
    """Make sure that the stand-ins answer while the block runs, if one of the URLs that it will ask is theirs."""
    if not settings.is_in_sandbox(*urls) or is_answering(settings):
        yield
        return
    # Imported only here: a run on live vendors loads nothing of the sandbox.
    from metapulse_assets.sandbox.server import SandboxConfig, running

    with running(
        SandboxConfig(
            port=settings.sandbox_port,
            data=settings.recordings,
            epoch=replay_epoch(settings.home) if settings.recordings else None,
            limits=sandbox_limits(settings),
        )
    ):
        yield


def is_answering(settings: Settings) -> bool:
    """Whether a sandbox listens where the settings say."""
    try:
        return httpx2.get(f"{settings.sandbox_url}/sandbox/health", timeout=2.0).status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False


def sandbox_limits(settings: Settings) -> dict[str, int]:
    """The limits that the stand-ins enforce: the ones that the clients are told to keep."""
    return {
        "dexscreener": settings.dexscreener_pairs_per_minute,
        "dexscreener-profiles": settings.dexscreener_profiles_per_minute,
        "geckoterminal": settings.geckoterminal_per_minute,
        "groq": settings.groq_rate_limit,
        "gemini": settings.gemini_rate_limit,
        **dict.fromkeys(("x-search", "x-counts", "x-users", "x-timeline", "x-posts"), settings.twitter_rate_limit),
        "rugcheck": settings.rugcheck_rate_limit,
        "goplus": settings.goplus_rate_limit,
    }


def replay_epoch(home: Path) -> date:
    """The day that stands for the last full recorded one: the day of the first replay, kept so that later runs agree."""
    marker = home / "replay_epoch"
    if not marker.exists():
        home.mkdir(parents=True, exist_ok=True)
        marker.write_text(datetime.now(UTC).date().isoformat())
    return date.fromisoformat(marker.read_text().strip())
