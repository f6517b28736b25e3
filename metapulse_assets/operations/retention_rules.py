"""What is kept for how long: a rule a table, and the least that later computations look back at.

Which rows and partitions that makes past their time, and how they are removed, is in `retention.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from metapulse_assets.indicators.chain import WARM_UP
from metapulse_assets.indicators.tables import technical_analyses
from metapulse_assets.intelligence import calibration_store as model_calibration
from metapulse_assets.intelligence.tables import ai_analyses, ai_answers, ai_model_calibration, ai_requests
from metapulse_assets.market import history
from metapulse_assets.market.stream_tables import token_launches, token_migrations, token_trades
from metapulse_assets.market.tables import token_metrics
from metapulse_assets.operations.tables import alarms, database_optimisation, health_metrics, job_logs, queue_stats, retention
from metapulse_assets.outcomes import calibration_store
from metapulse_assets.outcomes import store as outcome_store
from metapulse_assets.outcomes.tables import calibration_curves
from metapulse_assets.platform.day_partitions import day_start, utc_day
from metapulse_assets.platform.settings import Settings, SettingsError, variables_of
from metapulse_assets.platform.tables import dead_letters, raw_payloads
from metapulse_assets.risk.tables import risk_assessments, token_security
from metapulse_assets.signals.tables import SOURCES, signals
from metapulse_assets.social.post_tables import collection_passes, post_counts, post_engagement, social_posts
from metapulse_assets.social.reading_store import TICK_REACH
from metapulse_assets.social.tables import mentions, post_sentiments, social_metrics, trending_topics

# Days that a computation begun just before midnight may still read of what it calls today.
TURN_OF_DAY = 1


@dataclass(frozen=True)
class Period:
    """How many days something is kept, by a setting.

    `least`: fewer days are refused, since what `needed_by` says looks back so far.
    """

    setting: str
    least: int
    needed_by: str
    days: int


@dataclass(frozen=True)
class DayPartitions:
    """Whole days of a table partitioned by day go. `margin`: days kept longer, as what stays is made of them."""

    parent: str
    period: Period
    margin: int = 0

    def kept_since(self, now: datetime) -> datetime:
        """The start of the oldest day that stays."""
        return day_start(utc_day(now)) - timedelta(days=self.period.days + self.margin)


@dataclass(frozen=True)
class Rows:
    """Rows of a plain table go when `moment` is past; `only` narrows to those that may go at all."""

    table: sa.Table
    moment: sa.ColumnElement[datetime]
    period: Period
    margin: int = 0
    only: Callable[[], sa.ColumnElement[bool]] | None = None

    def kept_since(self, now: datetime) -> datetime:
        """What happened before goes."""
        return now - timedelta(days=self.period.days + self.margin)


def periods(settings: Settings) -> dict[str, Period]:
    """How long each kind of data is kept, checked; raises `SettingsError` naming the setting that is too small."""
    candles = {name: _days(span) for name, span in WARM_UP.items()}
    least = {
        "metrics": (_days(outcome_store.LOOK_BACK) + TURN_OF_DAY, "outcomes of signals"),
        "social": (_days(TICK_REACH) + TURN_OF_DAY, "social metrics"),
        "analyses": (_days(model_calibration.WINDOW) + 2 * TURN_OF_DAY, "the models' calibration"),
        "candles": (
            max(settings.analyses_retention_days + candles["1h"] + TURN_OF_DAY, _days(history.LOOK_BACK) + TURN_OF_DAY),
            "the indicators of the oldest analyses kept, whose chains begin so much earlier",
        ),
        "trades": (2 * TURN_OF_DAY, "the candles of the last hours"),
        "signals": (_days(calibration_store.PERIOD), "the calibration of signals"),
        "raw_payloads": (TURN_OF_DAY, "the way of today's rows back to bytes"),
        "dead_letters": (TURN_OF_DAY, "the count of what was refused today"),
        "job_logs": (TURN_OF_DAY, "the share of failed runs"),
        "operations": (TURN_OF_DAY, "the growth of tables"),
        "alarms": (TURN_OF_DAY, "alarms not delivered yet"),
        "dagster": (TURN_OF_DAY, "today's runs"),
    }
    found = {
        name: Period(field, days, by, getattr(settings, field))
        for name, (days, by) in least.items()
        for field in (f"{name}_retention_days",)
    }
    wrong = [
        f"{variables_of(period.setting)[0]}: {period.days} days is less than the {period.least} that {period.needed_by} need"
        for period in found.values()
        if period.days < period.least
    ]
    if wrong:
        raise SettingsError("\n".join(wrong))
    return found


def rules(settings: Settings) -> list[DayPartitions | Rows]:
    """The rules of all tables of ours; raises `SettingsError` where a period is too short."""
    of = periods(settings)
    reach = _days(TICK_REACH)
    day_partitioned = [
        *(DayPartitions(table.name, of["metrics"]) for table in (risk_assessments, token_security)),
        *(DayPartitions(table.name, of["metrics"]) for table in (token_launches, token_migrations)),
        DayPartitions(token_trades.name, of["trades"]),
        # Risk is made of the snapshots of the days before.
        DayPartitions(token_metrics.name, of["metrics"], margin=2),
        *(DayPartitions(f"candles_{timeframe}", of["candles"]) for timeframe in ("5m", "1h")),
        *(DayPartitions(table.name, of["social"]) for table in (social_metrics, trending_topics)),
        *(
            DayPartitions(table.name, of["social"], margin=reach)
            for table in (social_posts, post_engagement, post_counts, mentions, post_sentiments)
        ),
        *(DayPartitions(table.name, of["analyses"]) for table in (technical_analyses, ai_analyses, *SOURCES.values())),
        # Analyses are made of questions and answers of the day before, too.
        *(DayPartitions(table.name, of["analyses"], margin=2) for table in (ai_requests, ai_answers)),
        DayPartitions(raw_payloads.name, of["raw_payloads"]),
        *(DayPartitions(table.name, of["operations"]) for table in (health_metrics, queue_stats)),
    ]
    return [*day_partitioned, *_row_rules(of, reach)]


def _row_rules(of: dict[str, Period], reach: int) -> list[DayPartitions | Rows]:
    day = sa.cast(ai_model_calibration.c.day, sa.DateTime(timezone=True))
    return [
        Rows(signals, signals.c.expires_at, of["signals"]),
        # A signal is shown with the curve of the hour in which it was emitted, a day before it expired.
        Rows(calibration_curves, calibration_curves.c.known_at, of["signals"], margin=2),
        Rows(ai_model_calibration, day, of["analyses"], margin=2),
        Rows(collection_passes, collection_passes.c.started_at, of["social"], margin=reach),
        Rows(dead_letters, dead_letters.c.last_at, of["dead_letters"]),
        Rows(job_logs, job_logs.c.created_at, of["job_logs"], only=_not_newest_of_its_job),
        Rows(alarms, alarms.c.last_seen, of["alarms"], only=lambda: alarms.c.resolved_at.is_not(None)),
        Rows(retention, retention.c.ran_at, of["operations"]),
        Rows(database_optimisation, database_optimisation.c.ran_at, of["operations"]),
    ]


def _not_newest_of_its_job() -> sa.ColumnElement[bool]:
    """Ended, and another run of the job ended later: the last word on a job stays, however old."""
    later = job_logs.alias("later")
    return sa.and_(
        job_logs.c.ended_at.is_not(None),
        sa.exists().where(
            later.c.engine == job_logs.c.engine, later.c.job == job_logs.c.job, later.c.ended_at > job_logs.c.ended_at
        ),
    )


def _days(span: timedelta) -> int:
    """A span in days, rounded up."""
    return -(-span // timedelta(days=1))
