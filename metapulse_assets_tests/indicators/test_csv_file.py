"""Candle files: what is accepted, what is refused and where, and what is written."""

import csv
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from metapulse_assets.indicators.columns import PANDAS_TA_NAMES, PANDAS_TA_TO_DATABASE
from metapulse_assets.indicators.csv_file import CandleFileError, indicators_csv, read_candles, write_indicators
from metapulse_assets.indicators.kernel import compute
from metapulse_assets_tests.indicators import series

HEADER = "timestamp,open,high,low,close,volume\n"


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "candles.csv"
    path.write_text(text, encoding=encoding)
    return path


def long_file(folder: Path, n_bars: int = 120) -> Path:
    bars = series.walk(n_bars, 1)
    lines = [
        f"2024-01-{1 + k // 24:02d}T{k % 24:02d}:00:00Z,"
        + ",".join(repr(float(getattr(bars, name)[k, 0])) for name in series.FIELDS)
        for k in range(n_bars)
    ]
    return written(folder, HEADER + "\n".join(lines) + "\n")


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is not UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2024-01-01", "2024-01-02"),
        ("20240101", "20240102"),
        ("2024-01-01 00:00:00", "2024-01-02 00:00"),
        ("2024-01-01T00:00:00Z", "2024-01-02T02:00:00+02:00"),
        ("1704067200", "1704153600"),
        ("1704067200.0", "1704153600.0"),
        ("1704067200000", "1704153600000"),
    ],
)
def test_times_in_every_accepted_form(tmp_path: Path, first: str, second: str) -> None:
    candles = read_candles(written(tmp_path, f"{HEADER}{first},1,2,0.5,1.5,10\n{second},1,2,0.5,1.5,10\n"))
    assert candles.opened_at.tolist() == [1704067200.0, 1704153600.0]
    assert candles.timestamps == (first, second)
    assert candles.interval_seconds == 86400.0


def test_columns_may_be_named_and_ordered_otherwise(tmp_path: Path) -> None:
    path = written(tmp_path, "Close,turnover,Low,High,Open,Date\n1.5,99,0.5,2,1,2024-01-01\n", encoding="utf-8-sig")
    candles = read_candles(path)
    assert (candles.open[0], candles.high[0], candles.low[0], candles.close[0]) == (1.0, 2.0, 0.5, 1.5)
    assert math.isnan(candles.volume[0])
    assert candles.interval_seconds == math.inf
    assert not candles.to_bars().gap_before.any()


def test_an_empty_price_is_a_hole_and_an_empty_volume_unknown(tmp_path: Path) -> None:
    candles = read_candles(written(tmp_path, f"{HEADER}0,1,2,,1.5,\n60,1,2,0.5,1.5,7\n\n"))
    np.testing.assert_array_equal(candles.low, [np.nan, 0.5])
    np.testing.assert_array_equal(candles.volume, [np.nan, 7.0])
    values, _ = compute(candles.to_bars())
    assert values.bar_count[:, 0].tolist() == [0, 1]


def test_newest_first_is_turned_around(tmp_path: Path) -> None:
    candles = read_candles(written(tmp_path, f"{HEADER}120,3,3,3,3,3\n60,2,2,2,2,2\n0,1,1,1,1,1\n"))
    assert candles.timestamps == ("0", "60", "120")
    assert candles.opened_at.tolist() == [0.0, 60.0, 120.0]
    assert candles.close.tolist() == candles.volume.tolist() == [1.0, 2.0, 3.0]


def test_gaps_are_judged_by_the_median_interval(tmp_path: Path) -> None:
    times = [0, 60, 120, 180, 480, 781]
    text = HEADER + "".join(f"{time},1,1,1,1,1\n" for time in times)
    gaps = read_candles(written(tmp_path, text)).to_bars().gap_before[:, 0]
    assert gaps.tolist() == [False, False, False, False, False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: needs a column timestamp or date, has none"),
        ("time,open,high,low,close\n", "line 1: needs a column timestamp or date, has time, open"),
        ("date,open,high,close\n", "line 1: needs a column low"),
        (HEADER, "candles.csv: has no candles"),
        (f"{HEADER}0,1,1,1,1,1\n60,1,abc,1,1,1\n", "line 3, column high: 'abc' is not a number"),
        (f"{HEADER}0,1,1,1,1,1\n\n60,1,1,1,inf,1\n", "line 4, column close: 'inf' is not finite"),
        (f"{HEADER}0,1,1,1,1,lots\n", "line 2, column volume: 'lots' is not a number"),
        (f"{HEADER}0,1,1,1\n", "line 2: has 4 cells, the header has 6"),
        (f"{HEADER}yesterday,1,1,1,1,1\n", "line 2, column timestamp: 'yesterday' is neither"),
        (f"{HEADER},1,1,1,1,1\n", "line 2, column timestamp: '' is neither"),
        (f"{HEADER}-5,1,1,1,1,1\n", "line 2, column timestamp: '-5' is neither"),
        (f"{HEADER}1704067200000000,1,1,1,1,1\n", "line 2, column timestamp: '1704067200000000' is neither"),
        (f"{HEADER}nan,1,1,1,1,1\n", "line 2, column timestamp: 'nan' is neither"),
        (f"{HEADER}0,1,1,1,1,1\n0,1,1,1,1,1\n", "line 3, column timestamp: '0' repeats"),
        (f"{HEADER}0,1,1,1,1,1\n60,1,1,1,1,1\n60,1,1,1,1,1\n", "line 4, column timestamp: '60' repeats"),
        (f"{HEADER}60,1,1,1,1,1\n0,1,1,1,1,1\n0,1,1,1,1,1\n", "line 4, column timestamp: '0' repeats"),
        (f"{HEADER}0,1,1,1,1,1\n60,1,1,1,1,1\n30,1,1,1,1,1\n", "line 4, column timestamp: '30' is out of order"),
        (f"{HEADER}60,1,1,1,1,1\n0,1,1,1,1,1\n90,1,1,1,1,1\n", "line 4, column timestamp: '90' is out of order"),
    ],
)
def test_refusals_name_the_place_and_the_value(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(CandleFileError) as caught:
        read_candles(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "candles.csv"
    path.write_bytes(b"timestamp,open\xff\xfe\x00")
    with pytest.raises(CandleFileError, match="is not a CSV file in UTF-8"):
        read_candles(path)


def test_a_missing_file_stays_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_candles(tmp_path / "none.csv")


def test_the_csv_holds_the_kernels_numbers_to_the_last_bit(tmp_path: Path) -> None:
    candles = read_candles(long_file(tmp_path))
    target = tmp_path / "indicators.csv"
    write_indicators(candles, target)
    text = target.read_bytes().decode()
    assert text == indicators_csv(candles)
    assert text.endswith("\n")
    assert "\r" not in text
    lines = list(csv.DictReader(text.splitlines()))
    assert list(lines[0]) == ["timestamp", *PANDAS_TA_NAMES]
    assert [line["timestamp"] for line in lines] == list(candles.timestamps)
    values, _ = compute(candles.to_bars())
    for name in PANDAS_TA_NAMES:
        column = [float(line[name]) if line[name] else math.nan for line in lines]
        np.testing.assert_array_equal(column, values[PANDAS_TA_TO_DATABASE[name]][:, 0], err_msg=name)
    assert lines[13]["RSI_14"] == ""
    assert lines[14]["RSI_14"] != ""
    assert lines[0]["OBV"] == "0.0"
