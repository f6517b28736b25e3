"""Which of the recorded candle files stand for a token: one source per symbol, with all its timeframes."""

from collections import defaultdict
from pathlib import Path

from metapulse_assets.sandbox.recorded.candle_files import FOLDERS, CandleFile, find_candle_files, read_candles
from metapulse_assets.sandbox.recorded.series import RecordedSeries


def read_series(data: Path) -> list[RecordedSeries]:
    """Return one series per base symbol of the folders that exist, in the order of the folders.

    Of several sources of a symbol the one in dollars is taken, then the one with the finest timeframe, then the longest.
    Only the files of sources that may be taken are read. Raises ValueError naming an unreadable file.
    """
    sources: dict[str, dict[tuple[str, str], list[CandleFile]]] = defaultdict(lambda: defaultdict(list))
    for file in find_candle_files(data):
        sources[file.base][file.folder, file.quote].append(file)
    chosen = [_best(list(candidates.values())) for candidates in sources.values()]
    order = list(FOLDERS)
    return sorted(chosen, key=lambda series: (order.index(series.folder), series.base))


def _best(candidates: list[list[CandleFile]]) -> RecordedSeries:
    def rank(files: list[CandleFile]) -> tuple[bool, int]:
        return not files[0].in_dollars, min(file.seconds for file in files)

    first = min(rank(files) for files in candidates)
    finest = [_series(files) for files in candidates if rank(files) == first]
    return max(finest, key=lambda series: series.end - series.first)


def _series(files: list[CandleFile]) -> RecordedSeries:
    first = files[0]
    frames = {file.seconds: read_candles(file) for file in files}
    return RecordedSeries(first.base, first.quote, first.folder, frames, first.in_dollars)
