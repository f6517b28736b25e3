"""RugCheck's and GoPlus' stand-ins: the vendors' shapes, and facts that fit the part that a token plays."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from metapulse_assets.risk.security import (
    TokenFacts,
    facts_of_evm_token,
    facts_of_rugcheck,
    facts_of_solana_token,
)
from metapulse_assets.sandbox.market import Pool
from metapulse_assets.sandbox.server import Sandbox, SandboxConfig, running
from metapulse_assets.vendors.goplus import EVM_TOKENS, SOLANA_TOKENS, tokens_of
from metapulse_assets.vendors.rugcheck import REPORTS

# A fixed moment: which generation of a launch or a rug exists depends on it.
AT = 1_772_625_603.0
CHAIN_IDS = {"ethereum": 1, "bsc": 56, "base": 8453}
LIMITS = {"rugcheck": 1_000_000, "goplus": 1_000_000}


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with running(SandboxConfig(limits=LIMITS, wall=lambda: AT, tokens=240)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared: Sandbox) -> Iterator[Sandbox]:
    """A simulation that stands still, without faults."""
    shared.clear_requests()
    yield shared
    shared.set_faults({})


@pytest.fixture(scope="module")
def pools(shared: Sandbox) -> list[Pool]:
    """One pool a token."""
    found = shared._backstage.market.catalogue(AT).pools
    return list({(pool.chain, pool.base.address): pool for pool in found}.values())


def rugcheck(sandbox: Sandbox, mint: str) -> httpx2.Response:
    """The answer about a mint."""
    return httpx2.get(f"{sandbox.rugcheck_url}/v1/tokens/{mint}/report", timeout=60.0)


def goplus(sandbox: Sandbox, path: str, *addresses: str) -> httpx2.Response:
    """The answer about contracts."""
    params = {"contract_addresses": ",".join(addresses)}
    return httpx2.get(f"{sandbox.goplus_url}/api/v1/{path}", params=params, timeout=60.0)


def facts(sandbox: Sandbox, pool: Pool) -> TokenFacts:
    """What the scanner of its chain says of a pool's token."""
    if pool.chain == "solana":
        return facts_of_rugcheck(REPORTS.validate_python([rugcheck(sandbox, pool.base.address).json()])[0])
    body = goplus(sandbox, f"token_security/{CHAIN_IDS[pool.chain]}", pool.base.address).json()
    return facts_of_evm_token(EVM_TOKENS.validate_python(tokens_of(body))[0])


def of_kind(pools: list[Pool], *kinds: str) -> list[Pool]:
    """The tokens that play one of these parts."""
    return [pool for pool in pools if pool.kind in kinds]


def test_established_tokens_are_on_the_list_and_only_dollars_have_authorities(sandbox: Sandbox, pools: list[Pool]) -> None:
    for pool in of_kind(pools, "native", "major", "stable"):
        said = facts(sandbox, pool)
        assert said.trusted is True
        assert said.mint_authority is said.freeze_authority is (pool.kind == "stable")
        assert said.top10_holder_share is not None
        assert said.top10_holder_share <= 0.3


def test_ordinary_tokens_gave_up_their_authorities(sandbox: Sandbox, pools: list[Pool]) -> None:
    for pool in of_kind(pools, "meme", "rising", "launch", "curve")[:25]:
        said = facts(sandbox, pool)
        assert (said.mint_authority, said.freeze_authority, bool(said.trusted)) == (False, False, False)
        assert said.lp_locked_share is not None
        assert said.lp_locked_share >= 0.5


def test_bad_tokens_look_bad(sandbox: Sandbox, pools: list[Pool]) -> None:
    impostors = [facts(sandbox, pool) for pool in of_kind(pools, "impostor")]
    assert any(said.mint_authority for said in impostors)
    assert all((said.top10_holder_share or 0) >= 0.8 for said in impostors)
    hostile = [facts(sandbox, pool) for pool in of_kind(pools, "hostile")]
    assert any(said.freeze_authority for said in hostile)
    assert all(max(said.sell_tax or 0, said.transfer_fee or 0) >= 0.1 for said in hostile)
    rugs = [facts(sandbox, pool) for pool in of_kind(pools, "rug")]
    assert rugs
    assert all(said.lp_locked_share == 0 for said in rugs)


def test_a_honeypot_is_one_that_nobody_sells(sandbox: Sandbox, pools: list[Pool]) -> None:
    market, seen = sandbox._backstage.market, 0
    for pool in of_kind(pools, "rug"):
        indices = market.catalogue(AT).of_token(pool.chain, pool.base.address)
        sells = int(market.snapshot(indices, AT).sells[:, -1].sum())
        body = goplus(sandbox, "solana/token_security" if pool.chain == "solana" else
                      f"token_security/{CHAIN_IDS[pool.chain]}", pool.base.address).json()  # fmt: skip
        [token] = tokens_of(body)
        honeypot = token["non_transferable" if pool.chain == "solana" else "is_honeypot"]
        assert honeypot == "0" or sells == 0
        seen += honeypot == "1"
    assert seen


def test_both_scanners_agree_on_a_mint(sandbox: Sandbox, pools: list[Pool]) -> None:
    for pool in [pool for pool in pools if pool.chain == "solana"][:20]:
        one = facts(sandbox, pool)
        body = goplus(sandbox, "solana/token_security", pool.base.address).json()
        other = facts_of_solana_token(SOLANA_TOKENS.validate_python(tokens_of(body))[0])
        assert (one.mint_authority, one.freeze_authority, one.trusted) == (
            other.mint_authority, other.freeze_authority, other.trusted,
        )  # fmt: skip
        assert one.top10_holder_share == pytest.approx(other.top10_holder_share, abs=1e-5)
        assert one.transfer_fee == pytest.approx(other.transfer_fee, abs=1e-4)


def test_the_same_moment_gives_the_same_answer(sandbox: Sandbox, pools: list[Pool]) -> None:
    mint = next(pool.base.address for pool in pools if pool.chain == "solana")
    assert rugcheck(sandbox, mint).content == rugcheck(sandbox, mint).content


def test_the_summary_is_a_part_of_the_report(sandbox: Sandbox, pools: list[Pool]) -> None:
    mint = next(pool.base.address for pool in pools if pool.chain == "solana")
    report = rugcheck(sandbox, mint).json()
    summary = httpx2.get(f"{sandbox.rugcheck_url}/v1/tokens/{mint}/report/summary", timeout=60.0).json()
    assert summary["score_normalised"] == report["score_normalised"]
    assert summary["lpLockedPct"] == report["markets"][0]["lp"]["lpLockedPct"]
    assert "topHolders" not in summary


def test_what_is_not_known(sandbox: Sandbox, pools: list[Pool]) -> None:
    answer = rugcheck(sandbox, "unknown")
    assert (answer.status_code, "error" in answer.json()) == (400, True)
    known = next(pool.base.address for pool in pools if pool.chain == "base")
    body = goplus(sandbox, "token_security/8453", known.upper().replace("0X", "0x"), "0x0").json()
    assert (body["code"], list(body["result"])) == (1, [known.lower()])
    assert goplus(sandbox, "token_security/8453", "0x0").json() == {"code": 1, "message": "OK", "result": {}}
    assert goplus(sandbox, "token_security/99", known).json()["code"] == 7012
    assert goplus(sandbox, "token_security/1").json()["code"] == 2021


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("server-error", 500), ("rate-limit", 429), ("rate-limit-retry-after", 429), ("html", 200), ("cut-json", 200)],
)
def test_faults_pass_the_gate(sandbox: Sandbox, pools: list[Pool], fault: str, expected: int) -> None:
    sandbox.set_faults({fault: 1.0})
    answer = rugcheck(sandbox, pools[0].base.address)
    assert (answer.status_code, answer.headers["X-Sandbox-Fault"]) == (expected, fault)
    # GoPlus' own refusal has status 200 and a code.
    other = goplus(sandbox, "token_security/8453", "0x0")
    assert other.headers["X-Sandbox-Fault"] == fault
    if fault == "rate-limit-retry-after":
        assert (other.status_code, other.json()["code"]) == (200, 4029)


@pytest.mark.parametrize(("fault", "result"), [("empty", {}), ("pairs-null", None)])
def test_empty_answers(sandbox: Sandbox, pools: list[Pool], fault: str, result: Any) -> None:
    known = next(pool.base.address for pool in pools if pool.chain == "base")
    mint = next(pool.base.address for pool in pools if pool.chain == "solana")
    sandbox.set_faults({fault: 1.0})
    assert goplus(sandbox, "token_security/8453", known).json()["result"] == result
    assert rugcheck(sandbox, mint).json() == result


@pytest.mark.parametrize("fault", ["string-numbers", "bad-price", "missing-price", "missing-liquidity", "long-name"])
def test_spoiled_reports_are_read_or_refused_and_never_break_the_reader(
    sandbox: Sandbox, pools: list[Pool], fault: str
) -> None:
    mint = next(pool.base.address for pool in pools if pool.kind == "rug" and pool.chain == "solana")
    sandbox.set_faults({fault: 1.0})
    answer = rugcheck(sandbox, mint)
    assert answer.headers["X-Sandbox-Fault"] == fault
    if fault == "long-name":
        with pytest.raises(ValueError, match="risks"):
            REPORTS.validate_python([answer.json()])
    else:
        said = facts_of_rugcheck(REPORTS.validate_python([answer.json()])[0])
        assert (said.lp_locked_share is None) == (fault == "missing-liquidity")


def test_limits_are_each_vendors_own(pools: list[Pool]) -> None:
    with running(SandboxConfig(limits={"rugcheck": 1, "goplus": 1}, wall=lambda: AT)) as sandbox:
        statuses = [rugcheck(sandbox, "unknown").status_code for _ in range(2)]
        codes = [goplus(sandbox, "token_security/1", "0x0").json()["code"] for _ in range(2)]
    assert statuses == [400, 429]
    assert codes == [1, 4029]
