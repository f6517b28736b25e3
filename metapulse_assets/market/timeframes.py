"""The candle timeframes: their lengths, and where a moment falls in them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


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
        epoch = int(moment.timestamp()) // self.seconds * self.seconds
        return datetime.fromtimestamp(epoch, UTC)


TIMEFRAMES: dict[str, Timeframe] = {
    timeframe.name: timeframe
    for timeframe in (
        Timeframe("5m", timedelta(minutes=5), None),
        Timeframe("1h", timedelta(hours=1), "5m"),
        Timeframe("1d", timedelta(days=1), "1h"),
    )
}
