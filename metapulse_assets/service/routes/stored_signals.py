"""Signals read for the service: narrowed, a page at a time, in the order and with the fields of `metapulse signals --json`."""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from metapulse_assets.market.tables import tokens
from metapulse_assets.outcomes.calibration_curve_store import read_calibrations
from metapulse_assets.service.filters import as_cursor, read_cursor, wrong_cursor
from metapulse_assets.signals.listing import WEIGHT, calibrated, signals_in_order
from metapulse_assets.signals.tables import signals
from metapulse_assets.vendors.chains import canonical_address


@dataclass(frozen=True)
class SignalQuestion:
    """Which signals: None is any. `open_at`: those not expired then. `after`: those that come after this place."""

    chain: str | None = None
    token: str | None = None
    kind: str | None = None
    side: str | None = None
    min_strength: float | None = None
    open_at: datetime | None = None
    after: "Place | None" = None
    limit: int = 100


@dataclass(frozen=True)
class Place:
    """A place in the order: newest first, of one moment the weightiest, then by id."""

    emitted_at: datetime
    weight: float
    signal_id: str

    def cursor(self) -> str:
        """As text for the caller."""
        return as_cursor([self.emitted_at.isoformat(), float(self.weight), self.signal_id])

    @classmethod
    def read(cls, cursor: str) -> "Place":
        """From a caller's text; raises `Problem`."""
        moment, weight, signal_id = read_cursor(cursor, (str, float, str))
        try:
            emitted_at = datetime.fromisoformat(moment).astimezone(UTC)
        except (ValueError, OverflowError):
            raise wrong_cursor() from None
        # Weights lie between 0 and 1; a number beyond single precision would not even compare.
        if not 0 <= weight <= 1 or not signal_id.isprintable():
            raise wrong_cursor()
        return cls(emitted_at, weight, signal_id)


def read_signals(connection: sa.Connection, question: SignalQuestion) -> tuple[list[dict[str, Any]], str | None]:
    """A page of signals, and the cursor of the next page (None: there is none)."""
    statement = signals_in_order().add_columns(WEIGHT.label("weight")).where(*_conditions(question)).limit(question.limit + 1)
    rows = [dict(row._mapping) for row in connection.execute(statement)]
    calibrations = read_calibrations(connection, [row["emitted_at"] for row in rows])
    page = [{**row, **calibrated(row, calibrations)} for row in rows[: question.limit]]
    places = [Place(row["emitted_at"], row.pop("weight"), row["signal_id"]) for row in page]
    return page, places[-1].cursor() if len(rows) > question.limit else None


def _conditions(question: SignalQuestion) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if question.chain is not None:
        conditions.append(tokens.c.chain == question.chain)
    if question.token is not None:
        # Where a chain writes addresses in hexadecimal, upper and lower case mean the same.
        spellings = {question.token, canonical_address(question.chain or "ethereum", question.token)}
        conditions.append(tokens.c.address.in_(sorted(spellings)))
    if question.kind is not None:
        conditions.append(signals.c.kind == question.kind)
    if question.side is not None:
        conditions.append(signals.c.direction == question.side)
    if question.min_strength is not None:
        conditions.append(signals.c.strength >= _single(question.min_strength))
    if question.open_at is not None:
        conditions.append(signals.c.expires_at > question.open_at)
    if question.after is not None:
        conditions.append(_after(question.after))
    return conditions


def _single(value: float) -> sa.ColumnElement[float]:
    """The number of single precision next to a value, which stored ones are compared with.

    Not by PostgreSQL's cast: that fails for what single precision cannot tell from 0.
    """
    (found,) = struct.unpack("f", struct.pack("f", value))
    return sa.literal(found, sa.Double)


def _after(place: Place) -> sa.ColumnElement[bool]:
    weight = _single(place.weight)
    later_of_moment = sa.or_(weight > WEIGHT, sa.and_(weight == WEIGHT, signals.c.signal_id > place.signal_id))
    return sa.and_(signals.c.emitted_at <= place.emitted_at, sa.or_(signals.c.emitted_at < place.emitted_at, later_of_moment))
