"""Frames made into rows: each event once, what is wrong as a dead letter, what is no event counted. Data in, data out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from metapulse_assets.market.stream.spool import Frame
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.vendors.pumpportal import (
    QUOTE_MINTS,
    Event,
    FrameError,
    Launch,
    Migration,
    Notice,
    Trade,
    read_frames,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = tuple[Any, ...]

# The columns of the rows below, without those that are the same for a whole batch.
HEARD = ("received_us", "signature", "mint", "pool")
COLUMNS: dict[str, tuple[str, ...]] = {
    "token_launches": (
        *HEARD,
        *("creator", "bonding_curve", "symbol", "name", "uri", "is_mayhem"),
        *("initial_buy_tokens", "sol_amount", "sol_reserve", "token_reserve", "market_cap_sol"),
    ),
    "token_migrations": HEARD,
    "token_trades": (
        *HEARD,
        *("trader", "side", "sol_amount", "token_amount", "price_sol", "market_cap_sol"),
        *("trader_balance", "sol_reserve", "token_reserve"),
    ),
}


@dataclass
class BatchRows:
    """What a batch of frames holds. `rows`: by table and key, the first of equal keys."""

    frames: int = 0
    first_us: int = 0
    rows: dict[str, dict[Row, Row]] = field(default_factory=lambda: {name: {} for name in COLUMNS})
    refused: list[DeadLetter] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    repeated: int = 0
    quote_mints: int = 0

    @property
    def received_at(self) -> datetime:
        """When its first frame arrived."""
        return moment_of(self.first_us)


def moment_of(received_us: int) -> datetime:
    """An arrival as a moment."""
    return EPOCH + timedelta(microseconds=received_us)


def microseconds_of(moment: datetime) -> int:
    """The reverse of `moment_of`."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def read_batch(frames: Iterable[Frame]) -> BatchRows:
    """Read frames one by one; none of them can keep the others from being read."""
    batch = BatchRows()
    for frame in frames:
        if not batch.frames:
            batch.first_us = frame.received_us
        batch.frames += 1
        for event in read_frames(frame.raw):
            if isinstance(event, FrameError):
                batch.refused.append(event.letter)
            elif isinstance(event, Notice):
                batch.notices.append(event)
            elif event.mint in QUOTE_MINTS:
                batch.quote_mints += 1
            else:
                _add(batch, event, frame.received_us)
    return batch


def _add(batch: BatchRows, event: Event, received_us: int) -> None:
    table, key_of, row_of = _MAKERS[type(event)]
    key, rows = key_of(event), batch.rows[table]
    if key in rows:
        batch.repeated += 1
    else:
        rows[key] = row_of(event, received_us)


def _sol(event: Launch | Trade, amount: float | None) -> float | None:
    return amount if event.is_in_sol else None


def _launch(event: Launch, received_us: int) -> Row:
    return (
        *(received_us, event.signature, event.mint, event.pool),
        *(event.trader, event.bonding_curve, event.symbol, event.name, event.uri, event.is_mayhem),
        *(event.initial_buy, _sol(event, event.sol_amount), _sol(event, event.sol_reserve)),
        *(event.token_reserve, _sol(event, event.market_cap_sol)),
    )


def _migration(event: Migration, received_us: int) -> Row:
    return (received_us, event.signature, event.mint, event.pool)


def _trade(event: Trade, received_us: int) -> Row:
    return (
        *(received_us, event.signature, event.mint, event.pool),
        *(event.trader, event.type, _sol(event, event.sol_amount), event.token_amount, event.price_sol),
        *(_sol(event, event.market_cap_sol), event.trader_balance, _sol(event, event.sol_reserve), event.token_reserve),
    )


_MAKERS: dict[type, tuple[str, Callable[[Any], Row], Callable[[Any, int], Row]]] = {
    Launch: ("token_launches", lambda event: (event.signature,), _launch),
    Migration: ("token_migrations", lambda event: (event.signature,), _migration),
    # One transaction may hold the purchases of several wallets.
    Trade: ("token_trades", lambda event: (event.signature, event.mint, event.trader, event.type), _trade),
}
