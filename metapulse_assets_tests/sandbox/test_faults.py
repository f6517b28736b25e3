"""Every fault switch over a real socket, as a client meets it."""

import json
from typing import Any

import httpx2
import pytest

from metapulse_assets.sandbox.faults import (
    ITEM_FAULTS,
    LONG_NAME,
    REQUEST_FAULTS,
    FaultSwitches,
    parse_fault,
)
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, build_app, running
from metapulse_assets_tests.sandbox.conftest import now

Json = Any


def some_tokens(dex: httpx2.Client) -> str:
    """Return the path of several liquid tokens, looked up without faults."""
    profiles = dex.get("/token-profiles/latest/v1").json()
    return f"/tokens/v1/solana/{','.join(item['tokenAddress'] for item in profiles if item['chainId'] == 'solana')}"


def last_entry(sandbox: Sandbox) -> dict[str, object]:
    return sandbox.requests()[-1]


def received_until_closed(answer: httpx2.Response) -> tuple[int, bool]:
    """Return how many bytes of the body came, and whether that was all that was promised."""
    received = 0
    try:
        for chunk in answer.iter_raw():
            received += len(chunk)
    except httpx2.RemoteProtocolError:
        return received, False
    return received, True


@pytest.mark.parametrize(
    ("name", "status", "content_type", "retry_after"),
    [
        ("rate-limit", 429, "text/html; charset=utf-8", None),
        ("server-error", 500, "text/plain; charset=utf-8", None),
        ("html", 200, "text/html; charset=utf-8", None),
        ("rate-limit-retry-after", 429, "text/html; charset=utf-8", "1"),
    ],
)
def test_faults_that_answer_something_else(
    sandbox: Sandbox, dex: httpx2.Client, name: str, status: int, content_type: str, retry_after: str | None
) -> None:
    sandbox.set_faults({name: 1.0})
    answer = dex.get("/tokens/v1/solana/x")
    assert answer.status_code == status
    assert answer.headers["content-type"] == content_type
    assert answer.headers.get("retry-after") == retry_after
    assert answer.headers["x-sandbox-fault"] == name
    assert (last_entry(sandbox)["fault"], last_entry(sandbox)["status"]) == (name, status)


def test_each_vendor_refuses_in_its_own_way(sandbox: Sandbox, gecko: httpx2.Client) -> None:
    sandbox.set_faults({"rate-limit-retry-after": 1.0})
    assert gecko.get("/networks/solana/trending_pools").json()["status"]["error_code"] == 429
    sandbox.set_faults({"rate-limit": 1.0})
    assert "<html" in gecko.get("/networks/solana/trending_pools").text
    sandbox.set_faults({"server-error": 1.0})
    assert gecko.get("/networks/solana/trending_pools").json()["errors"][0]["status"] == "500"


def test_slow_answers_late_but_rightly(sandbox: Sandbox, dex: httpx2.Client) -> None:
    sandbox.set_faults({"slow": 1.0})
    with pytest.raises(httpx2.ReadTimeout):
        dex.get("/tokens/v1/solana/x", timeout=httpx2.Timeout(60.0, read=0.1))
    answer = dex.get("/tokens/v1/solana/x", timeout=60.0)
    assert (answer.status_code, answer.json()) == (200, [])
    assert answer.headers["x-sandbox-fault"] == "slow"


def test_cut_promises_more_than_it_sends(sandbox: Sandbox, dex: httpx2.Client) -> None:
    path = some_tokens(dex)
    sandbox.set_faults({"cut": 1.0})
    with dex.stream("GET", path) as answer:
        assert answer.status_code == 200
        promised = int(answer.headers["content-length"])
        received, complete = received_until_closed(answer)
    assert not complete
    assert 0 < received == promised // 2
    assert last_entry(sandbox)["fault"] == "cut"
    sandbox.set_faults({})
    assert dex.get(path).status_code == 200


def test_cut_json_is_a_whole_answer_with_half_a_body(sandbox: Sandbox, dex: httpx2.Client) -> None:
    path = some_tokens(dex)
    sandbox.set_faults({"cut-json": 1.0})
    answer = dex.get(path)
    assert len(answer.content) == int(answer.headers["content-length"])
    assert answer.headers["content-type"] == "application/json"
    assert answer.content.startswith(b'[{"chainId"')
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_empty_and_null(sandbox: Sandbox, dex: httpx2.Client, gecko: httpx2.Client) -> None:
    sandbox.set_faults({"empty": 1.0})
    assert dex.get("/token-profiles/latest/v1").json() == []
    assert dex.get("/latest/dex/search?q=SOL").json() == {"schemaVersion": "1.0.0", "pairs": []}
    assert gecko.get("/networks/solana/trending_pools").json() == {"data": []}
    sandbox.set_faults({"pairs-null": 1.0})
    assert dex.get("/token-profiles/latest/v1").json() is None
    assert dex.get("/latest/dex/search?q=SOL").json() == {"schemaVersion": "1.0.0", "pairs": None}
    assert gecko.get("/networks/solana/trending_pools").json() == {"data": None}


def some_history(gecko: httpx2.Client) -> tuple[str, list[list[float]]]:
    """A question for closed candles that has several as its answer, and these; a pool may be too young to have any."""
    an_hour_ago = int(now()) // 3600 * 3600 - 3600
    for pool in gecko.get("/networks/solana/trending_pools").json()["data"]:
        path = f"/networks/solana/pools/{pool['attributes']['address']}/ohlcv/hour?before_timestamp={an_hour_ago}"
        candles = gecko.get(path).json()["data"]["attributes"]["ohlcv_list"]
        if len(candles) > 10:
            return path, candles
    raise AssertionError("no trending pool has candles")


def test_duplicate_and_out_of_order(sandbox: Sandbox, dex: httpx2.Client, gecko: httpx2.Client) -> None:
    history, candles = some_history(gecko)
    path = some_tokens(dex)
    plain = [pair["pairAddress"] for pair in dex.get(path).json()]
    sandbox.set_faults({"duplicate": 1.0})
    assert [pair["pairAddress"] for pair in dex.get(path).json()] == [pair for pair in plain for _ in range(2)]
    sandbox.set_faults({"out-of-order": 1.0})
    shuffled = [pair["pairAddress"] for pair in dex.get(path).json()]
    assert shuffled != plain
    assert sorted(shuffled) == sorted(plain)
    mixed = gecko.get(history).json()["data"]["attributes"]["ohlcv_list"]
    assert mixed != candles
    assert sorted(mixed) == sorted(candles)


def pair_has(pair: Json) -> dict[str, bool]:
    """Return which item faults show in a pair that is whole otherwise."""
    return {
        "string-numbers": isinstance(pair["txns"]["h24"]["buys"], str),
        "bad-price": pair.get("priceUsd") == "n/a",
        "absurd-change": pair["priceChange"].get("h24") == 5e9,
        "missing-liquidity": "liquidity" not in pair,
        "long-name": len(pair["baseToken"]["name"]) == 10_000,
        "unknown-chain": pair["chainId"] == "atlantis",
        "negative-volume": all(float(volume) < 0 for volume in pair["volume"].values()),
        "missing-price": "priceUsd" not in pair,
    }


def pool_has(pool: Json) -> dict[str, bool]:
    """Return which item faults show in a pool that is whole otherwise."""
    attributes = pool["attributes"]
    return {
        "string-numbers": isinstance(attributes["transactions"]["h1"]["buys"], str),
        "bad-price": attributes["base_token_price_usd"] == "n/a",
        "absurd-change": attributes["price_change_percentage"]["h24"] == "5000000000",
        "missing-liquidity": "reserve_in_usd" not in attributes,
        "long-name": attributes["name"] == LONG_NAME,
        "unknown-chain": pool["id"].startswith("atlantis_"),
        "negative-volume": all(volume.startswith("-") for volume in attributes["volume_usd"].values()),
        "missing-price": attributes["base_token_price_usd"] is None,
    }


@pytest.mark.parametrize("name", ITEM_FAULTS)
def test_faults_of_pairs(sandbox: Sandbox, dex: httpx2.Client, name: str) -> None:
    path = "/latest/dex/tokens/So11111111111111111111111111111111111111112"
    assert set(pair_has(dex.get(path).json()["pairs"][0])) == set(ITEM_FAULTS)
    assert not any(pair_has(dex.get(path).json()["pairs"][0]).values())
    sandbox.set_faults({name: 1.0})
    answer = dex.get(path)
    assert answer.headers["x-sandbox-fault"] == name
    assert last_entry(sandbox)["fault"] == name
    pairs = answer.json()["pairs"]
    assert len(pairs) == 2
    for pair in pairs:
        assert [fault for fault, shows in pair_has(pair).items() if shows] == [name]


@pytest.mark.parametrize("name", ITEM_FAULTS)
def test_faults_of_pools(sandbox: Sandbox, gecko: httpx2.Client, name: str) -> None:
    path = "/networks/solana/tokens/So11111111111111111111111111111111111111112/pools"
    assert not any(pool_has(gecko.get(path).json()["data"][0]).values())
    sandbox.set_faults({name: 1.0})
    for pool in gecko.get(path).json()["data"]:
        assert [fault for fault, shows in pool_has(pool).items() if shows] == [name]


def test_profiles_have_names_and_chains_only(sandbox: Sandbox, dex: httpx2.Client) -> None:
    sandbox.set_faults(dict.fromkeys(ITEM_FAULTS, 1.0))
    answer = dex.get("/token-profiles/latest/v1")
    assert answer.headers["x-sandbox-fault"] == "long-name,unknown-chain"
    assert {(item["chainId"], len(item["description"])) for item in answer.json()} == {("atlantis", 10_000)}


def test_string_numbers_are_those_numbers(sandbox: Sandbox, dex: httpx2.Client) -> None:
    path = "/latest/dex/tokens/So11111111111111111111111111111111111111112"
    created = dex.get(path).json()["pairs"][0]["pairCreatedAt"]
    sandbox.set_faults({"string-numbers": 1.0})
    pair = dex.get(path).json()["pairs"][0]
    assert pair["pairCreatedAt"] == str(created)
    assert float(pair["liquidity"]["usd"]) > 0
    assert isinstance(pair["volume"]["m5"], str)


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [("bad-price", 4, "n/a"), ("missing-price", 4, None), ("string-numbers", 1, str), ("negative-volume", 5, -1)],
)
def test_faults_of_candles(sandbox: Sandbox, gecko: httpx2.Client, name: str, column: int, expected: object) -> None:
    pool = gecko.get("/networks/eth/trending_pools").json()["data"][0]["attributes"]["address"]
    sandbox.set_faults({name: 1.0})
    rows = gecko.get(f"/networks/eth/pools/{pool}/ohlcv/hour").json()["data"]["attributes"]["ohlcv_list"]
    assert rows
    for row in rows:
        if expected is str:
            assert all(isinstance(value, str) for value in row)
        elif expected == -1:
            assert row[column] < 0
        else:
            assert row[column] == expected


def test_a_rate_strikes_some_items_and_some_requests(sandbox: Sandbox, dex: httpx2.Client) -> None:
    path = some_tokens(dex)
    sandbox.set_faults({"missing-price": 0.5})
    pairs = [pair for _ in range(10) for pair in dex.get(path).json()]
    share = sum("priceUsd" not in pair for pair in pairs) / len(pairs)
    assert 0.3 < share < 0.7
    sandbox.set_faults({"server-error": 0.5})
    statuses = [dex.get("/tokens/v1/solana/x").status_code for _ in range(100)]
    assert 25 < statuses.count(500) < 75


def test_faults_strike_again_in_the_same_order(sandbox: Sandbox, dex: httpx2.Client) -> None:
    runs = []
    for _ in range(2):
        sandbox.set_faults({"server-error": 0.5})
        runs.append([dex.get("/tokens/v1/solana/x").status_code for _ in range(30)])
    assert runs[0] == runs[1]


def test_several_item_faults_are_all_named(sandbox: Sandbox, dex: httpx2.Client) -> None:
    sandbox.set_faults({"duplicate": 1.0, "missing-price": 1.0, "long-name": 1.0})
    answer = dex.get("/latest/dex/search?q=SOL")
    assert answer.headers["x-sandbox-fault"] == "duplicate,long-name,missing-price"


def test_errors_keep_their_status_under_payload_faults(sandbox: Sandbox, gecko: httpx2.Client) -> None:
    sandbox.set_faults({"empty": 1.0})
    answer = gecko.get("/networks/solana/pools/unknown")
    assert answer.status_code == 404
    assert "x-sandbox-fault" not in answer.headers
    assert last_entry(sandbox)["fault"] is None


def test_switches_over_http(sandbox: Sandbox, http: httpx2.Client) -> None:
    url = f"{sandbox.url}/sandbox/faults"
    assert http.get(url).json() == {}
    assert http.put(url, json={"slow": 0.25}).json() == {"slow": 0.25}
    assert http.get(url).json() == {"slow": 0.25}
    for body, complaint in (
        ({"sloow": 1}, "'sloow' is unknown"),
        ({"slow": 2}, "from 0 to 1"),
        ({"slow": "1"}, "from 0 to 1"),
        ({"slow": True}, "from 0 to 1"),
        (["slow"], "not a JSON object"),
    ):
        refused = http.put(url, json=body)
        assert refused.status_code == 400
        assert complaint in refused.json()["error"]
        assert set(refused.json()["known"]) == {*REQUEST_FAULTS, *ITEM_FAULTS}
    assert http.put(url, content=b"{").status_code == 400
    assert http.get(url).json() == {"slow": 0.25}


def test_names_and_rates_are_checked() -> None:
    assert parse_fault("slow=0.5") == ("slow", 0.5)
    for text in ("slow", "slow=", "slow=x", "slow=1.1", "slow=nan", "sloow=1"):
        with pytest.raises(ValueError, match="slo"):
            parse_fault(text)
    with pytest.raises(ValueError, match=r"known are rate-limit, .*, missing-price"):
        build_app(SandboxConfig(faults={"earthquake": 1.0}))


def test_decisions_depend_on_the_seed() -> None:
    def strikes(seed: int) -> list[bool]:
        switches = FaultSwitches(seed, {"slow": 0.5})
        return [switches.draw_request() is not None for _ in range(64)]

    assert strikes(1) == strikes(1)
    assert strikes(1) != strikes(2)


def test_a_slow_answer_does_not_hold_up_the_end() -> None:
    with running(SandboxConfig(tokens=1, faults={"slow": 1.0}, slow_seconds=300.0)) as sandbox:
        client = httpx2.Client(timeout=httpx2.Timeout(60.0, read=2.0))
        with pytest.raises(httpx2.ReadTimeout):
            client.get(f"{sandbox.dexscreener_url}/tokens/v1/solana/x")
        assert sandbox.requests()[0]["status"] is None
        assert sandbox.requests()[0]["fault"] == "slow"
    with pytest.raises(httpx2.ConnectError):
        client.get(sandbox.url)
