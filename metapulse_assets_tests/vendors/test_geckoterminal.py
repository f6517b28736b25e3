"""GeckoTerminal: candles and pools that trend, recorded and made up."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform.rate_limit import Limit
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.vendors.geckoterminal import GeckoTerminal, History, interval_of, read_history
from metapulse_assets_tests.platform.stub_vendor import Reply, StubVendor, serving
from metapulse_assets_tests.vendors.conftest import settings_for
from metapulse_assets_tests.vendors.recorded import payload_of, recorded

Asking = Callable[[StubVendor, Callable[[GeckoTerminal], Awaitable[Any]]], Any]
NINE = int(datetime(2026, 3, 4, 9, tzinfo=UTC).timestamp())


@pytest.fixture
def ask(engine: sa.Engine) -> Asking:
    """Do something with a client of a stub."""

    def ask(stub: StubVendor, action: Callable[[GeckoTerminal], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            async with GeckoTerminal(settings_for(f"{stub.url}/api/v2"), engine) as client:
                return await action(client)

        return asyncio.run(run())

    return ask


def candle(minute: int = 0, close: float = 2.5, volume: float = 10.0) -> list[float]:
    """A good candle that opened so many minutes after nine."""
    return [NINE + 60 * minute, 2.0, 3.0, 1.0, close, volume]


def answer(rows: Any) -> Any:
    """Rows in the vendor's envelope."""
    return {"data": {"id": "x", "attributes": {"ohlcv_list": rows}}, "meta": {}}


def history(rows: Any, timeframe: str = "5m") -> History:
    """What an answer with these rows is read as."""
    return read_history(payload_of(answer(rows)), "solana:p", interval_of(timeframe))


@given(minutes=st.lists(st.integers(0, 20).map(lambda n: 5 * n)), data=st.data())
def test_candles_ascend_and_the_first_of_a_repetition_stays(minutes: list[int], data: st.DataObject) -> None:
    rows = [candle(minute, close=1.0 + place / 1000) for place, minute in enumerate(minutes)]
    found = history(data.draw(st.permutations(rows)) if len(set(minutes)) == len(minutes) else rows)
    assert [row[0] for row in found.rows] == sorted({NINE + 60 * minute for minute in minutes})
    assert (found.refused, found.answered) == ([], True)
    if found.rows:
        assert {row[0]: row[4] for row in found.rows} == {int(row[0]): row[4] for row in reversed(rows)}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([NINE + 60, 2, 3, 1, 2, 1], "time 2026-03-04T09:01:00+00:00 is no multiple of 0:05:00"),
        ([NINE + 1, 2, 3, 1, 2, 1], "time 2026-03-04T09:00:01+00:00 is no multiple"),
        ([NINE * 1000, 2, 3, 1, 2, 1], "field 0: Input should be less than"),
        ([-300, 2, 3, 1, 2, 1], "field 0: Input should be greater than or equal to 0"),
        ([300 * 10**30, 2, 3, 1, 2, 1], "field 0: "),
        ([NINE, 2, 3, 1, 3.1, 1], "open or close lies outside of low and high"),
        ([NINE, 0.9, 3, 1, 2, 1], "open or close lies outside of low and high"),
        ([NINE, 2, 1, 3, 2, 1], "open or close lies outside of low and high"),
        ([NINE, 0, 3, 0, 2, 1], "field 1: Input should be greater than 0"),
        ([NINE, 2, 3, 1, 2, -1], "field 5: Input should be greater than or equal to 0"),
        ([NINE, 2, float("inf"), 1, 2, 1], "field 2: Input should be a finite number"),
        ([NINE, 2, 3, 1, float("nan"), 1], "field 4: "),
        ([NINE, 2, 3, 1, None, 1], "field 4: "),
        ([NINE, 2, 3, 1, 2], "field 5: Field required"),
        ([NINE, 2, 3, 1, 2, 1, 0], "Tuple should have at most 6 items"),
        (None, "Input should be a valid tuple"),
        ("x", "Input should be a valid tuple"),
    ],
)
def test_a_bad_candle_is_one_dead_letter_and_the_good_ones_stay(row: Any, said: str) -> None:
    found = history([candle(5), row, candle(0)])
    assert [at for at, *_ in found.rows] == [NINE, NINE + 300]
    (letter,) = found.refused
    assert (letter.source, letter.kind, letter.item_key) == ("geckoterminal", "item", "solana:p")
    assert letter.reason.startswith(f"ohlcv_list[1]: {said}")


def test_numbers_may_come_as_texts() -> None:
    assert history([[str(NINE), "2", "3e0", "1", "2.5", "0"]]).rows == [(NINE, 2.0, 3.0, 1.0, 2.5, 0.0)]


@pytest.mark.parametrize(("timeframe", "step"), [("5m", 300), ("1h", 3_600), ("1d", 86_400)])
def test_times_are_multiples_of_the_interval(timeframe: str, step: int) -> None:
    assert interval_of(timeframe) == timedelta(seconds=step)
    day = NINE // 86_400 * 86_400
    found = history([[day + step, 2, 3, 1, 2, 1], [day + step - 60, 2, 3, 1, 2, 1]], timeframe)
    assert [at for at, *_ in found.rows] == [day + step]


@pytest.mark.parametrize(
    "body", [None, [], {}, {"data": None}, {"data": {"attributes": {}}}, answer(None), answer({}), answer("x"), 7, "x"]
)
def test_an_answer_without_a_list_is_one_dead_letter(body: Any) -> None:
    found = read_history(payload_of(body), "solana:p", interval_of("5m"))
    assert (found.rows, found.answered) == ([], False)
    (letter,) = found.refused
    assert (letter.kind, letter.reason) == ("request", "data.attributes.ohlcv_list is not a list")


def test_candles_are_asked_for_as_the_vendor_wants_it(ask: Asking) -> None:
    with serving(Reply(body=json.dumps(answer([candle()])).encode())) as stub:
        found: History = ask(
            stub, lambda client: client.candles("ethereum", "0xPool", "5m", datetime(2026, 3, 4, 9, 5, tzinfo=UTC))
        )
        ask(stub, lambda client: client.candles("sui", "0x1::a/b", "1d", limit=7))
        assert [arrival.path for arrival in stub.arrivals] == [
            "/api/v2/networks/eth/pools/0xPool/ohlcv/minute?aggregate=5&limit=1000&currency=usd&token=base"
            f"&before_timestamp={NINE + 300}",
            "/api/v2/networks/sui-network/pools/0x1%3A%3Aa%2Fb/ohlcv/day?aggregate=1&limit=7&currency=usd&token=base",
        ]
    assert found.answered
    assert found.rows == [(NINE, 2.0, 3.0, 1.0, 2.5, 10.0)]
    assert found.payload is not None
    assert json.loads(found.payload.body) == answer([candle()])


def test_a_request_that_fails_is_told_from_an_empty_history(ask: Asking) -> None:
    with serving(Reply(404, b'{"errors": []}'), Reply(body=json.dumps(answer([])).encode())) as stub:
        failed: History = ask(stub, lambda client: client.candles("solana", "p", "1h"))
        empty: History = ask(stub, lambda client: client.candles("solana", "p", "1h"))
    assert (failed.answered, failed.payload, [letter.reason for letter in failed.refused]) == (False, None, ["HTTP 404"])
    assert (empty.answered, empty.rows, empty.refused) == (True, [], [])
    with serving(Reply(500)) as stub:
        for _ in range(2):
            ask(stub, lambda client: client.candles("solana", "p", "1h"))
        shut: History = ask(stub, lambda client: client.candles("solana", "p", "1h"))
        assert len(stub.arrivals) == 5
    assert (shut.answered, [letter.reason for letter in shut.refused]) == (False, ["circuit open: not called"])


def trending(ids: list[Any]) -> Reply:
    """A list of pools whose base tokens have these ids."""
    pools = [{"id": f"pool{n}", "relationships": {"base_token": {"data": {"id": i}}}} for n, i in enumerate(ids)]
    return Reply(body=json.dumps({"data": pools}).encode())


@pytest.mark.parametrize(
    ("token", "chain", "address"),
    [
        ("solana_So1", "solana", "So1"),
        ("eth_0xA", "ethereum", "0xA"),
        ("polygon_pos_0xA", "polygon", "0xA"),
        ("ton_EQa_b_c", "ton", "EQa_b_c"),
        ("sui-network_0x1::my_coin::MY_COIN", "sui", "0x1::my_coin::MY_COIN"),
        ("arbitrum_nova_0xA", None, "0xA"),
        ("atlantis_0xA", None, "0xA"),
        ("solana_So\x001\ud800", "solana", "So1?"),
    ],
)
def test_a_token_s_chain_and_address_are_told_apart(ask: Asking, token: str, chain: str | None, address: str) -> None:
    with serving(trending([token])) as stub:
        ((pool, _),) = ask(stub, lambda client: client.trending(["solana"])).items
    assert (pool.chain, pool.token_address) == (chain, address)


def test_trending_pools_are_asked_for_by_chain(ask: Asking) -> None:
    with serving(trending(["solana_a", "nothing", 7, None]), Reply(404), trending(["base_0xB"])) as stub:
        batch = ask(stub, lambda client: client.trending(["solana", "atlantis", "ethereum", "base"]))
        assert [arrival.path for arrival in stub.arrivals] == [
            f"/api/v2/networks/{network}/trending_pools" for network in ("solana", "eth", "base")
        ]
    assert [(pool.chain, pool.token_address) for pool, _ in batch.items] == [("solana", "a"), ("base", "0xB")]
    assert [(letter.kind, letter.item_key.removeprefix(stub.url)) for letter in batch.refused] == [
        *(("item", f"pool{n}") for n in (1, 2, 3)),
        ("request", "trending:atlantis"),
        ("request", "/api/v2/networks/eth/trending_pools"),
    ]


def test_recorded_trending_pools_are_read(ask: Asking, recordings: Path) -> None:
    body = recorded(recordings, "payloads/extra/geckoterminal_trending_pools_solana.json")
    with serving(Reply(body=json.dumps(body).encode())) as stub:
        batch = ask(stub, lambda client: client.trending(["solana"]))
    ids = [pool["relationships"]["base_token"]["data"]["id"] for pool in body["data"]]
    assert [f"{pool.chain}_{pool.token_address}" for pool, _ in batch.items] == ids
    assert len(ids) == 20
    assert batch.refused == []


def test_a_recorded_answer_about_one_token_is_no_list(ask: Asking, recordings: Path) -> None:
    body = recorded(recordings, "payloads/extra/geckoterminal_token_bonk.json")
    with serving(Reply(body=json.dumps(body).encode())) as stub:
        batch = ask(stub, lambda client: client.trending(["solana"]))
    assert batch.items == []
    assert [letter.reason for letter in batch.refused] == ["dict where a list was expected"]


def test_the_limit_is_that_of_the_settings(engine: sa.Engine) -> None:
    assert GeckoTerminal(load_settings(geckoterminal_rate_limit=25), engine).gate.limits == (Limit(25, 60.0),)
