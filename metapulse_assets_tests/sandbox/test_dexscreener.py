"""The DexScreener stand-in over a real socket: shapes as recorded, and the vendor's habits."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from metapulse_assets.sandbox.server import Sandbox
from metapulse_assets.sandbox.vendors.figures import number, short_price
from metapulse_assets_tests.sandbox.shapes import differences, shape_of

Json = Any


def get(client: httpx2.Client, path: str, **query: str) -> Json:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def tokens_by_chain(client: httpx2.Client) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in get(client, "/token-profiles/latest/v1") + get(client, "/token-boosts/latest/v1"):
        found.setdefault(item["chainId"], []).append(item["tokenAddress"])
    return {chain: list(dict.fromkeys(addresses)) for chain, addresses in found.items()}


def every_pair(client: httpx2.Client) -> list[Json]:
    return [
        pair
        for chain, addresses in tokens_by_chain(client).items()
        for pair in get(client, f"/tokens/v1/{chain}/{','.join(addresses[:30])}")
    ]


def recorded_body(path: Path) -> Json:
    content = json.loads(path.read_text(encoding="utf-8"))
    return content.get("body", content) if isinstance(content, dict) else content


def test_pairs_have_the_recorded_shape(dex: httpx2.Client, recordings: Path) -> None:
    recorded = [
        *recorded_body(recordings / "payloads/dexscreener/tokens_bonk.json")["pairs"],
        *recorded_body(recordings / "dex_snapshots_fardint/dexscreener1.json")["pairs"],
    ]
    # Thin pools miss fields on purpose; they are told by the missing market cap or date.
    whole = [pair for pair in every_pair(dex) if "fdv" in pair and "pairCreatedAt" in pair]
    assert len(whole) > 20
    assert differences(shape_of(whole), shape_of(recorded)) == []


def test_profiles_have_the_recorded_shape(dex: httpx2.Client, recordings: Path) -> None:
    recorded = recorded_body(recordings / "payloads/dexscreener/token_profiles_latest.json")
    seen = get(dex, "/token-profiles/latest/v1")
    assert len(seen) == len(recorded) == 30
    assert differences(shape_of(seen), shape_of(recorded)) == []
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", item["updatedAt"]) for item in seen)


def test_figures_are_written_as_recorded(recordings: Path) -> None:
    for path in ("payloads/dexscreener/tokens_bonk.json", "dex_snapshots_fardint/dexscreener1.json"):
        for pair in recorded_body(recordings / path)["pairs"]:
            for price in (pair["priceUsd"], pair["priceNative"]):
                assert short_price(float(price)) == price
            for value in (*pair["volume"].values(), *pair["priceChange"].values()):
                assert repr(number(value)) == repr(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9993, "0.9993"),
        (1.0, "1.0000"),
        (65432.1, "65432.1000"),
        (0.1, "0.1000"),
        (0.00001, "0.00001000"),
        (4.4994e-6, "0.000004499"),
        (0.0, "0"),
        (float("nan"), "0"),
    ],
)
def test_prices_have_four_significant_digits(value: float, text: str) -> None:
    assert short_price(value) == text


def test_boosts_carry_amounts(dex: httpx2.Client) -> None:
    latest, top = get(dex, "/token-boosts/latest/v1"), get(dex, "/token-boosts/top/v1")
    assert all({"amount", "totalAmount", "url", "chainId", "tokenAddress"} <= set(item) for item in latest)
    assert all("amount" not in item for item in top)
    totals = [item["totalAmount"] for item in top]
    assert totals == sorted(totals, reverse=True)
    assert len({item["tokenAddress"] for item in top}) == len(top)


def test_tokens_gives_one_pair_per_token_and_token_pairs_all(dex: httpx2.Client) -> None:
    seen_several = False
    for chain, addresses in tokens_by_chain(dex).items():
        pairs = get(dex, f"/tokens/v1/{chain}/{','.join(addresses)}")
        bases = [pair["baseToken"]["address"] for pair in pairs]
        assert sorted(bases) == sorted(addresses[:30])
        for pair in pairs[:5]:
            pools = get(dex, f"/token-pairs/v1/{chain}/{pair['baseToken']['address']}")
            seen_several |= len(pools) > 1
            assert pair["pairAddress"] in {pool["pairAddress"] for pool in pools}
            best = max(pools, key=lambda pool: pool.get("liquidity", {}).get("usd", 0))
            assert best["pairAddress"] == pair["pairAddress"]
    assert seen_several


def test_pairs_and_legacy_tokens_are_wrapped(dex: httpx2.Client) -> None:
    pair = every_pair(dex)[0]
    chain, address, token = pair["chainId"], pair["pairAddress"], pair["baseToken"]["address"]
    by_pair = get(dex, f"/latest/dex/pairs/{chain}/{address}")
    assert by_pair["schemaVersion"] == "1.0.0"
    assert [found["pairAddress"] for found in by_pair["pairs"]] == [address]
    assert by_pair["pair"]["pairAddress"] == address
    by_token = get(dex, f"/latest/dex/tokens/{token}")
    assert address in [found["pairAddress"] for found in by_token["pairs"]]


def test_nothing_found_is_null_or_an_empty_list(dex: httpx2.Client) -> None:
    assert get(dex, "/latest/dex/search", q="no such token anywhere") == {"schemaVersion": "1.0.0", "pairs": None}
    assert get(dex, "/latest/dex/search") == {"schemaVersion": "1.0.0", "pairs": None}
    assert get(dex, "/latest/dex/tokens/unknown")["pairs"] is None
    assert get(dex, "/latest/dex/pairs/solana/unknown") == {"schemaVersion": "1.0.0", "pairs": None, "pair": None}
    assert get(dex, "/tokens/v1/solana/unknown") == []
    assert get(dex, "/tokens/v1/nochain/unknown") == []
    assert get(dex, "/token-pairs/v1/solana/unknown") == []


def test_addresses_beyond_thirty_are_cut(dex: httpx2.Client) -> None:
    address = next(iter(tokens_by_chain(dex)["solana"]))
    assert len(get(dex, f"/tokens/v1/solana/{','.join(['x'] * 29 + [address])}")) == 1
    assert get(dex, f"/tokens/v1/solana/{','.join(['x'] * 30 + [address])}") == []


def test_evm_addresses_match_in_any_case_and_solana_ones_exactly(dex: httpx2.Client) -> None:
    tokens = tokens_by_chain(dex)
    evm, address = next(
        (chain, address)
        for chain, addresses in tokens.items()
        for address in addresses
        if chain != "solana" and address != address.lower()
    )
    assert get(dex, f"/tokens/v1/{evm}/{address.lower()}")[0]["baseToken"]["address"] == address
    assert get(dex, f"/tokens/v1/solana/{tokens['solana'][0].lower()}") == []


def test_a_search_lists_impostors_first(dex: httpx2.Client) -> None:
    pairs = get(dex, "/latest/dex/search", q="SOL")["pairs"]
    assert pairs[0]["baseToken"]["symbol"] == pairs[-1]["baseToken"]["symbol"] == "SOL"
    assert pairs[0]["baseToken"]["address"] != "So11111111111111111111111111111111111111112"
    assert pairs[-1]["baseToken"]["address"] == "So11111111111111111111111111111111111111112"
    assert pairs[0]["liquidity"]["usd"] * 100 < pairs[-1]["liquidity"]["usd"]


def test_a_bonding_curve_has_no_liquidity(dex: httpx2.Client) -> None:
    launches = [token for token in tokens_by_chain(dex)["solana"] if token.endswith("pump")]
    pools = [pool for token in launches for pool in get(dex, f"/token-pairs/v1/solana/{token}")]
    curves = [pool for pool in pools if pool["dexId"] in ("pumpfun", "launchlab")]
    assert curves
    assert all("liquidity" not in pool for pool in curves)
    assert all("liquidity" in pool for pool in pools if pool not in curves)


def test_windows_without_trades_have_no_price_change(dex: httpx2.Client) -> None:
    pairs = every_pair(dex)
    for pair in pairs:
        for window, trades in pair["txns"].items():
            if trades["buys"] + trades["sells"] == 0:
                assert window not in pair["priceChange"]
                assert pair["volume"][window] == 0
        assert 0 not in pair["priceChange"].values()
    assert any("m5" in pair["priceChange"] for pair in pairs)


def test_pairs_link_to_the_lower_cased_address_and_date_in_milliseconds(dex: httpx2.Client) -> None:
    for pair in every_pair(dex):
        assert pair["url"] == f"https://dexscreener.com/{pair['chainId']}/{pair['pairAddress'].lower()}"
        assert pair.get("pairCreatedAt", 1_700_000_000_000) > 1_600_000_000_000


def test_every_answer_is_marked_and_logged(dex: httpx2.Client, sandbox: Sandbox) -> None:
    answer = dex.get("/latest/dex/search", params={"q": "a b"})
    missing = dex.get("/no/such/route")
    assert answer.headers["x-metapulse-sandbox"] == missing.headers["x-metapulse-sandbox"] == "simulation"
    assert missing.status_code == 404
    first, second = sandbox.requests()
    assert first["vendor"] == first["limit_class"] == "dexscreener"
    assert (first["method"], first["status"], first["fault"]) == ("GET", 200, None)
    assert first["path"] == "/dexscreener/latest/dex/search?q=a+b"
    assert (second["path"], second["status"]) == ("/dexscreener/no/such/route", 404)
    assert isinstance(first["time"], float)
    assert isinstance(second["time"], float)
    assert first["time"] <= second["time"]


def test_profiles_and_boosts_are_counted_apart(dex: httpx2.Client, sandbox: Sandbox) -> None:
    for path in ("/token-profiles/latest/v1", "/token-boosts/latest/v1", "/token-boosts/top/v1", "/tokens/v1/solana/x"):
        dex.get(path)
    classes = [request["limit_class"] for request in sandbox.requests()]
    assert classes == ["dexscreener-profiles"] * 3 + ["dexscreener"]
