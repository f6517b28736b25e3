"""What rows there must be after any events on a market: the plain reading that the store is held against."""

from datetime import UTC

from metapulse_assets.indicators.chain import RECOMMENDATION_LABELS, TREND_LABELS, WARM_UP
from metapulse_assets.market.timeframes import Timeframe
from metapulse_assets.platform.bulk import Columns
from metapulse_assets.platform.day_partitions import utc_day
from metapulse_assets_tests.indicators.candle_streams import Key, late_by_the_rule, rows_one_by_one
from metapulse_assets_tests.indicators.market_in_time import MarketInTime, Row, as_stored


def rows_by_the_rule(market: MarketInTime) -> dict[Key, Row]:
    """The analyses there must be: one for each candle in time, made of what was usable when it was."""
    stored = market.candles()
    keys = [
        (int(token), opened.replace(tzinfo=UTC))
        for token, opened in zip(stored["token_id"], stored["opened_at"].tolist(), strict=True)
    ]
    chosen = [
        row
        for row, late in enumerate(late_by_the_rule(stored))
        if not late and market.first_day is not None and utc_day(keys[row][1]) >= market.first_day
    ]
    if not chosen:
        return {}
    columns = rows_one_by_one(stored, chosen, market.timeframe.interval, WARM_UP[market.timeframe.name])
    return {keys[row]: computed_row(columns, at, market.timeframe) for at, row in enumerate(chosen)}


def computed_row(columns: Columns, at: int, timeframe: Timeframe) -> Row:
    values = {name: column[at] for name, column in columns.items()}
    return as_stored(
        {
            **values,
            "token_id": int(values["token_id"]),
            "bar_count": int(values["bar_count"]),
            "timeframe": timeframe.name,
            **{name: values[name].item().replace(tzinfo=UTC) for name in ("opened_at", "available_at")},
            "trend": TREND_LABELS[values["trend"]],
            "recommendation": RECOMMENDATION_LABELS[values["recommendation"]],
        }
    )


def assert_lawful(market: MarketInTime) -> None:
    """The rows stored are those of the rule; of days that only a backfill analyses, none or some of them."""
    ours, rule, optional = market.rows(), rows_by_the_rule(market), market.only_backfills_analyse()
    assert ours.keys() - rule.keys() == set(), "rows that may not be"
    assert rule.keys() - ours.keys() - optional == set(), "rows that are missing"
    different = {
        (key, name): (value, rule[key][name])
        for key, row in ours.items()
        for name, value in row.items()
        if value != rule[key][name]
    }
    assert different == {}
