"""GoPlus: what its answers are read as, and how its client calls."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.tables import rate_limits
from metapulse_assets.vendors.answers import Batch
from metapulse_assets.vendors.goplus import (
    ADDRESSES_PER_CALL,
    EVM_TOKENS,
    PAUSE_SECONDS,
    SOLANA_TOKENS,
    EvmToken,
    GoPlus,
    SolanaToken,
    tokens_of,
)
from metapulse_assets_tests.platform.stub_vendor import Reply, StubVendor, serving

ADDRESS = "0x" + "ab" * 20
CONTRACT: dict[str, Any] = {
    "token_name": "Tok",
    "is_open_source": "1",
    "is_mintable": "0",
    "is_honeypot": "1",
    "buy_tax": "0.05",
    "sell_tax": "",
    "owner_address": "",
    "holders": [{"address": "0x1", "percent": "0.25", "is_locked": 0, "tag": ""}],
    "lp_holders": [{"address": "0x2", "percent": "0.9", "is_locked": 1}],
    "dex": [{"name": "UniswapV2", "pair": "0x3", "liquidity": "7.5"}],
    "trust_list": "1",
}


def answer(result: Any, code: Any = 1, message: str = "OK") -> Reply:
    """An answer of the vendor."""
    return Reply(body=json.dumps({"code": code, "message": message, "result": result}).encode())


def contract(**change: Any) -> EvmToken:
    """A contract but for its changes."""
    return EVM_TOKENS.validate_python([{"address": ADDRESS, **CONTRACT, **change}])[0]


def test_a_contract() -> None:
    token = contract()
    assert (token.mintable, token.honeypot, token.trusted) == (False, True, True)
    assert (token.buy_tax, token.sell_tax) == (0.05, None)
    assert (token.holders[0].share, token.holders[0].locked) == (0.25, False)
    assert (token.lp_holders[0].share, token.lp_holders[0].locked) == (0.9, True)
    assert token.pools[0].pair == "0x3"
    assert token.hidden_owner is None


@pytest.mark.parametrize(
    ("value", "flag"),
    [("1", True), ("0", False), ("", None), (None, None), (1, True), (0, False), (True, True), ("-1", None),
     ({"status": "1", "authority": []}, True), ({"status": "0"}, False), ({}, None)],
)  # fmt: skip
def test_flags(value: Any, flag: bool | None) -> None:
    assert contract(is_honeypot=value).honeypot is flag


@pytest.mark.parametrize(
    "change",
    [{"is_honeypot": "perhaps"}, {"is_honeypot": 2}, {"buy_tax": "much"}, {"buy_tax": "-0.1"}, {"buy_tax": "nan"},
     {"holders": "many"}, {"holders": [{"percent": "all"}]}],
)  # fmt: skip
def test_a_contract_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        contract(**change)


def test_lists_may_be_null() -> None:
    token = contract(holders=None, lp_holders=None, dex=None)
    assert (token.holders, token.lp_holders, token.pools) == ((), (), ())


def test_a_recorded_answer_about_a_mint(recordings: Path) -> None:
    body = json.loads((recordings / "payloads" / "extra" / "goplus_token_security_bonk.json").read_text())["body"]
    [token] = SOLANA_TOKENS.validate_python(tokens_of(body))
    assert token.address == "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
    assert (token.mintable, token.freezable, token.closable, token.trusted) == (False, False, False, False)
    assert len(token.holders) == 10
    assert token.holders[0].share == 0.0795
    assert token.transfer_fee is not None
    assert token.transfer_fee.current is None


Ask = Callable[..., Batch[Any]]


@pytest.fixture
def ask(engine: sa.Engine, make_settings: Callable[..., Settings]) -> Ask:
    """Asks a stub that answers as told."""

    def asked(vendor: StubVendor, addresses: Sequence[str] = (ADDRESS,), chain: str = "base") -> Batch[Any]:
        async def one() -> Batch[EvmToken] | Batch[SolanaToken]:
            settings = make_settings(goplus_api_url=vendor.url, vendor_attempts=2)
            async with GoPlus(settings, engine, lambda: datetime(2026, 3, 4, tzinfo=UTC)) as client:
                return await (client.solana_tokens(addresses) if chain == "solana" else client.evm_tokens(chain, addresses))

        return asyncio.run(one())

    return asked


def test_several_contracts_in_one_call(ask: Ask) -> None:
    with serving(answer({ADDRESS: CONTRACT, "0x2": CONTRACT, "0x3": {}, "0x4": None})) as vendor:
        batch = ask(vendor, [ADDRESS, "0x2", "0x3"])
    assert [token.address for token, _ in batch.items] == [ADDRESS, "0x2"]
    assert batch.refused == []
    assert [arrival.path for arrival in vendor.arrivals] == [
        f"/api/v1/token_security/8453?contract_addresses={ADDRESS}%2C0x2%2C0x3"
    ]


def test_mints_have_a_path_of_their_own(ask: Ask) -> None:
    with serving(answer({"M1nt": {"mintable": {"status": "1"}}})) as vendor:
        batch = ask(vendor, ["M1nt"], "solana")
    assert batch.items[0][0].mintable is True
    assert [arrival.path for arrival in vendor.arrivals] == ["/api/v1/solana/token_security?contract_addresses=M1nt"]


@pytest.mark.parametrize("result", [{}, None])
def test_nothing_known_is_no_failure(ask: Ask, result: Any) -> None:
    with serving(answer(result)) as vendor:
        batch = ask(vendor)
    assert (batch.items, batch.refused) == ([], [])


def test_a_bad_contract_leaves_the_others(ask: Ask) -> None:
    with serving(answer({ADDRESS: CONTRACT, "0xbad": {**CONTRACT, "buy_tax": "much"}})) as vendor:
        batch = ask(vendor)
    assert [token.address for token, _ in batch.items] == [ADDRESS]
    [letter] = batch.refused
    assert (letter.kind, letter.item_key) == ("item", "base:0xbad")
    assert letter.reason.startswith("buy_tax: ")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (answer(None, 2, "partial"), "code 2: partial"),
        (answer(None, 4029, "too many"), "code 4029: too many"),
        (answer(None, None, "?"), "code None: ?"),
        (Reply(body=b"[]"), "list where an object was expected"),
        (answer([]), ""),
        (answer("x"), "str where a list was expected"),
        (Reply(503, b"{}"), "HTTP 503"),
    ],
)
def test_a_call_that_failed_becomes_a_dead_letter(ask: Ask, reply: Reply, reason: str) -> None:
    with serving(reply) as vendor:
        batch = ask(vendor)
    assert batch.items == []
    if reason:
        [letter] = batch.refused
        assert (letter.source, letter.kind) == ("goplus", "request")
        assert letter.reason.startswith(reason)


def test_too_many_requests_shuts_the_gate_for_a_minute(ask: Ask, engine: sa.Engine) -> None:
    with serving(answer(None, 4029, "too many")) as vendor:
        ask(vendor)
    with engine.connect() as connection:
        blocked = connection.execute(
            sa.select(rate_limits.c.blocked_until - sa.func.extract("epoch", sa.func.now())).where(
                rate_limits.c.gate == "goplus"
            )
        ).scalar_one()
    assert 0 < float(blocked) <= PAUSE_SECONDS


def test_chains_that_are_not_scanned_and_too_many_addresses_are_refused(ask: Ask) -> None:
    with serving(Reply()) as vendor:
        for chain in ("ton", "atlantis"):
            with pytest.raises(ValueError, match=f"chain: GoPlus does not scan '{chain}'"):
                ask(vendor, chain=chain)
        with pytest.raises(ValueError, match=f"addresses: {ADDRESSES_PER_CALL + 1} in one call"):
            ask(vendor, [ADDRESS] * (ADDRESSES_PER_CALL + 1))
    assert vendor.arrivals == []
