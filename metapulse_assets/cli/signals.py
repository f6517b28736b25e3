"""`metapulse signals`: the signals, as a table for people or as JSON for programs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.stored import stored_data
from metapulse_assets.cli.terminal import age, console, plain, print_json, say, table

if TYPE_CHECKING:
    import sqlalchemy as sa

    from metapulse_assets.platform.settings import Settings

HEADERS = ("id", "age", "chain", "token", "kind", "signal", "side", "strength", "confidence", "risk", "price USD")
RIGHT = ("age", "strength", "price USD")
ID_DIGITS = 8
MOST_CHARTS = 3
LONGEST_SYMBOL = 16
JsonOption = Annotated[bool, typer.Option("--json", help="A JSON array on standard output, and nothing else there.")]


def signals(
    as_json: JsonOption = False,
    since: Annotated[str | None, typer.Option(metavar="ISO", help="Only those emitted at or after this moment (UTC).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="At most so many, the newest.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Expired ones too.")] = False,
) -> None:
    """List open signals, newest first.

    Starts the embedded PostgreSQL for this if it is down.

    Exit codes: 0 listed (also if there is none), 1 failed, 2 wrong option or setting, 3 nothing was ever stored.
    """
    moment = parse_moment(since) if since else None
    settings = environment.prepare()
    with stored_data(settings) as connection:
        from metapulse_assets.signals import listing

        found = listing.list_signals(connection, open_at=None if every else datetime.now(UTC), since=moment, limit=limit)
    if as_json:
        print_json([listing.as_json(signal) for signal in found])
    else:
        print_signals(found, f"{'Signals' if every else 'Open signals'} ({environment.mark_of(settings)})")


def parse_moment(text: str) -> datetime:
    """A moment in ISO 8601; UTC unless it says otherwise."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date or time in ISO 8601, such as 2026-01-31T12:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def print_signals(signals: list[dict[str, Any]], title: str, most: int | None = None) -> None:
    """A table of signals on standard output."""
    if not signals:
        print(f"{title}: none")
        return
    from metapulse_assets.signals.listing import shown_confidence

    now = datetime.now(UTC)
    rows = [
        (
            signal["signal_id"][:ID_DIGITS],
            age(signal["emitted_at"], now),
            signal["chain"],
            plain(signal["symbol"], LONGEST_SYMBOL),
            signal["kind"],
            f"{signal['rule']} {signal['timeframe']}",
            signal["direction"],
            f"{signal['strength']:.2f}",
            shown_confidence(signal),
            signal["risk"],
            signal["price_usd"],
        )
        for signal in (signals if most is None else some_of_each_kind(signals, most))
    ]
    console().print(table(title, HEADERS, rows, RIGHT, wraps=("token", "signal")))
    if most is not None and len(signals) > most:
        print(f"… and {len(signals) - most} more: metapulse signals")


def some_of_each_kind(signals: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most so many signals in their order, of each kind as many as of any other while it has them."""
    places: dict[str, list[int]] = {}
    for place, signal in enumerate(signals):
        places.setdefault(signal["kind"], []).append(place)
    by_turns = [place for turn in zip_longest(*places.values()) for place in turn if place is not None]
    return [signals[place] for place in sorted(by_turns[:most])]


def draw_charts(connection: "sa.Connection", settings: "Settings", signals: list[dict[str, Any]]) -> list[Path]:
    """Pictures of the tokens with the strongest of these signals, as PNG files in the home's folder `charts`."""
    import sqlalchemy as sa

    from metapulse_assets.market.tables import tokens
    from metapulse_assets.signals import chart

    strongest = sorted(signals, key=lambda s: (s["timeframe"] != "5m", -s["strength"] * s["confidence"], s["signal_id"]))
    keys = list(dict.fromkeys((s["chain"], s["token"]) for s in strongest))[:MOST_CHARTS]
    folder = settings.home / "charts"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (chain, address) in enumerate(keys, 1):
        token_id = connection.execute(
            sa.select(tokens.c.token_id).where(tokens.c.chain == chain, tokens.c.address == address)
        ).scalar_one()
        data = chart.read_chart(connection, token_id, datetime.now(UTC), settings.mode.value)
        # Named by rank: a token's own name is not fit for a file, and the folder must not grow.
        path = folder / f"{settings.database_label.removeprefix('metapulse_')}-{number}.png"
        path.write_bytes(chart.draw_png(data))
        paths.append(path)
    return paths


def say_stored(counts: dict[str, int]) -> None:
    """How much is stored, in one line."""
    say("stored: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
