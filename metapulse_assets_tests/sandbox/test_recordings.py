"""The replay: values equal to the recorded files, whole days of shift, no future, no invention."""

import csv
import gzip
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.sandbox.market import Candles, Market
from metapulse_assets.sandbox.recorded import candle_files
from metapulse_assets.sandbox.recorded.series import RecordedSeries
from metapulse_assets.sandbox.recordings import RecordedMarket
from metapulse_assets.sandbox.server import SandboxConfig, running
from metapulse_assets_tests.sandbox.test_dexscreener import recorded_body

EPOCH = date(2026, 5, 20)
DAY = 86400


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def rows(start: int, seconds: int, count: int) -> list[tuple[int, float, float, float, float, float]]:
    """Return candles with prices that are told apart easily: the close of the n-th is 100 + n."""
    return [(start + n * seconds, 99.0 + n, 102.0 + n, 98.0 + n, 100.0 + n, 10.0 + n) for n in range(count)]


def write(path: Path, values: Iterable[tuple[float, ...]], header: str = "timestamp,open,high,low,close,volume") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header]
    for start, *numbers in values:
        moment = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d %H:%M:%S")
        lines.append(",".join([moment, *map(str, numbers)]))
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five-minute candles of ABC from noon of 1 May 2025 to 08:00 of 4 May, and hours of the week before."""
    write(tmp_path / "ohlcv_bybit_50tokens/ABCUSDT_5m.csv", rows(at("2025-05-01T12:00"), 300, 816))
    write(tmp_path / "ohlcv_bybit_50tokens/ABCUSDT_1h.csv", rows(at("2025-04-24T00:00"), 3600, 248))
    return tmp_path


def market(folder: Path, epoch: date = EPOCH) -> RecordedMarket:
    return RecordedMarket(folder, epoch, 0.0)


def wall(recorded: str) -> float:
    """Return the wall time of a recorded moment of ABC: the last full day, 3 May, falls on the epoch."""
    return at(recorded) + (EPOCH - date(2025, 5, 3)).days * DAY


def test_it_is_a_market(folder: Path) -> None:
    source: Market = market(folder)
    assert source.kind == "recordings"
    assert [pool.base.symbol for pool in source.catalogue(0.0).pools] == ["ABC"]


def test_the_epoch_is_the_last_full_recorded_day(folder: Path) -> None:
    found = market(folder).summary(wall("2025-05-03T14:00"))["series"]
    assert isinstance(found, list)
    (series,) = found
    assert series["last full day"] == "2025-05-03"
    assert series["shift days"] == 382
    assert series["replayed now"] == "2025-05-03T14:00:00+00:00"


def test_the_price_is_the_last_recorded_close(folder: Path) -> None:
    source = market(folder)
    for recorded, close in (
        ("2025-05-01T12:04:59", 279.0),  # no five-minute candle has ended yet: the hour that ended at 12:00
        ("2025-05-01T12:05:00", 100.0),
        ("2025-05-01T12:09:59", 100.0),
        ("2025-05-01T12:10:00", 101.0),
        ("2025-05-04T08:00:00", 915.0),
        ("2025-06-30T00:00:00", 915.0),
    ):
        assert source.snapshot([0], wall(recorded)).price_usd[0] == close
    assert np.isnan(source.snapshot([0], wall("2025-04-24T00:30:00")).price_usd[0])


def test_volumes_and_changes_are_those_of_the_recorded_candles(folder: Path) -> None:
    source, t = market(folder), wall("2025-05-03T12:00:00")
    five = [row for row in rows(at("2025-05-01T12:00"), 300, 816) if row[0] < at("2025-05-03T12:00")]
    snapshot = source.snapshot([0], t)
    for column, count in enumerate((1, 3, 6, 12, 72, 288)):
        assert snapshot.volume[0, column] == pytest.approx(sum(row[5] * row[4] for row in five[-count:]))
        assert snapshot.change[0, column] == pytest.approx(100 * (five[-1][4] / five[-1 - count][4] - 1))
    assert (snapshot.buys > 0).all()
    assert (snapshot.sells > 0).all()
    assert snapshot.liquidity_usd[0] > 0
    assert np.isnan(snapshot.fdv[0])


def test_candles_are_the_recorded_ones_and_never_of_the_future(folder: Path) -> None:
    source = market(folder)
    shift = wall("2025-05-03T00:00") - at("2025-05-03T00:00")
    known = source.candles(0, 300, wall("2025-05-02T00:07"), 1000)
    expected = [row for row in rows(at("2025-05-01T12:00"), 300, 816) if row[0] + 300 <= at("2025-05-02T00:07")]
    assert known.start.tolist() == [row[0] + shift for row in expected]
    assert known.close.tolist() == [row[4] for row in expected]
    page = source.candles(0, 300, wall("2025-05-02T00:07"), 2, before=wall("2025-05-01T12:10"))
    assert page.start.tolist() == [wall("2025-05-01T12:00"), wall("2025-05-01T12:05")]


def test_the_candle_in_progress_is_made_of_finer_ones(folder: Path) -> None:
    source = market(folder)
    hour = source.candles(0, 3600, wall("2025-05-03T10:17"), 1)
    five = [row for row in rows(at("2025-05-01T12:00"), 300, 816) if at("2025-05-03T10:00") <= row[0]][:3]
    assert hour.start.tolist() == [wall("2025-05-03T10:00")]
    assert hour.open[0] == five[0][1]
    assert hour.high[0] == max(row[2] for row in five)
    assert hour.low[0] == min(row[3] for row in five)
    assert hour.close[0] == five[-1][4]
    assert hour.volume[0] == pytest.approx(sum(row[5] * row[4] for row in five))
    finished = source.candles(0, 3600, wall("2025-05-03T10:02"), 1)
    assert finished.start.tolist() == [wall("2025-05-03T09:00")]


def test_missing_timeframes_are_aggregated_and_finer_ones_are_not_invented(folder: Path) -> None:
    source, t = market(folder), wall("2025-05-04T08:00")
    assert len(source.candles(0, 60, t, 1000)) == 0
    quarter = source.candles(0, 900, t, 1000)
    assert len(quarter) == 816 // 3
    assert quarter.close[-1] == 915.0
    # The first bucket of 4 hours that the hours cover whole starts with them; days likewise.
    assert source.candles(0, 14400, t, 1000).start[0] == wall("2025-04-24T00:00")
    days = source.candles(0, 86400, t, 1000)
    assert len(days) == 11
    assert days.open[0] == 99.0


def test_gaps_stay_gaps(tmp_path: Path) -> None:
    start = at("2025-05-01T00:00")
    whole = rows(start, 300, 576)
    kept = [
        row if row[0] % 900 else (*row[:5], 0.0)
        for row in whole
        if not at("2025-05-01T06:00") <= row[0] < at("2025-05-01T09:00")
    ]
    write(tmp_path / "ohlcv_bybit_1m_5m/GAPUSDT_5m.csv.gz", kept)
    source = market(tmp_path)
    t = start + 2 * DAY + (EPOCH - date(2025, 5, 2)).days * DAY
    five, hours = source.candles(0, 300, t, 1000), source.candles(0, 3600, t, 1000)
    assert len(five) == sum(row[5] > 0 for row in kept)
    assert len(hours) == 45
    assert 4 * 3600 in np.diff(hours.start).tolist()


def test_one_source_per_symbol_the_finest_then_the_longest(tmp_path: Path) -> None:
    start = at("2025-01-01T00:00")
    write(tmp_path / "ohlcv_binance_1h/ABCUSDT_1h.csv.gz", rows(start, 3600, 2000))
    write(tmp_path / "ohlcv_bybit_50tokens/ABCUSDT_5m.csv", rows(start, 300, 600))
    write(tmp_path / "ohlcv_bybit_1m_5m/ABCUSDT_5m.csv.gz", rows(start, 300, 700))
    write(tmp_path / "ohlcv_bybit_1m_5m/XYZUSDT_5m.csv.gz", rows(start, 300, 600))
    write(tmp_path / "ohlcv_bybit_1m_5m/XYZUSDT_1m.csv.gz", rows(start, 60, 3000))
    found = market(tmp_path).summary(0.0)["series"]
    assert isinstance(found, list)
    assert [(one["base"], one["folder"], one["seconds"]) for one in found] == [
        ("ABC", "ohlcv_bybit_1m_5m", [300]),
        ("XYZ", "ohlcv_bybit_1m_5m", [60, 300]),
    ]


def test_known_symbols_have_their_real_address(folder: Path) -> None:
    listed = {"chainId": 1, "address": "0xAbCdEf0000000000000000000000000000000001", "name": "Abc Token", "symbol": "ABC"}
    path = folder / "tokenlists/uniswap-default.tokenlist.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"tokens": [{**listed, "chainId": 10, "address": "0x2"}, listed]}))
    (known,) = market(folder).catalogue(0.0).pools
    assert (known.chain, known.base.address, known.base.name) == ("ethereum", listed["address"], "Abc Token")
    assert known.quote.symbol == "USDT"
    path.unlink()
    (unknown,) = market(folder).catalogue(0.0).pools
    assert unknown.chain == "solana"
    assert len(unknown.base.address) == 44
    assert unknown.base.address == market(folder).catalogue(0.0).pools[0].base.address


def test_unreadable_files_are_named(folder: Path) -> None:
    broken = folder / "ohlcv_bybit_50tokens/BADUSDT_5m.csv"
    for text, complaint in (
        ("", "lacks"),
        ("timestamp,open,high,low,volume\n", "lacks close"),
        ("timestamp,open,high,low,close,volume\n", "it holds no candles"),
        ("timestamp,open,high,low,close,volume\n2025-05-01 00:00:00,1,x,1,1,1\n", "'x'"),
        ("timestamp,open,high,low,close,volume\nnot a time,1,1,1,1,1\n", "not a time"),
        ("timestamp,open,high,low,close,volume\n2025-05-01 00:00:00,1,nan,1,1,1\n", "high of candle 0 is nan"),
        (
            "timestamp,open,high,low,close,volume\n2025-05-01 00:05:00,1,1,1,1,1\n2025-05-01 00:00:00,1,1,1,1,1\n",
            "the time of candle 1 is not after",
        ),
    ):
        broken.write_text(text)
        with pytest.raises(ValueError, match=r"BADUSDT_5m\.csv") as caught:
            market(folder)
        assert complaint in str(caught.value)
    broken.unlink()
    feather = folder / "ohlcv_freqtrade/BAD_BTC-5m.feather"
    feather.parent.mkdir()
    feather.write_bytes(b"not a feather")
    with pytest.raises(ValueError, match=r"BAD_BTC-5m\.feather"):
        market(folder)
    feather.unlink()
    other = folder / "ohlcv_binance_1h/BADUSDT_1h.csv.gz"
    other.parent.mkdir()
    other.write_bytes(b"not gzip")
    with pytest.raises(ValueError, match=r"BADUSDT_1h\.csv\.gz"):
        market(folder)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("payloads/dexscreener/tokens.json", "{"),
        ("payloads/dexscreener/tokens.json", '{"pairs": [{"chainId": "solana"}]}'),
        ("payloads/extra/geckoterminal_pools.json", '{"data": [{"id": "solana_x"}]}'),
        ("tokenlists/uniswap-default.tokenlist.json", "[]"),
    ],
)
def test_unreadable_answers_are_named(folder: Path, path: str, text: str) -> None:
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_text(text)
    with pytest.raises(ValueError, match=Path(path).name):
        market(folder)


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no recordings"):
        market(tmp_path)


def test_feathers_are_left_out_without_pyarrow(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "ohlcv_freqtrade").mkdir()
    (folder / "ohlcv_freqtrade/XYZ_BTC-5m.feather").write_bytes(b"not read")
    monkeypatch.setattr(candle_files, "find_spec", lambda name: None)
    assert len(market(folder).catalogue(0.0).pools) == 1
    assert "1 feather files are left out: reading them needs pyarrow" in caplog.text


def test_a_quote_without_a_price_gives_no_dollars(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather

    values = rows(at("2025-05-01T00:00"), 300, 600)
    columns = dict(zip(("date", "open", "high", "low", "close", "volume"), zip(*values, strict=True), strict=True))
    columns["date"] = pyarrow.array([moment * 10**9 for moment in columns["date"]], pyarrow.timestamp("ns", tz="UTC"))
    (tmp_path / "ohlcv_freqtrade").mkdir()
    feather.write_feather(pyarrow.table(columns), tmp_path / "ohlcv_freqtrade/XYZ_BTC-5m.feather")
    source = market(tmp_path)
    t = datetime(2026, 5, 20, 12, tzinfo=UTC).timestamp()
    snapshot = source.snapshot([0], t)
    assert np.isnan(snapshot.price_usd[0])
    assert np.isnan(snapshot.volume).all()
    assert snapshot.price_quote[0] > 0
    assert len(source.candles(0, 300, t, 10)) == 0
    assert len(source.candles(0, 300, t, 10, in_quote=True)) == 10


prices = st.floats(min_value=0.01, max_value=1e6)


@settings(max_examples=60)
@given(closes=st.lists(prices, min_size=1, max_size=60), offset=st.integers(0, 20), now=st.integers(0, 90))
def test_every_timeframe_knows_only_what_has_ended(closes: list[float], offset: int, now: int) -> None:
    start = (np.arange(len(closes), dtype=np.int64) + offset) * 300
    close = np.array(closes)
    fine = Candles(start, close, close * 1.01, close * 0.99, close, np.ones(len(close)))
    series = RecordedSeries("ABC", "USDT", "", {300: fine}, True)
    time = now * 300 + 150.0
    known = fine.start + 300 <= time
    expected = close[known]
    assert (series.close_at(time) == expected[-1]) if len(expected) else np.isnan(series.close_at(time))
    for seconds in (900, 3600):
        whole = series.candles(seconds, time, 1000, None)
        inside = known & np.isin(fine.start // seconds * seconds, whole.start)
        np.testing.assert_allclose(whole.volume.sum(), fine.volume[inside].sum())
        if len(whole):
            assert whole.high.max() == pytest.approx(fine.high[inside].max())
            assert whole.close[-1] == expected[-1] or not known[np.isin(fine.start // seconds * seconds, whole.start)].all()


# With the recorded data itself.


@pytest.fixture(scope="module")
def replay(recordings: Path) -> RecordedMarket:
    return RecordedMarket(recordings, EPOCH, 0.0)


def index_of(source: RecordedMarket, symbol: str) -> int:
    return next(
        index
        for index, pool in enumerate(source.catalogue(0.0).pools)
        if pool.base.symbol == symbol and pool.kind == "replayed candles"
    )


def test_recorded_candles_are_replayed_value_for_value(replay: RecordedMarket, recordings: Path) -> None:
    index = index_of(replay, "BTC")
    t = datetime(2026, 5, 20, 14, tzinfo=UTC).timestamp()
    shift = (EPOCH - date(2025, 10, 21)).days * DAY
    for name, seconds in (("5m", 300), ("1h", 3600), ("1d", 86400)):
        with (recordings / f"ohlcv_bybit_50tokens/BTCUSDT_{name}.csv").open() as file:
            recorded = [row for row in csv.DictReader(file) if at(row["timestamp"]) + seconds <= t - shift]
        known = replay.candles(index, seconds, t, 1000)
        # The candle in progress is an aggregate; those that have ended are the file's.
        ended = known.start + seconds <= t
        assert known.start[ended].tolist() == [at(row["timestamp"]) + shift for row in recorded]
        for field, column in (("open", "open"), ("high", "high"), ("low", "low"), ("close", "close"), ("volume", "turnover")):
            assert getattr(known, field)[ended].tolist() == [float(row[column]) for row in recorded]
    last = max((row for row in recorded), key=lambda row: row["timestamp"])
    assert last["timestamp"].startswith("2025-10-20")


def test_the_replayed_price_at_two_is_that_of_two_on_the_last_full_day(replay: RecordedMarket, recordings: Path) -> None:
    t = datetime(2026, 5, 20, 14, tzinfo=UTC).timestamp()
    with (recordings / "ohlcv_bybit_50tokens/AAVEUSDT_5m.csv").open() as file:
        closes = {row["timestamp"]: float(row["close"]) for row in csv.DictReader(file)}
    snapshot = replay.snapshot([index_of(replay, "AAVE")], t)
    assert snapshot.price_usd[0] == closes["2025-10-21 13:55:00"]


def test_most_symbols_are_replayed_with_sound_figures(replay: RecordedMarket) -> None:
    t = datetime(2026, 5, 20, 14, tzinfo=UTC).timestamp()
    pools = replay.catalogue(t).pools
    replayed = [index for index, pool in enumerate(pools) if pool.kind == "replayed candles"]
    symbols = [pools[index].base.symbol for index in replayed]
    assert len(symbols) == len(set(symbols)) >= 30
    snapshot = replay.snapshot(replayed, t)
    dollars = np.isfinite(snapshot.price_usd)
    assert dollars.sum() >= 30
    assert (snapshot.volume[dollars, -1] > 1000).all()
    assert (snapshot.liquidity_usd[dollars] > 5000).all()
    aave = pools[index_of(replay, "AAVE")]
    assert (aave.chain, aave.base.address) == ("ethereum", "0x7Fc66500c84A76Ad7e9c93437bFc5Ac33E2DDaE9")


def test_recorded_answers_are_served_as_they_are(recordings: Path) -> None:
    files = ("payloads/dexscreener/tokens_bonk.json", "dex_snapshots_fardint/dexscreener1.json")
    pairs = [pair for path in files for pair in recorded_body(recordings / path)["pairs"]]
    profiles = recorded_body(recordings / "payloads/dexscreener/token_profiles_latest.json")
    pools = recorded_body(recordings / "payloads/extra/geckoterminal_trending_pools_solana.json")["data"]
    token = recorded_body(recordings / "payloads/extra/geckoterminal_token_bonk.json")["data"]
    with running(SandboxConfig(data=recordings, epoch=EPOCH)) as sandbox, httpx2.Client(timeout=60) as client:

        def get(url: str) -> Any:
            answer = client.get(url)
            assert answer.status_code == 200
            assert answer.headers["x-metapulse-sandbox"] == "recordings"
            return answer.json()

        dex, gecko = sandbox.dexscreener_url, sandbox.geckoterminal_url
        addresses = [pair["pairAddress"] for pair in pairs]
        served = [
            pair
            for first in (0, 30)
            for pair in get(f"{dex}/latest/dex/pairs/solana/{','.join(addresses[first : first + 30])}")["pairs"]
        ]
        assert sorted(map(json.dumps, served)) == sorted(map(json.dumps, pairs))
        bonk = pairs[0]["baseToken"]["address"]
        assert len(get(f"{dex}/token-pairs/v1/solana/{bonk}")) == 30
        newest_first = sorted(profiles, key=lambda item: item["updatedAt"], reverse=True)
        assert get(f"{dex}/token-profiles/latest/v1") == newest_first
        assert [json.dumps(pool) for pool in get(f"{gecko}/networks/solana/trending_pools")["data"]] == [
            json.dumps(pool) for pool in pools
        ]
        assert get(f"{gecko}/networks/solana/tokens/{bonk}")["data"] == token
        # Each vendor also knows the pools that only the other one was recorded with.
        other = get(f"{dex}/latest/dex/pairs/solana/{pools[0]['attributes']['address']}")["pair"]
        assert float(other["priceUsd"]) == pytest.approx(float(pools[0]["attributes"]["base_token_price_usd"]), rel=1e-3)
        assert get(f"{gecko}/networks/solana/pools/{addresses[0]}")["data"]["attributes"]["address"] == addresses[0]
        discovered = [boost["tokenAddress"] for boost in get(f"{dex}/token-boosts/latest/v1")]
        assert len(discovered) == 30
        market_page = get(f"{sandbox.url}/sandbox/market")
        assert "liquidity" in market_page["note"]
        assert market_page["epoch"] == EPOCH.isoformat()
