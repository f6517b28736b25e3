"""What `metapulse up` says when everything runs: what it works with and where things are, secrets masked."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metapulse_assets.cli import dagster_services, environment
from metapulse_assets.cli.terminal import say

if TYPE_CHECKING:
    from metapulse_assets.platform.settings import Settings

KEYS = {
    "GROQ_API_KEY": "AI analyses by Groq",
    "GEMINI_API_KEY": "AI analyses by Gemini",
    "TWITTER_BEARER_TOKEN": "social data",
    "PUMPPORTAL_API_KEY": "trades in the stream",
}
"""Keys of vendors, and what is off without them."""


def say_report(settings: "Settings", logs: Sequence[Path]) -> None:
    """Say it, a line a subject."""
    for name, value in report_lines(settings, logs):
        say(f"  {name:<12} {value}")


def report_lines(settings: "Settings", logs: Sequence[Path]) -> list[tuple[str, str]]:
    """Subject and finding of each line."""
    from metapulse_assets.platform.database import libpq_url
    from metapulse_assets.platform.redaction import redact_url
    from metapulse_assets.platform.vendor_settings import Mode
    from metapulse_assets.platform.work_queue.registry import load_handlers
    from metapulse_assets.service.serving import chosen_ports

    database = f"embedded PostgreSQL, {settings.database_label}"
    if settings.database_url:
        database = redact_url(libpq_url(settings))
    redis = redact_url(settings.redis_url.get_secret_value()) if settings.redis_url else "not given"
    of_service = ", ".join(f"{number} ({name})" for number, name in chosen_ports(settings).items())
    stream = "none: a replay asks nobody"
    if settings.mode is not Mode.REPLAY:
        stream = f"PumpPortal at {redact_url(settings.pumpportal_url)}"
    return [
        ("pages", dagster_services.page_url(settings)),
        ("service", f"{dagster_services.service_url(settings)}/docs"),
        ("ports", f"webserver {settings.webserver_port} (METAPULSE_WEBSERVER_PORT), service {of_service}"),
        ("mode", environment.describe_mode(settings)),
        ("database", f"connected: {database}"),
        ("redis", f"{redis}, not needed"),
        *((name, key_line(settings, name)) for name in KEYS),
        ("debug", f"scoring {'on' if settings.debug_scoring else 'off'}"),
        ("log level", settings.log_level),
        ("schedules", f"on; a tick every {settings.token_data_interval / 60_000:g} min"),
        ("stream", stream),
        ("queues", ", ".join(sorted(load_handlers(settings.job_modules))) or "none is registered: the worker waits"),
        ("sandbox", settings.sandbox_url if settings.needs_sandbox else "not used"),
        ("logs", ", ".join(str(log) for log in logs)),
    ]


def key_line(settings: "Settings", name: str) -> str:
    """Whether a vendor's key was given; never the key."""
    from metapulse_assets.platform.vendor_settings import Mode

    given = getattr(settings, name.lower()) is not None
    if settings.mode is not Mode.LIVE:
        return f"{'given' if given else 'not given'}, not used in mode {settings.mode}"
    return "given" if given else f"not given — {KEYS[name]} off"
