"""Signals as people and programs read them: with the token's names, newest first."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from metapulse_assets.market.tables import tokens
from metapulse_assets.outcomes.calibration_curve_store import HORIZON_OF_SECONDS, Calibrations, read_calibrations
from metapulse_assets.signals.tables import signals

COLUMNS = (
    *("signal_id", "kind", "rule", "timeframe", "direction", "strength", "confidence", "risk", "price_usd"),
    *("target_usd", "stop_usd", "horizon_seconds", "reasons", "observed_at", "emitted_at", "expires_at"),
    *("recorded_at", "origin", "run_id", "mode"),
)
WEIGHT = signals.c.strength * signals.c.confidence
"""By which signals of one moment are ordered."""


def list_signals(
    connection: sa.Connection,
    *,
    open_at: datetime | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Signals with chain, token (address), symbol and name; those not expired at `open_at`, or emitted since a moment.

    `calibrated_confidence`: how often signals of this confidence and rule had been worth following at their own horizon, as
    far as was known in the hour of the emission, so that it stays what it was; None if `calibration` is `uncalibrated` and not
    `n=…`, the outcomes known then.
    """
    statement = signals_in_order()
    if open_at is not None:
        statement = statement.where(signals.c.expires_at > open_at)
    if since is not None:
        statement = statement.where(signals.c.emitted_at >= since)
    if limit is not None:
        statement = statement.limit(limit)
    found = [dict(row._mapping) for row in connection.execute(statement)]
    calibrations = read_calibrations(connection, [signal["emitted_at"] for signal in found])
    return [{**signal, **calibrated(signal, calibrations)} for signal in found]


def signals_in_order() -> sa.Select[Any]:
    """Asks for signals with their tokens: newest first, of one moment the weightiest, then by id."""
    return (
        sa.select(
            tokens.c.chain,
            tokens.c.address.label("token"),
            tokens.c.symbol,
            tokens.c.name,
            *(signals.c[name] for name in COLUMNS),
        )
        .join(tokens, tokens.c.token_id == signals.c.token_id)
        .order_by(signals.c.emitted_at.desc(), WEIGHT.desc(), signals.c.signal_id)
    )


def calibrated(signal: Mapping[str, Any], calibrations: Calibrations) -> dict[str, Any]:
    """What the outcomes known when a signal was emitted said of its confidence."""
    source = signal["kind"], signal["rule"], HORIZON_OF_SECONDS.get(signal["horizon_seconds"], ""), signal["emitted_at"]
    return {
        "calibrated_confidence": calibrations.calibrated_confidence(*source, signal["confidence"]),
        "calibration": calibrations.described(*source),
    }


def as_json(signal: dict[str, Any]) -> dict[str, Any]:
    """A signal with its times in ISO 8601, UTC."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in signal.items()}


def shown_confidence(signal: Mapping[str, Any]) -> str:
    """What a person is told: how often such signals had been worth following, and where too few were, that it is unknown."""
    calibrated = signal["calibrated_confidence"]
    return str(signal["calibration"]) if calibrated is None else f"{calibrated:.2f}"


TABLE_HEADERS = (
    "emitted",
    "chain",
    "token",
    "kind",
    "signal",
    "frame",
    "direction",
    "strength",
    "confidence",
    "risk",
    "price USD",
)


def table_row(signal: dict[str, Any]) -> Sequence[Any]:
    """A signal as a row under `TABLE_HEADERS`."""
    return (
        signal["emitted_at"],
        signal["chain"],
        signal["symbol"],
        signal["kind"],
        signal["rule"],
        signal["timeframe"],
        signal["direction"],
        signal["strength"],
        shown_confidence(signal),
        signal["risk"],
        signal["price_usd"],
    )
