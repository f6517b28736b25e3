"""RugCheck: what its answers are read as, and how its client calls."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.platform.rate_limit import Limit
from metapulse_assets.platform.settings import Settings
from metapulse_assets.vendors.answers import Batch
from metapulse_assets.vendors.rugcheck import REPORTS, Report, RugCheck
from metapulse_assets_tests.platform.stub_vendor import Reply, StubVendor, serving

MINT = "So1anaM1nt"
WHOLE: dict[str, Any] = {
    "mint": MINT,
    "mintAuthority": None,
    "freezeAuthority": "Fr33zer",
    "rugged": False,
    "score": 1201,
    "score_normalised": 12,
    "topHolders": [{"address": "acc", "owner": "who", "pct": 4.5, "amount": 9, "insider": True}],
    "markets": [{"pubkey": "pool", "lp": {"lpLockedPct": 99.5, "baseUSD": 1.5, "quoteUSD": 2}, "liquidityA": None}],
    "knownAccounts": {"pool": {"name": "Raydium", "type": "AMM"}},
    "transferFee": {"pct": 0, "maxAmount": 0, "authority": "x"},
    "verification": {"jup_verified": True, "jup_strict": False},
    "risks": [{"name": "Low Liquidity", "level": "danger", "score": 5, "value": "$9"}],
}


def read(**change: Any) -> Report:
    """A whole report but for its changes; a field changed to `...` is absent."""
    return REPORTS.validate_python([{key: value for key, value in {**WHOLE, **change}.items() if value is not ...}])[0]


def test_a_whole_report() -> None:
    report = read()
    assert (report.mint_authority, report.freeze_authority, report.rugged) == (None, "Fr33zer", False)
    assert report.score_normalised == 12
    assert report.top_holders[0].percent == 4.5
    assert report.markets[0].shares is not None
    assert report.markets[0].shares.locked_percent == 99.5
    assert report.known_accounts is not None
    assert report.known_accounts["pool"].kind == "AMM"
    assert report.transfer_fee is not None
    assert report.transfer_fee.percent == 0
    assert report.verification is not None
    assert report.verification.verified is True


def test_an_authority_that_is_null_is_not_one_that_is_absent() -> None:
    assert read().says("mint_authority")
    assert not read(mintAuthority=...).says("mint_authority")


def test_the_least_report_that_is_one() -> None:
    report = REPORTS.validate_python([{"mint": MINT}])[0]
    assert (report.top_holders, report.markets, report.risks) == ((), (), ())
    assert report.rugged is None
    assert read(topHolders=None, markets=None, risks=None, knownAccounts=None, transferFee=None).markets == ()


@pytest.mark.parametrize(
    "change",
    [
        {"mint": ...}, {"mint": ""}, {"rugged": "maybe"}, {"score_normalised": -1}, {"score_normalised": "n/a"},
        {"topHolders": {}}, {"topHolders": [{"pct": -1}]}, {"topHolders": [{"pct": 1e9}]}, {"markets": [{"lp": 7}]},
        {"risks": [{"name": "x" * 1_001}]},
    ],
)  # fmt: skip
def test_a_report_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        read(**change)


@pytest.fixture
def ask(engine: sa.Engine, make_settings: Callable[..., Settings]) -> Callable[..., Batch[Report]]:
    """Asks a stub that answers as told."""

    def asked(vendor: StubVendor, mint: str = MINT) -> Batch[Report]:
        async def one() -> Batch[Report]:
            settings = make_settings(rugcheck_api_url=vendor.url, vendor_attempts=2)
            async with RugCheck(settings, engine, lambda: datetime(2026, 3, 4, tzinfo=UTC)) as client:
                return await client.report(mint)

        return asyncio.run(one())

    return asked


def test_the_report_comes_with_the_answer_that_it_is_from(ask: Callable[..., Batch[Report]]) -> None:
    with serving(Reply(body=json.dumps(WHOLE).encode())) as vendor:
        batch = ask(vendor)
    [(report, payload)] = batch.items
    assert report == read()
    assert (payload.vendor, payload.status) == ("rugcheck", 200)
    assert [arrival.path for arrival in vendor.arrivals] == [f"/v1/tokens/{MINT}/report"]
    assert batch.payloads == [payload]


def test_a_mint_cannot_lead_elsewhere(ask: Callable[..., Batch[Report]]) -> None:
    with serving(Reply(body=b"{}")) as vendor:
        ask(vendor, "../../x?y=z#")
    assert [arrival.path for arrival in vendor.arrivals] == ["/v1/tokens/..%2F..%2Fx%3Fy%3Dz%23/report"]


@pytest.mark.parametrize("status", [400, 404])
def test_a_token_that_is_not_known_is_no_failure(ask: Callable[..., Batch[Report]], status: int) -> None:
    with serving(Reply(status, b'{"error":"not found"}')) as vendor:
        batch = ask(vendor)
    assert (batch.items, batch.refused) == ([], [])


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (Reply(500, b"{}"), "request", "HTTP 500"),
        (Reply(403, b"{}"), "request", "HTTP 403"),
        (Reply(body=b"<html>", kind="text/html"), "request", "text/html instead of JSON"),
        (Reply(body=b'{"mint":'), "request", "broken JSON"),
        (Reply(body=b"null"), "item", "item: "),
        (Reply(body=b'{"mint":"another"}'), "item", "mint: another token than the one asked for"),
        (Reply(body=b'{"mint":"So1anaM1nt","rugged":"maybe"}'), "item", "rugged: "),
    ],
)
def test_what_fails_becomes_a_dead_letter(ask: Callable[..., Batch[Report]], reply: Reply, kind: str, reason: str) -> None:
    with serving(reply) as vendor:
        batch = ask(vendor)
    assert batch.items == []
    [letter] = batch.refused
    assert (letter.source, letter.kind) == ("rugcheck", kind)
    assert letter.reason.startswith(reason)


def test_the_limit_is_the_settings(engine: sa.Engine, make_settings: Callable[..., Settings]) -> None:
    client = RugCheck(make_settings(rugcheck_rate_limit=7), engine)
    assert client.gate.limits == (Limit(7, 60.0),)
