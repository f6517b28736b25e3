"""What came of a replay, in Markdown with pictures: what went in, what came out, and whether it was worth anything.

Figures are shown as they are. Chance is beside each: the base rate, random entries, holding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from metapulse_assets.market.tables import tokens
from metapulse_assets.outcomes import calibration_chart
from metapulse_assets.outcomes.calibration import ALL
from metapulse_assets.outcomes.rows import HORIZONS
from metapulse_assets.outcomes.tables import signal_calibration, signal_outcomes
from metapulse_assets.platform.display import markdown_table
from metapulse_assets.signals.tables import signals

HEADERS = (
    *("source", "horizon", "n", "worth", "vanished", "unresolvable", "hit rate", "95 %", "base rate", "shifted 95 %"),
    *(
        "mean net",
        "hold",
        "judged",
        "Brier",
        "raw",
        "of base rate",
        "skill",
        "95 %",
        "log loss",
        "IC",
        "95 %",
        "rank IC",
        "95 %",
    ),
)


@dataclass(frozen=True)
class Played:
    """What is told of the runs: days, seconds of each backfill, and for a second one which tables came out different."""

    name: str
    first: date
    last: date
    unit: str
    seconds: Sequence[float]
    rows: Mapping[str, int]
    different: Sequence[str] | None


def write_report(connection: sa.Connection, played: Played, folder: Path) -> Path:
    """Write `report.md` and its pictures into a folder; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = _sources(connection)
    parts = [
        f"# Replay {played.name}: {played.first} to {played.last}\n",
        _told(played),
        "## Stored\n",
        markdown_table(("table", "rows"), sorted(played.rows.items())),
        "\n## Tokens\n",
        markdown_table(("token", "name", "signals"), _tokens(connection)),
        "\n## Signals\n",
        markdown_table(("kind", "rule", "direction", "signals"), _counts(connection)),
        "\n## What came of them\n",
        "Net of costs, entered at the first price after the signal. A hit is a net return above 0. Beside it what chance does: "
        "the share of all moments that would have hit, the same entries shifted in time together, and holding throughout. "
        "`worth`: independent outcomes that n are worth, spans overlapping; intervals go by it. `judged`: signals that had a "
        "calibrated confidence when they were emitted, fitted on outcomes usable by then alone: Brier, skill and log loss are "
        "of it; beside it the raw confidence's and the base rate's Brier for the same signals.\n",
        markdown_table(HEADERS, [_row(source) for source in sources]),
        *_without_outcome(connection),
        *_pictures(sources, played, folder),
    ]
    page = folder / "report.md"
    page.write_text("\n".join(parts) + "\n", encoding="utf-8")
    return page


def _told(played: Played) -> str:
    days = (played.last - played.first).days + 1
    lines = [
        f"{days} days in one backfill, prices in {played.unit}: {played.seconds[0]:.1f} s, "
        f"{days / played.seconds[0]:.2f} days a second.\n"
    ]
    if played.different is not None:
        verdict = "every table came out equal" if not played.different else f"DIFFERENT: {', '.join(played.different)}"
        lines.append(f"The same backfill again: {played.seconds[1]:.1f} s, {verdict}.\n")
    return "\n".join(lines)


def _sources(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    c = signal_calibration.c
    return connection.execute(
        sa.select(signal_calibration)
        .where(c.risk == ALL, c.rule == ALL)
        .order_by(c.kind, sa.func.array_position(list(HORIZONS), c.horizon))
    ).all()


def _row(source: sa.Row[Any]) -> Sequence[Any]:
    return (
        *(source.kind, source.horizon, source.n, f"{source.n_effective:.0f}", source.vanished, source.unresolvable),
        *(source.hit_rate, _band(source.hit_rate_low, source.hit_rate_high), source.base_rate),
        *(_band(source.placebo_low, source.placebo_high), source.mean_net_return, source.buy_and_hold_return),
        *(source.n_judged, source.brier, source.brier_raw, source.brier_base, source.brier_skill),
        *(_band(source.brier_skill_low, source.brier_skill_high), source.log_loss),
        *(source.ic, _band(source.ic_low, source.ic_high), source.rank_ic, _band(source.rank_ic_low, source.rank_ic_high)),
    )


def _tokens(connection: sa.Connection) -> Sequence[Sequence[Any]]:
    return [
        tuple(row)
        for row in connection.execute(
            sa.select(tokens.c.symbol, tokens.c.name, sa.func.count(signals.c.signal_id))
            .outerjoin(signals, signals.c.token_id == tokens.c.token_id)
            .group_by(tokens.c.token_id)
            .order_by(tokens.c.symbol)
        )
    ]


def _counts(connection: sa.Connection) -> Sequence[Sequence[Any]]:
    s = signals.c
    return [
        tuple(row)
        for row in connection.execute(
            sa.select(s.kind, s.rule, s.direction, sa.func.count())
            .group_by(s.kind, s.rule, s.direction)
            .order_by(s.kind, s.rule, s.direction)
        )
    ]


def _without_outcome(connection: sa.Connection) -> list[str]:
    o = signal_outcomes.c
    rows = connection.execute(
        sa.select(o.horizon, o.reason, sa.func.count())
        .where(o.status == "unresolvable")
        .group_by(o.horizon, o.reason)
        .order_by(sa.func.array_position(list(HORIZONS), o.horizon), o.reason)
    ).all()
    if not rows:
        return []
    return ["\nWithout an outcome, and why:\n", markdown_table(("horizon", "reason", "signals"), rows)]


def _pictures(sources: Sequence[sa.Row[Any]], played: Played, folder: Path) -> list[str]:
    told = ["\n## Could the confidence be believed when it was shown?\n"]
    for kind in sorted({source.kind for source in sources} - {ALL}):
        lines = [calibration_chart.ReliabilityLine.of(source) for source in sources if source.kind == kind]
        path = folder / f"reliability_{kind}.png"
        path.write_bytes(calibration_chart.draw_png(f"hits by confidence, {kind} signals (replay {played.name})", lines))
        told.append(f"![share of hits by confidence, {kind} signals]({path.name})\n")
    return told


def _band(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:.3f} to {high:.3f}"
