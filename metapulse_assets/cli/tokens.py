"""`metapulse tokens`: which tokens are tracked, how they look now, and why they are tracked."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.signals import LONGEST_SYMBOL, JsonOption
from metapulse_assets.cli.stored import stored_data
from metapulse_assets.cli.terminal import age, console, plain, print_json, table

if TYPE_CHECKING:
    import sqlalchemy as sa

HEADERS = ("chain", "token", "price USD", "volume 24 h", "liquidity", "risk", "seen", "tracked", "why")
RIGHT = ("price USD", "volume 24 h", "liquidity", "seen", "tracked")
FIGURES = ("price_usd", "volume_h24_usd", "liquidity_usd", "observed_at")


def tokens(
    as_json: JsonOption = False,
    every: Annotated[
        bool, typer.Option("--all", help="Also those tracked once and no more; they have no current figures.")
    ] = False,
) -> None:
    """List the tracked tokens with newest price, volume, liquidity (USD) and risk, the largest by volume first.

    Starts the embedded PostgreSQL for this if it is down.

    Exit codes: 0 listed, 1 failed, 2 wrong option or setting, 3 nothing was ever stored.
    """
    settings = environment.prepare()
    with stored_data(settings) as connection:
        found = list_tracked(connection, every)
    if as_json:
        from metapulse_assets.signals.listing import as_json as with_iso_times

        print_json([{**with_iso_times(token), "mode": settings.mode.value} for token in found])
        return
    title = f"{'Tokens ever tracked' if every else 'Tracked tokens'} ({environment.mark_of(settings)})"
    now = datetime.now(UTC)
    rows = [
        (
            token["chain"],
            plain(token["symbol"], LONGEST_SYMBOL),
            token["price_usd"],
            _amount(token["volume_h24_usd"]),
            _amount(token["liquidity_usd"]),
            token["risk"],
            age(token["observed_at"], now) if token["observed_at"] else None,
            age(token["tracked_since"], now),
            f"{', '.join(token['sources'])}: {token['reason']}",
        )
        for token in found
    ]
    console().print(table(title, HEADERS, rows, RIGHT, wraps=("why",)))


def list_tracked(connection: "sa.Connection", every: bool = False) -> list[dict[str, Any]]:
    """Tracked tokens, the largest by volume first; with `every` also those that are asked for no more."""
    import sqlalchemy as sa

    from metapulse_assets.market.tables import token_metrics, tokens, tracked_tokens
    from metapulse_assets.risk.tables import risk_assessments

    tracked = tracked_tokens.c
    # Rows of these tables come with every tick, so a search backwards from the newest ends at once.
    newest = (
        sa.select(*(token_metrics.c[name] for name in FIGURES))
        .where(token_metrics.c.token_id == tracked.token_id, tracked.active)
        .order_by(token_metrics.c.observed_at.desc())
        .limit(1)
        .lateral("newest")
    )
    assessed = (
        sa.select(risk_assessments.c.level.label("risk"), risk_assessments.c.hard_fail.label("risk_reason"))
        .where(risk_assessments.c.token_id == tracked.token_id, tracked.active)
        .order_by(risk_assessments.c.observed_at.desc())
        .limit(1)
        .lateral("assessed")
    )
    statement = (
        sa.select(
            tokens.c.chain,
            tokens.c.address.label("token"),
            tokens.c.symbol,
            tokens.c.name,
            *(newest.c[name] for name in FIGURES),
            assessed.c.risk,
            assessed.c.risk_reason,
            *(tracked[name] for name in ("active", "sources", "reason", "tracked_since", "last_listed_at", "failing_since")),
        )
        .select_from(tracked_tokens)
        .join(tokens, tokens.c.token_id == tracked.token_id)
        .outerjoin(newest, sa.true())
        .outerjoin(assessed, sa.true())
        .order_by(tracked.active.desc(), newest.c.volume_h24_usd.desc().nulls_last(), tracked.token_id)
    )
    if not every:
        statement = statement.where(tracked.active)
    return [dict(row._mapping) for row in connection.execute(statement)]


def _amount(usd: float | None) -> str | None:
    return None if usd is None else f"{usd:,.0f}"
