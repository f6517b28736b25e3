"""Whether the outcomes can be relied upon: none missing without a reason, ranges, and no price from before the signal."""

from datetime import datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.outcomes import calibration_curve_store as curve_store
from metapulse_assets.outcomes import store
from metapulse_assets.outcomes.resolving import ENTRY_WAIT, SETTLE
from metapulse_assets.outcomes.rows import HORIZONS
from metapulse_assets.outcomes.tables import calibration_curves, signal_calibration, signal_outcomes
from metapulse_assets.platform.progress import progress_of
from metapulse_assets.platform.table_checks import Finding, TableCheck, checks_of, values_check
from metapulse_assets.signals.tables import signals

SAMPLE = 3
COMPARED = ("status", "timeframe", "entry_at", "entry_usd", "exit_at", "exit_usd", "net_return")


def _every_matured_signal(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """Each signal whose horizon passed long enough before the last run has an outcome, or a reason for having none."""
    done = progress_of(connection, store.MARK)
    if done is None:
        return Finding(True, {"matured": 0})
    s, o = signals.c, signal_outcomes.c
    moment = sa.case((s.origin == "live", sa.func.greatest(s.emitted_at, s.recorded_at)), else_=s.emitted_at)
    matured, missing, reasons = 0, {}, 0
    for horizon, span in HORIZONS.items():
        passed = done - timedelta(microseconds=ENTRY_WAIT + span + SETTLE)
        # A replayed signal that was stored after the last run could not be judged by it.
        of_interest = sa.and_(s.opened_at >= start, s.opened_at < end, moment <= passed, s.recorded_at <= done)
        present = sa.and_(o.signal_id == s.signal_id, o.horizon == horizon)
        counts = connection.execute(
            sa.select(
                sa.func.count().label("signals"),
                sa.func.count().filter(o.signal_id.is_(None)).label("missing"),
                sa.func.count().filter(o.reason.is_not(None)).label("with_reason"),
            )
            .select_from(signals.outerjoin(signal_outcomes, present))
            .where(of_interest)
        ).one()
        matured += counts.signals
        reasons += counts.with_reason
        if counts.missing:
            missing[horizon] = counts.missing
    return Finding(not missing, {"matured": matured, "with a reason": reasons, "without an outcome": missing})


def _nothing_from_before(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """No entry is from before its signal could be acted upon, and a sample made anew from what was stored by then is equal."""
    s, o = signals.c, signal_outcomes.c
    in_span = sa.and_(o.opened_at >= start, o.opened_at < end)
    too_early = sa.or_(
        o.entry_at < s.emitted_at,
        sa.and_(s.origin == "live", o.entry_at < s.recorded_at),
        o.exit_at < o.entry_at,
        o.exit_at > o.available_at,
    )
    early = connection.execute(
        sa.select(sa.func.count()).join_from(signal_outcomes, signals).where(in_span, too_early)
    ).scalar_one()
    # Whether a pool vanished also rests on who is tracked, which is not kept for the past.
    sample = connection.execute(
        sa.select(signal_outcomes)
        .where(in_span, o.status == "resolved")
        .order_by(o.recorded_at.desc(), sa.func.md5(o.signal_id + o.horizon))
        .limit(SAMPLE)
    ).all()
    different = [
        f"{row.signal_id} {row.horizon}"
        for row in sample
        for again in store.judged_rows(connection, row.horizon, store.signal_rows(connection, [row.signal_id]), row.recorded_at)
        if any(again[name] != getattr(row, name) for name in COMPARED)
    ]
    return Finding(
        early == 0 and not different, {"too early": early, "made anew": len(sample), "came out different": different}
    )


def _nothing_from_after(connection: sa.Connection, start: datetime, end: datetime) -> Finding:
    """No curve knows an outcome that became usable after its hour, and a sample fitted anew from what was is equal.

    Curves of which some outcomes have been removed since cannot be fitted anew, and say so.
    """
    c = calibration_curves.c
    late = connection.execute(
        sa.select(sa.func.count()).select_from(calibration_curves).where(c.last_available_at > c.known_at)
    ).scalar_one()
    sample = connection.execute(
        sa.select(calibration_curves).order_by(c.known_at.desc(), sa.func.md5(c.kind + c.rule + c.horizon)).limit(SAMPLE)
    ).all()
    different, removed = [], 0
    for row in sample:
        n, hits, curve = curve_store.fitted_again(connection, row)
        removed += n < row.n
        if n == row.n and (hits, curve) != (row.hits, row.curve):
            different.append(f"{row.kind} {row.rule} {row.horizon} {row.known_at}")
    return Finding(
        late == 0 and not different,
        {"too late": late, "fitted anew": len(sample) - removed, "not fitted anew": removed, "came out different": different},
    )


def outcome_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of outcomes and calibration."""
    return [
        checks_of(
            signal_outcomes,
            [
                values_check(signal_outcomes, "opened_at"),
                TableCheck(
                    "every_matured_signal",
                    "Each signal whose horizon has passed has an outcome, or a reason for having none.",
                    _every_matured_signal,
                    blocking=False,
                ),
                TableCheck(
                    "nothing_from_before",
                    "No outcome uses a price from before its signal, and a sample made anew is equal.",
                    _nothing_from_before,
                ),
            ],
        ),
        checks_of(
            signal_calibration,
            [
                values_check(signal_calibration, "computed_at"),
                TableCheck(
                    "nothing_from_after",
                    "No confidence shown rests on an outcome from after its hour, and a sample fitted anew is equal.",
                    _nothing_from_after,
                ),
            ],
            partitioned=False,
        ),
    ]
