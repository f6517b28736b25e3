"""The GeckoTerminal stand-in over a real socket: shapes as recorded, candles, pages, errors."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest

from metapulse_assets_tests.sandbox.conftest import now
from metapulse_assets_tests.sandbox.shapes import differences, shape_of
from metapulse_assets_tests.sandbox.test_dexscreener import recorded_body

Json = Any


def get(client: httpx2.Client, path: str, **query: str | int) -> Json:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def trending(client: httpx2.Client, network: str = "solana", page: int = 1) -> list[Json]:
    pools: list[Json] = get(client, f"/networks/{network}/trending_pools", page=page)["data"]
    return pools


def busiest(client: httpx2.Client, network: str = "eth") -> Json:
    """Return the pool with the most volume of a day: it trades in every bar."""
    return max(trending(client, network), key=lambda pool: float(pool["attributes"]["volume_usd"]["h24"]))


def candles(client: httpx2.Client, pool: Json, timeframe: str, **query: str | int) -> list[list[float]]:
    network, address = pool["id"].rsplit("_", 1)
    body = get(client, f"/networks/{network}/pools/{address}/ohlcv/{timeframe}", **query)
    rows: list[list[float]] = body["data"]["attributes"]["ohlcv_list"]
    return rows


def test_pools_have_the_recorded_shape(gecko: httpx2.Client, recordings: Path) -> None:
    recorded = recorded_body(recordings / "payloads/extra/geckoterminal_trending_pools_solana.json")["data"]
    seen = trending(gecko)
    assert len(seen) == len(recorded) == 20
    assert differences(shape_of(seen), shape_of(recorded)) == []
    single = get(gecko, f"/networks/solana/pools/{seen[0]['attributes']['address']}")["data"]
    assert differences(shape_of([single]), shape_of(recorded)) == []


def test_a_token_has_the_recorded_shape(gecko: httpx2.Client, recordings: Path) -> None:
    recorded = recorded_body(recordings / "payloads/extra/geckoterminal_token_bonk.json")["data"]
    identity = trending(gecko)[0]["relationships"]["base_token"]["data"]["id"]
    seen = get(gecko, f"/networks/solana/tokens/{identity.removeprefix('solana_')}")["data"]
    # Invented tokens are not listed at CoinGecko, and not all of them have pictures.
    nullable = {"coingecko_coin_id", "banner_image_url", "market_cap_usd"}
    seen["attributes"] = {key: value or "" if key in nullable else value for key, value in seen["attributes"].items()}
    assert differences(shape_of([seen]), shape_of([recorded])) == []


def test_pages_hold_twenty_and_do_not_overlap(gecko: httpx2.Client) -> None:
    first, second = trending(gecko, page=1), trending(gecko, page=2)
    assert len(first) == 20
    assert not {pool["id"] for pool in first} & {pool["id"] for pool in second}
    assert trending(gecko, page=10) == []
    for page in ("0", "11", "x"):
        assert gecko.get("/networks/solana/trending_pools", params={"page": page}).status_code == 400


@pytest.mark.parametrize("network", ["solana", "eth", "bsc", "base"])
def test_networks_have_their_own_ids(gecko: httpx2.Client, network: str) -> None:
    pool = trending(gecko, network)[0]
    assert pool["id"] == f"{network}_{pool['attributes']['address']}"
    if network != "solana":
        assert pool["id"] == pool["id"].lower()
    token = pool["relationships"]["base_token"]["data"]["id"].rsplit("_", 1)[1]
    assert pool["id"] in [found["id"] for found in get(gecko, f"/networks/{network}/tokens/{token}/pools")["data"]]


@pytest.mark.parametrize(
    "path",
    [
        "/networks/ethereum/trending_pools",
        "/networks/solana/pools/unknown",
        "/networks/solana/pools/unknown/ohlcv/hour",
        "/networks/solana/tokens/unknown",
        "/networks/solana/tokens/unknown/pools",
        "/networks/nowhere/pools/unknown",
        "/search/pools",
    ],
)
def test_what_is_unknown_is_404(gecko: httpx2.Client, path: str) -> None:
    answer = gecko.get(path)
    assert answer.status_code == 404
    body = answer.json()
    assert body["errors"] == [{"status": "404", "title": "Not Found"}]
    assert set(body["meta"]) == {"ref_id"}


@pytest.mark.parametrize(
    ("timeframe", "aggregate", "seconds"),
    [
        ("minute", 1, 60),
        ("minute", 5, 300),
        ("minute", 15, 900),
        ("hour", 1, 3600),
        ("hour", 4, 14400),
        ("hour", 12, 43200),
        ("day", 1, 86400),
    ],
)
def test_candles_come_newest_first(gecko: httpx2.Client, timeframe: str, aggregate: int, seconds: int) -> None:
    rows = candles(gecko, busiest(gecko), timeframe, aggregate=aggregate, limit=30)
    starts = [row[0] for row in rows]
    assert len(rows) == 30
    assert starts == [starts[0] - place * seconds for place in range(30)]
    assert 0 <= now() - starts[0] < seconds + 5
    for _, open_, high, low, close, volume in rows:
        assert low <= min(open_, close) <= max(open_, close) <= high
        assert volume > 0
    assert all(earlier[4] == later[1] for later, earlier in pairwise(rows))


def test_the_ohlcv_answer_names_both_tokens(gecko: httpx2.Client) -> None:
    pool = busiest(gecko)
    body = get(gecko, f"/networks/eth/pools/{pool['attributes']['address']}/ohlcv/hour", limit=1)
    assert set(body) == {"data", "meta"}
    assert set(body["data"]) == {"id", "type", "attributes"}
    assert body["data"]["type"] == "ohlcv_request_response"
    for side in ("base", "quote"):
        assert set(body["meta"][side]) == {"address", "name", "symbol", "coingecko_coin_id"}
        assert pool["relationships"][f"{side}_token"]["data"]["id"] == f"eth_{body['meta'][side]['address']}"


def test_limits_and_defaults(gecko: httpx2.Client) -> None:
    pool = busiest(gecko)
    assert len(candles(gecko, pool, "minute", aggregate=5)) == 100
    assert len(candles(gecko, pool, "hour", limit=1000)) == 1000
    assert len(candles(gecko, pool, "minute", limit=1)) == 1


def test_before_timestamp_is_exclusive(gecko: httpx2.Client) -> None:
    pool = busiest(gecko)
    newest = candles(gecko, pool, "hour", limit=10)
    earlier = candles(gecko, pool, "hour", limit=9, before_timestamp=int(newest[0][0]))
    assert earlier == newest[1:]
    within = candles(gecko, pool, "hour", limit=9, before_timestamp=int(newest[0][0]) + 1)
    assert [row[0] for row in within] == [row[0] for row in newest[:9]]


@pytest.mark.parametrize(
    "query",
    [
        {"aggregate": "7"},
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "many"},
        {"limit": "²"},
        {"before_timestamp": "yesterday"},
        {"currency": "eur"},
        {"token": "0xnot"},
    ],
)
def test_what_the_vendor_would_refuse_is_400(gecko: httpx2.Client, query: dict[str, str]) -> None:
    address = busiest(gecko)["attributes"]["address"]
    answer = gecko.get(f"/networks/eth/pools/{address}/ohlcv/hour", params=query)
    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["errors"][0]["title"]
    assert gecko.get(f"/networks/eth/pools/{address}/ohlcv/week").status_code == 400


def test_prices_in_other_units(gecko: httpx2.Client) -> None:
    pool = next(pool for pool in trending(gecko, "eth") if float(pool["attributes"]["quote_token_price_usd"]) > 100)
    when = int(now()) // 3600 * 3600
    query: dict[str, str | int] = {"limit": 20, "before_timestamp": when}
    usd = candles(gecko, pool, "hour", **query)
    token = candles(gecko, pool, "hour", currency="token", **query)
    quote = candles(gecko, pool, "hour", token="quote", **query)
    inverse = candles(gecko, pool, "hour", token="quote", currency="token", **query)
    quote_address = pool["relationships"]["quote_token"]["data"]["id"].removeprefix("eth_")
    assert candles(gecko, pool, "hour", token=quote_address.upper().replace("0X", "0x"), **query) == quote
    for in_usd, in_token, of_quote, inverted in zip(usd, token, quote, inverse, strict=True):
        assert in_usd[4] == pytest.approx(in_token[4] * of_quote[4], rel=1e-9)
        assert inverted[4] == pytest.approx(1 / in_token[4], rel=1e-9)
        assert inverted[3] <= inverted[4] <= inverted[2]
        assert in_token[3] <= min(in_token[1], in_token[4])


def test_empty_intervals_are_left_out_or_filled(gecko: httpx2.Client) -> None:
    pools = [pool for page in (1, 2, 3, 4) for pool in trending(gecko, page=page)]
    old = [pool for pool in pools if (pool["attributes"]["pool_created_at"] or "2020") < "2025"]
    quiet = [pool for pool in old if 0 < pool["attributes"]["transactions"]["h24"]["buys"] < 150]

    def gaps(rows: list[list[float]]) -> set[float]:
        return {later[0] - earlier[0] for later, earlier in pairwise(rows)}

    for thin in quiet:
        sparse = candles(gecko, thin, "minute", aggregate=5, limit=50)
        filled = candles(gecko, thin, "minute", aggregate=5, limit=50, include_empty_intervals="true")
        if now() - sparse[0][0] < 3600 and max(gaps(sparse)) > 300:
            break
    else:
        pytest.fail("no pool trades in some bars only")
    assert gaps(filled) == {300}
    assert len(filled) == 50
    empty = [row for row in filled if row[5] == 0]
    assert empty
    closes = {row[0]: row[4] for row in filled}
    for start, open_, high, low, close, _ in empty:
        assert open_ == high == low == close
        if start - 300 in closes:
            assert close == closes[start - 300]


def test_snapshots_agree_with_dexscreener(gecko: httpx2.Client, dex: httpx2.Client) -> None:
    attributes = busiest(gecko, "solana")["attributes"]
    pair = dex.get(f"/latest/dex/pairs/solana/{attributes['address']}").json()["pair"]
    assert float(attributes["base_token_price_usd"]) == pytest.approx(float(pair["priceUsd"]), rel=1e-2)
    assert float(attributes["volume_usd"]["h24"]) == pytest.approx(pair["volume"]["h24"], rel=1e-2)
    assert float(attributes["reserve_in_usd"]) == pytest.approx(pair["liquidity"]["usd"], rel=1e-2)
