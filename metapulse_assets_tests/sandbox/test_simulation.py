"""Laws of the simulated market: a pure function of time, and snapshots, candles and timeframes that agree."""

import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metapulse_assets.sandbox.market import EVM_CHAINS, WINDOWS, Candles, Market
from metapulse_assets.sandbox.simulation import SimulatedMarket
from metapulse_assets.sandbox.synthetic.names import HOSTILE_NAMES

SEED = 20260101
YEAR = 365.25 * 86400
NOW = 1_790_000_000.0
DIGEST = """
import hashlib, numpy as np
from metapulse_assets.sandbox.simulation import SimulatedMarket
market = SimulatedMarket({seed}, 40)
pools = market.catalogue({t}).pools
snapshot = market.snapshot(range(len(pools)), {t})
digest = hashlib.sha256(repr([(pool.address, pool.base) for pool in pools]).encode())
for name in ("price_usd", "liquidity_usd", "volume", "buys", "sells", "change"):
    digest.update(getattr(snapshot, name).tobytes())
candles = market.candles(3, 3600, {t}, 50)
digest.update(candles.close.tobytes() + candles.volume.tobytes())
print(digest.hexdigest())
"""

# From 2025 to far ahead: the sandbox has to work on any day it is started.
times = st.floats(min_value=1_740_000_000.0, max_value=NOW + 10 * YEAR)
bars = st.integers(min_value=1_740_000_000 // 300, max_value=int(NOW + 10 * YEAR) // 300)
places = st.floats(min_value=0, max_value=1, exclude_max=True)


@cache
def market() -> SimulatedMarket:
    return SimulatedMarket(SEED, 120)


def pool_at(place: float, t: float) -> int:
    return int(place * len(market().catalogue(t).pools))


def test_it_is_a_market() -> None:
    source: Market = market()
    assert source.kind == "simulation"


def test_two_processes_agree() -> None:
    t = NOW + 123_456.789
    code = DIGEST.format(seed=SEED, t=t)
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    other = subprocess.run(
        [sys.executable, "-c", DIGEST.format(seed=SEED + 1, t=t)], capture_output=True, text=True, check=True
    )
    assert other.stdout != runs[0].stdout


@settings(max_examples=15)
@given(earlier=times, t=times)
def test_answers_do_not_depend_on_what_was_asked_before(earlier: float, t: float) -> None:
    used, fresh = SimulatedMarket(SEED, 30), SimulatedMarket(SEED, 30)
    used.snapshot(range(len(used.catalogue(earlier).pools)), earlier)
    used.profiles(earlier)
    used.trending("solana", earlier)
    assert used.catalogue(t).pools == fresh.catalogue(t).pools
    everything = range(len(fresh.catalogue(t).pools))
    left, right = used.snapshot(everything, t), fresh.snapshot(everything, t)
    np.testing.assert_array_equal(left.price_usd, right.price_usd)
    np.testing.assert_array_equal(left.volume, right.volume)
    assert used.profiles(t) == fresh.profiles(t)
    assert used.boosts(t) == fresh.boosts(t)
    assert used.trending("solana", t) == fresh.trending("solana", t)


@settings(max_examples=15)
@given(t=times)
def test_a_pool_has_the_same_figures_alone_and_among_others(t: float) -> None:
    count = len(market().catalogue(t).pools)
    whole = market().snapshot(range(count), t)
    for index in (0, count // 3, count - 1):
        alone = market().snapshot([index], t)
        np.testing.assert_allclose(alone.price_usd[0], whole.price_usd[index], rtol=1e-12)
        np.testing.assert_allclose(alone.volume[0], whole.volume[index], rtol=1e-9)


def test_a_smaller_market_is_the_start_of_a_larger_one() -> None:
    small, large = SimulatedMarket(SEED, 60), SimulatedMarket(SEED, 240)
    tokens = list(dict.fromkeys(pool.base for pool in small.catalogue(NOW).pools))
    assert tokens == list(dict.fromkeys(pool.base for pool in large.catalogue(NOW).pools))[: len(tokens)]


@settings(max_examples=60)
@given(t=times, place=places, seconds=st.sampled_from([60, 300, 900, 3600, 14400, 86400]))
def test_the_price_is_the_close_of_the_candle_that_holds_it(t: float, place: float, seconds: int) -> None:
    index = pool_at(place, t)
    price = market().snapshot([index], t).price_usd[0]
    candles = market().candles(index, seconds, t, 1)
    if not len(candles):
        return
    np.testing.assert_allclose(candles.close[-1], price, rtol=1e-9)
    assert candles.low[-1] <= price * (1 + 1e-9)
    assert candles.high[-1] >= price * (1 - 1e-9)


@settings(max_examples=60)
@given(bar=bars, place=places, within=places, seconds=st.sampled_from([60, 300, 3600, 86400]))
@example(bar=6_000_000, place=0.0, within=0.0, seconds=300)
def test_every_price_lies_within_its_finished_candle(bar: int, place: float, within: float, seconds: int) -> None:
    start = bar * 300 // seconds * seconds
    t, end = start + within * seconds, float(start + seconds)
    index = pool_at(place, t)
    address = market().catalogue(t).pools[index].address
    price = market().snapshot([index], t).price_usd[0]
    chain = market().catalogue(t).pools[index].chain
    later = market().catalogue(end).pair(chain, address)
    if later is None:  # its slot has been given to another token meanwhile
        return
    candles = market().candles(later, seconds, end, 1, before=end)
    if len(candles) and candles.start[-1] == start:
        assert candles.low[-1] <= price * (1 + 1e-9)
        assert candles.high[-1] >= price * (1 - 1e-9)


@settings(max_examples=40)
@given(bar=bars, place=places)
def test_a_five_minute_close_is_the_price_at_its_end(bar: int, place: float) -> None:
    t = bar * 300.0
    index = pool_at(place, t)
    candles = market().candles(index, 300, t, 1, before=t)
    if len(candles):
        np.testing.assert_allclose(candles.close[-1], market().snapshot([index], t).price_usd[0], rtol=1e-12)


def aggregate(fine: Candles, seconds: int) -> dict[int, tuple[float, float, float, float, float]]:
    buckets: dict[int, tuple[float, float, float, float, float]] = {}
    for row in zip(fine.start, fine.open, fine.high, fine.low, fine.close, fine.volume, strict=True):
        start, open_, high, low, close, volume = (float(value) for value in row)
        bucket = int(start // seconds * seconds)
        if bucket in buckets:
            first, top, bottom, _, total = buckets[bucket]
            buckets[bucket] = (first, max(top, high), min(bottom, low), close, total + volume)
        else:
            buckets[bucket] = (open_, high, low, close, volume)
    return buckets


@settings(max_examples=40)
@given(t=times, place=places, frames=st.sampled_from([(60, 300), (300, 900), (300, 3600), (3600, 14400), (300, 86400)]))
def test_coarse_candles_are_the_aggregates_of_fine_ones(t: float, place: float, frames: tuple[int, int]) -> None:
    fine, coarse = frames
    index = pool_at(place, t)
    big = market().candles(index, coarse, t, 4)
    small = market().candles(index, fine, t, 5 * coarse // fine)
    whole = {bucket: row for bucket, row in aggregate(small, coarse).items() if bucket >= t - 4 * coarse}
    for place_of, start in enumerate(big.start):
        if int(start) not in whole:
            continue
        row = [getattr(big, name)[place_of] for name in ("open", "high", "low", "close", "volume")]
        np.testing.assert_allclose(row, whole[int(start)], rtol=1e-10)


@settings(max_examples=40)
@given(bar=bars, place=places)
def test_volumes_of_a_snapshot_are_sums_of_candles_on_a_bar_boundary(bar: int, place: float) -> None:
    t = bar * 300.0
    index = pool_at(place, t)
    snapshot = market().snapshot([index], t)
    candles = market().candles(index, 300, t, 288, before=t)
    for column, seconds in enumerate(WINDOWS):
        expected = candles.volume[candles.start >= t - seconds].sum()
        np.testing.assert_allclose(snapshot.volume[0, column], expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=30)
@given(t=times)
def test_windows_are_consistent(t: float) -> None:
    count = len(market().catalogue(t).pools)
    snapshot = market().snapshot(range(count), t)
    for table in (snapshot.volume, snapshot.buys, snapshot.sells):
        assert (np.diff(table, axis=1) >= -1e-6).all()
    traded = snapshot.volume > 0
    assert ((snapshot.buys + snapshot.sells > 0) == traded).all()
    assert (np.isfinite(snapshot.change) == traded).all()
    assert (snapshot.price_usd > 0).all()
    np.testing.assert_allclose(snapshot.price_quote * snapshot.quote_usd, snapshot.price_usd, rtol=1e-12)


@settings(max_examples=30)
@given(t=times, place=places)
def test_price_changes_follow_from_prices(t: float, place: float) -> None:
    index = pool_at(place, t)
    pool = market().catalogue(t).pools[index]
    now = market().snapshot([index], t)
    for column, seconds in enumerate(WINDOWS):
        before = market().catalogue(t - seconds).pair(pool.chain, pool.address)
        if before is None or not np.isfinite(now.change[0, column]):
            continue
        then = market().snapshot([before], t - seconds).price_usd[0]
        np.testing.assert_allclose(now.change[0, column], 100 * (now.price_usd[0] / then - 1), rtol=1e-6, atol=1e-8)


@settings(max_examples=30)
@given(t=times, place=places, seconds=st.sampled_from([60, 300, 3600, 86400]), limit=st.integers(1, 200))
def test_candles_are_well_formed(t: float, place: float, seconds: int, limit: int) -> None:
    candles = market().candles(pool_at(place, t), seconds, t, limit)
    assert len(candles) <= limit
    assert (np.diff(candles.start) > 0).all()
    assert (candles.start % seconds == 0).all()
    assert (candles.start <= t).all()
    assert (candles.volume > 0).all()
    assert (candles.high >= np.maximum(candles.open, candles.close) * (1 - 1e-12)).all()
    assert (candles.low <= np.minimum(candles.open, candles.close) * (1 + 1e-12)).all()


@settings(max_examples=20)
@given(t=times, place=places, limit=st.integers(1, 50))
def test_before_is_exclusive_and_pages_join(t: float, place: float, limit: int) -> None:
    index = pool_at(place, t)
    newest = market().candles(index, 300, t, limit)
    if not len(newest):
        return
    earlier = market().candles(index, 300, t, limit, before=float(newest.start[0]))
    both = market().candles(index, 300, t, len(newest) + len(earlier))
    assert (earlier.start < newest.start[0]).all()
    np.testing.assert_array_equal(both.start, np.concatenate([earlier.start, newest.start]))


def test_a_finished_candle_never_changes_again() -> None:
    t = NOW
    before = market().candles(5, 300, t, 50)
    after = market().candles(5, 300, t + 1000, 60)
    finished = before.start + 300 <= t
    for name in ("open", "high", "low", "close", "volume"):
        known = dict(zip(after.start, getattr(after, name), strict=True))
        again = [known[start] for start in before.start[finished]]
        np.testing.assert_allclose(again, getattr(before, name)[finished], rtol=1e-12)


@settings(max_examples=25)
@given(t=times)
@example(t=NOW)
@example(t=NOW + 7 * YEAR)
def test_every_stage_of_life_is_there_at_any_time(t: float) -> None:
    pools = market().catalogue(t).pools
    snapshot = market().snapshot(range(len(pools)), t)
    kinds = {kind: [index for index, pool in enumerate(pools) if pool.kind == kind] for kind in {p.kind for p in pools}}
    day = WINDOWS.index(86400)
    fresh = [pool for pool in pools if pool.kind in ("curve", "launch") and pool.created_at is not None]
    assert min(t - (pool.created_at or 0) for pool in fresh) < 12 * 3600
    assert any(snapshot.volume[index, day] > 0 for index in kinds["curve"])
    assert np.isnan(snapshot.liquidity_usd[kinds["curve"]]).all()
    assert {pools[index].dex for index in kinds["curve"]} <= {"pumpfun", "launchlab"}
    assert len(kinds["launch"]) >= 5
    assert min(snapshot.liquidity_usd[kinds["rug"]]) < 500 < 5000 < max(snapshot.liquidity_usd[kinds["rug"]])
    assert sum(snapshot.volume[index, day] == 0 for index in kinds["dead"]) >= 3
    assert np.nanmin(snapshot.change[kinds["crash"], day]) < -25
    assert np.nanmax(snapshot.change[kinds["pump"], day]) > 25
    assert (abs(snapshot.price_usd[kinds["stable"]] - 1) < 0.1).all()
    assert {(pools[index].base.name, pools[index].base.symbol) for index in kinds["hostile"]} == set(HOSTILE_NAMES)


@settings(max_examples=25)
@given(t=times)
def test_most_of_the_default_market_is_worth_watching(t: float) -> None:
    pools = market().catalogue(t).pools
    snapshot = market().snapshot(range(len(pools)), t)
    liquid = (snapshot.volume[:, -1] > 1000) & (np.nan_to_num(snapshot.liquidity_usd) > 5000)
    assert len({pools[index].base.address for index in np.flatnonzero(liquid)}) >= 80
    assert {pool.chain for pool in pools} == {"solana", "ethereum", "base", "bsc"}


def test_a_rug_takes_price_and_liquidity_and_then_there_are_no_trades() -> None:
    t = NOW
    pools = market().catalogue(t).pools
    rugs = [index for index, pool in enumerate(pools) if pool.kind == "rug"]
    gone = next(index for index in rugs if market().snapshot([index], t).liquidity_usd[0] < 500)
    candles = market().candles(gone, 300, t, 1000)
    assert candles.close[-1] < 0.05 * candles.high.max()
    assert t - candles.start[-1] > 300


def test_the_token_of_a_slot_gives_way_to_another() -> None:
    first = {pool.base.address for pool in market().catalogue(NOW).pools}
    later = {pool.base.address for pool in market().catalogue(NOW + 10 * 86400).pools}
    assert len(first & later) >= 90
    assert len(later - first) >= 15


def test_lists_are_newest_first_and_of_tokens_that_exist() -> None:
    known = {pool.base for pool in market().catalogue(NOW).pools}
    for promotions in (market().profiles(NOW), market().boosts(NOW)):
        assert 5 <= len(promotions) <= 30
        assert [item.at for item in promotions] == sorted((item.at for item in promotions), reverse=True)
        assert all(item.at <= NOW and item.token in known for item in promotions)


def test_trending_lists_the_pools_of_a_chain() -> None:
    catalogue = market().catalogue(NOW)
    for chain in ("solana", "base"):
        assert sorted(market().trending(chain, NOW)) == catalogue.on_chain(chain)
    assert market().trending("tron", NOW) == []


def test_a_catalogue_finds_evm_addresses_in_any_case_and_solana_ones_in_theirs() -> None:
    catalogue = market().catalogue(NOW)
    for index, pool in enumerate(catalogue.pools):
        assert catalogue.pair(pool.chain, pool.address) == index
        swapped = catalogue.pair(pool.chain, pool.address.lower())
        assert swapped == (index if pool.chain in EVM_CHAINS else None)


def test_a_market_needs_a_token() -> None:
    with pytest.raises(ValueError, match="tokens: 0"):
        SimulatedMarket(SEED, 0)
    assert len(SimulatedMarket(SEED, 1).catalogue(NOW).pools) >= 1


def test_other_timeframes_are_refused() -> None:
    with pytest.raises(ValueError, match="90 s"):
        market().candles(0, 90, NOW, 5)
