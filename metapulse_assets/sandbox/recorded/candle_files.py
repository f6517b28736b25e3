"""Finds and reads recorded candle files: which folders there are, what their names say, what their columns hold.

Files become arrays as they are; choosing among them is in ``selection``, using them in ``series``.
"""

import gzip
import io
import logging
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from metapulse_assets.sandbox.market import Candles

_LOG: Final = logging.getLogger(__name__)
_CSV: Final = r"(?P<base>[A-Z0-9]+?)(?P<quote>USDT|USDC|USD)_(?P<frame>\d+[mhd])\.csv"
_FEATHER: Final = r"(?P<base>[A-Z0-9]+)_(?P<quote>[A-Z0-9]+)-(?P<frame>\d+[mhd])\.feather"
# Folders in the order of preference where two are equally fine and long.
FOLDERS: Final = {
    "ohlcv_bybit_50tokens": re.compile(_CSV),
    "ohlcv_bybit_1m_5m": re.compile(_CSV + r"\.gz"),
    "ohlcv_binance_1h": re.compile(_CSV + r"\.gz"),
    "ohlcv_freqtrade": re.compile(_FEATHER),
}
_UNITS: Final = {"m": 60, "h": 3600, "d": 86400}
# freqtrade's own test symbol: its files are cut from several others and are no token.
_NO_TOKENS: Final = frozenset({"UNITTEST"})
_DOLLARS: Final = frozenset({"USD", "USDT", "USDC"})
_COLUMNS: Final = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class CandleFile:
    """A file of candles of ``seconds`` each; prices are in ``quote`` tokens."""

    folder: str
    path: Path
    base: str
    quote: str
    seconds: int

    @property
    def in_dollars(self) -> bool:
        """Whether the quote is a US dollar token, which is taken as exactly one dollar."""
        return self.quote in _DOLLARS


def find_candle_files(data: Path) -> list[CandleFile]:
    """Return the candle files of the folders that exist; feather files only where pyarrow is installed."""
    files = []
    for folder, pattern in FOLDERS.items():
        for path in sorted((data / folder).glob("*")):
            match = pattern.fullmatch(path.name)
            if match and match["base"] not in _NO_TOKENS:
                seconds = int(match["frame"][:-1]) * _UNITS[match["frame"][-1]]
                files.append(CandleFile(folder, path, match["base"], match["quote"], seconds))
    feathers = [file for file in files if file.path.suffix == ".feather"]
    if feathers and find_spec("pyarrow") is None:
        _LOG.warning("%d feather files are left out: reading them needs pyarrow (pip install pyarrow)", len(feathers))
        files = [file for file in files if file.path.suffix != ".feather"]
    return files


def read_candles(file: CandleFile) -> Candles:
    """Return the candles of a file, oldest first; the volume is in quote tokens.

    Where the file has no turnover, the volume is its base volume times the close. Raises ValueError naming the file
    and what is wrong with it.
    """
    try:
        candles = _read_feather(file.path) if file.path.suffix == ".feather" else _read_csv(file.path)
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"{file.path}: not a readable file of candles: {error}") from error
    _check(file, candles)
    return candles


def _read_csv(path: Path) -> Candles:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    header, _, body = text.partition("\n")
    names = [name.strip() for name in header.split(",")]
    wanted = [*_COLUMNS, *(["turnover"] if "turnover" in names else [])]
    missing = [name for name in wanted if name not in names]
    if missing or names[0] not in ("timestamp", "date"):
        raise ValueError(f"the header {header.strip()!r} lacks {', '.join(missing) or 'timestamp'}")
    lines = body.splitlines()
    if not lines:
        raise ValueError("it holds no candles")
    # The first 19 characters are the time without its zone: every file of these folders is in UTC.
    times = np.array([line.split(",", 1)[0][:19] for line in lines], dtype="datetime64[s]")
    values = np.loadtxt(io.StringIO(body), delimiter=",", usecols=[names.index(name) for name in wanted], ndmin=2)
    return _candles(times, values)


def _read_feather(path: Path) -> Candles:
    import pyarrow
    from pyarrow import feather

    table = feather.read_table(path, columns=["date", *_COLUMNS])
    for name in ("date", *_COLUMNS):
        if table.column(name).null_count:
            raise ValueError(f"{table.column(name).null_count} values of {name} are missing")
    seconds = table.column("date").cast(pyarrow.timestamp("s", tz="UTC"), safe=False).cast(pyarrow.int64())
    # Through DLPack: pyarrow's own to_numpy loads the whole of pandas, which takes longer than all the reading.
    times = np.from_dlpack(seconds.combine_chunks()).astype("datetime64[s]")
    columns = [table.column(name).cast(pyarrow.float64()).combine_chunks() for name in _COLUMNS]
    return _candles(times, np.stack([np.from_dlpack(column) for column in columns], axis=1))


def _candles(times: npt.NDArray[np.datetime64], values: npt.NDArray[np.float64]) -> Candles:
    open_, high, low, close, volume = values[:, :5].T
    turnover = values[:, 5] if values.shape[1] > 5 else volume * close
    return Candles(times.astype(np.int64), open_, high, low, close, turnover)


def _check(file: CandleFile, candles: Candles) -> None:
    if not len(candles):
        raise ValueError(f"{file.path}: it holds no candles")
    backwards = np.flatnonzero(np.diff(candles.start) <= 0)
    if len(backwards):
        raise ValueError(f"{file.path}: the time of candle {backwards[0] + 1} is not after the one before it")
    for name in ("open", "high", "low", "close", "volume"):
        values = getattr(candles, name)
        bad = np.flatnonzero(~np.isfinite(values) | (values < 0))
        if len(bad):
            raise ValueError(f"{file.path}: {name} of candle {bad[0]} is {values[bad[0]]}")
