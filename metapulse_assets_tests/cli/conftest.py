"""Commands run inside the test's process, on an environment of their own; and rows for them to show."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from typer.testing import CliRunner, Result

from metapulse_assets.cli import app
from metapulse_assets.market.tables import pools, token_metrics, tokens, tracked_tokens
from metapulse_assets.platform import settings as settings_module
from metapulse_assets.platform.day_partitions import ensure_days
from metapulse_assets.platform.json_logs import known_secrets
from metapulse_assets.platform.settings import Settings, get_settings
from metapulse_assets.risk.tables import risk_assessments
from metapulse_assets.signals.tables import signals

Command = Callable[..., Result]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder in the place of the checkout."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    return folder


@pytest.fixture
def command(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs `metapulse …`. What the command does to the environment is undone; this machine's .env and recordings are unseen."""
    before = dict(os.environ)
    os.environ.pop("METAPULSE_RECORDINGS", None)
    os.environ["METAPULSE_HOME"] = str(root / "home")
    monkeypatch.setattr(settings_module, "project_root", lambda: root)
    monkeypatch.setitem(Settings.model_config, "env_file", None)

    def run(*arguments: str, **environment: str) -> Result:
        get_settings.cache_clear()
        known_secrets.cache_clear()
        os.environ.update(environment)
        return CliRunner().invoke(app, arguments)

    yield run
    os.environ.clear()
    os.environ.update(before)
    get_settings.cache_clear()
    known_secrets.cache_clear()


@pytest.fixture
def filled(engine: sa.Engine, database_url: str) -> str:
    """URL of a database with two tracked tokens, one dropped one, an open signal and an expired one."""
    now = datetime.now(UTC).replace(microsecond=0)
    with engine.begin() as connection:
        for number, (symbol, active) in enumerate((("AAA", True), ("B\x1b[2JB", True), ("CCC", False)), 1):
            _track(connection, number, symbol, active, now)
        _see(connection, 1, 2.5, now)
        connection.execute(insert(signals), [_signal("open", now, now), _signal("expired", now - timedelta(days=2), now)])
    return database_url


def _track(connection: sa.Connection, number: int, symbol: str, active: bool, now: datetime) -> None:
    address = f"address{number}"
    identity = {"chain": "solana", "address": address, "first_recorded_at": now}
    connection.execute(insert(tokens), [{**identity, "symbol": symbol, "name": f"Token {number}", "token_id": number}])
    connection.execute(insert(pools), [{**identity, "pool_id": number, "token_id": number, "dex": "raydium"}])
    tracked = {"token_id": number, "active": active, "sources": ["boosts"], "tracked_since": now, "last_listed_at": now}
    connection.execute(insert(tracked_tokens), [{**tracked, "reason": "24 h volume 5,000 USD"}])


def _see(connection: sa.Connection, token_id: int, price: float, now: datetime) -> None:
    for table in (token_metrics, risk_assessments):
        ensure_days(connection, table.name, {now.date(), (now - timedelta(minutes=5)).date()})
    for minutes, factor in ((5, 0.5), (0, 1.0)):
        at = now - timedelta(minutes=minutes)
        seen = {"observed_at": at, "recorded_at": at, "token_id": token_id, "pool_id": token_id}
        figures = {"price_usd": price * factor, "volume_h24_usd": 5_000.0, "liquidity_usd": 7_000.0}
        connection.execute(insert(token_metrics), [{**seen, **figures}])
        risk = {"observed_at": at, "available_at": at, "token_id": token_id, "level": "low" if minutes else "medium"}
        connection.execute(insert(risk_assessments), [{**risk, "score": 0.4, "known_share": 1.0, "factors": {}}])


def _signal(signal_id: str, emitted_at: datetime, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {
        "signal_id": signal_id,
        "token_id": 1,
        "kind": "technical",
        "rule": "rsi_oversold",
        "timeframe": "5m",
        "direction": "buy",
        "strength": 0.5,
        "confidence": 0.25,
        "risk": "low",
        "price_usd": 2.5,
        "horizon_seconds": 3600,
        "reasons": [{"text": "RSI is 20.", "inputs": {"rsi_14": 20.0}}],
        "opened_at": emitted_at - timedelta(minutes=5),
        "observed_at": emitted_at,
        "emitted_at": emitted_at,
        "recorded_at": now,
        "expires_at": emitted_at + timedelta(days=1),
        "origin": "live",
        "run_id": "run",
        "mode": "sandbox",
    }
    return {name: value for name, value in values.items() if name in signals.c}
