"""The candle timeframes: their lengths, and where a moment falls in them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Timeframe:
    """One candle length. `finer` is the timeframe it can be rolled up from."""

    name: str
    interval: timedelta
    finer: str | None

    @property
    def seconds(self) -> int:
        """Length in seconds."""
        return int(self.interval.total_seconds())

    def floor(self, moment: datetime) -> datetime:
        """Start of the candle that holds a moment; candles are aligned to the UTC epoch, as every vendor's are."""
        return _EPOCH + (moment - _EPOCH) // self.interval * self.interval


TIMEFRAMES: dict[str, Timeframe] = {
    timeframe.name: timeframe
    for timeframe in (
        Timeframe("5m", timedelta(minutes=5), None),
        Timeframe("1h", timedelta(hours=1), "5m"),
        Timeframe("1d", timedelta(days=1), "1h"),
    )
}
