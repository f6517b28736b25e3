"""What scanners' reports mean, whichever scanner it was; and what they leave open."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.risk.scoring import SECURITY_COLUMNS
from metapulse_assets.risk.security import (
    FACTS,
    TokenFacts,
    facts_of_evm_token,
    facts_of_rugcheck,
    facts_of_solana_token,
)
from metapulse_assets.risk.tables import token_security
from metapulse_assets.vendors.goplus import EVM_TOKENS, SOLANA_TOKENS
from metapulse_assets.vendors.rugcheck import REPORTS

ZERO = "0x" + "0" * 40
OWNER = "0x" + "7" * 40
NOTHING = TokenFacts()


def rug(**fields: Any) -> TokenFacts:
    """Facts of a RugCheck report with these fields."""
    return facts_of_rugcheck(REPORTS.validate_python([{"mint": "m", **fields}])[0])


def evm(**fields: Any) -> TokenFacts:
    """Facts of a contract with these fields."""
    return facts_of_evm_token(EVM_TOKENS.validate_python([{"address": "0x1", **fields}])[0])


def sol(**fields: Any) -> TokenFacts:
    """Facts of a mint with these fields."""
    return facts_of_solana_token(SOLANA_TOKENS.validate_python([{"address": "m", **fields}])[0])


def test_facts_columns_and_factors_speak_of_the_same() -> None:
    assert set(FACTS) == set(SECURITY_COLUMNS)
    assert set(FACTS) <= set(token_security.columns.keys())


def test_a_report_that_says_nothing_leaves_all_unknown() -> None:
    assert rug() == evm() == sol() == NOTHING


@pytest.mark.parametrize(
    ("fields", "fact", "value"),
    [
        ({"mintAuthority": None}, "mint_authority", False),
        ({"mintAuthority": "who"}, "mint_authority", True),
        ({"freezeAuthority": "who"}, "freeze_authority", True),
        ({"rugged": True}, "rugged", True),
        ({"verification": None}, "trusted", False),
        ({"verification": {"jup_verified": True}}, "trusted", True),
        ({"verification": {"jup_strict": True, "jup_verified": False}}, "trusted", True),
        ({"score_normalised": 35}, "vendor_score", 0.35),
        ({"score_normalised": 250}, "vendor_score", 1.0),
        ({"transferFee": {"pct": 5}}, "transfer_fee", 0.05),
        ({"transferFee": None}, "transfer_fee", None),
        ({"topHolders": []}, "top10_holder_share", None),
        ({"topHolders": [{"address": "a", "pct": 20}, {"address": "b", "pct": 5}]}, "top10_holder_share", 0.25),
        ({"topHolders": [{"address": "a", "pct": 2}] * 15}, "top10_holder_share", 0.2),
        ({"topHolders": [{"address": "a", "pct": 90}, {"address": "b", "pct": 90}]}, "top10_holder_share", 1.0),
        ({"topHolders": [{"address": "a", "pct": 20}, {"address": "b"}]}, "top10_holder_share", None),
        ({"markets": []}, "lp_locked_share", None),
        ({"markets": [{"lp": {"lpLockedPct": 80}}, {"lp": {"lpLockedPct": 10}}]}, "lp_locked_share", 0.1),
        (
            {"markets": [{"lp": {"lpLockedPct": 100, "baseUSD": 10, "quoteUSD": 20}},
                         {"lp": {"lpLockedPct": 0, "quoteUSD": 10}}]},
            "lp_locked_share", 0.75,
        ),
    ],
)  # fmt: skip
def test_facts_of_rugcheck(fields: dict[str, Any], fact: str, value: Any) -> None:
    assert getattr(rug(**fields), fact) == pytest.approx(value)


@pytest.mark.parametrize(
    "apart",
    [
        {"markets": [{"pubkey": "pool"}], "topHolders": [{"address": "x", "owner": "pool", "pct": 60}]},
        {"markets": [{"liquidityA": "vault"}], "topHolders": [{"address": "vault", "pct": 60}]},
        {"markets": [{"liquidityBAccount": {"owner": "amm"}}], "topHolders": [{"address": "x", "owner": "amm", "pct": 60}]},
        {"knownAccounts": {"l": {"type": "LOCKER"}}, "topHolders": [{"address": "l", "pct": 60}]},
        {"topHolders": [{"address": "x", "owner": "1nc1nerator11111111111111111111111111111111", "pct": 60}]},
    ],
)
def test_pools_lockers_and_burnt_tokens_are_nobodys_holding(apart: dict[str, Any]) -> None:
    apart["topHolders"].append({"address": "real", "owner": "person", "pct": 7})
    assert rug(**apart).top10_holder_share == pytest.approx(0.07)


def test_a_creator_is_a_holder() -> None:
    assert rug(knownAccounts={"c": {"type": "CREATOR"}}, topHolders=[{"address": "c", "pct": 30}]).top10_holder_share == 0.3


@pytest.mark.parametrize(
    ("fields", "fact", "value"),
    [
        ({"is_mintable": "1", "owner_address": OWNER}, "mint_authority", True),
        ({"is_mintable": "0", "owner_address": OWNER}, "mint_authority", False),
        ({"is_mintable": "1", "owner_address": ZERO}, "mint_authority", False),
        ({"is_mintable": "1", "owner_address": ZERO, "can_take_back_ownership": "1"}, "mint_authority", True),
        ({"is_mintable": "1", "owner_address": ZERO, "hidden_owner": "1"}, "mint_authority", True),
        ({"is_mintable": "1", "owner_address": ""}, "mint_authority", True),
        ({"is_mintable": "1"}, "mint_authority", True),
        ({"transfer_pausable": "1"}, "freeze_authority", True),
        ({"transfer_pausable": "0", "is_blacklisted": "1"}, "freeze_authority", True),
        ({"transfer_pausable": "0"}, "freeze_authority", None),
        ({"transfer_pausable": "0", "is_blacklisted": "0"}, "freeze_authority", False),
        ({"hidden_owner": "1"}, "owner_can_change", True),
        ({"hidden_owner": "0"}, "owner_can_change", None),
        (dict.fromkeys(("hidden_owner", "owner_change_balance", "can_take_back_ownership", "selfdestruct"), "0"),
         "owner_can_change", False),
        ({"is_honeypot": "0"}, "honeypot", False),
        ({"is_honeypot": "0", "cannot_sell_all": "1"}, "honeypot", True),
        ({"cannot_sell_all": "0"}, "honeypot", None),
        ({"trust_list": "1"}, "trusted", True),
        ({"buy_tax": "0.5", "sell_tax": "1.5"}, "sell_tax", 1.0),
        ({"holders": [{"address": "0xa", "percent": "0.3"}, {"address": "0xb", "percent": "0.2"}]}, "top10_holder_share", 0.5),
        ({"holders": [{"address": "0xA", "percent": "0.3"}, {"address": "0xb", "percent": "0.2"}], "dex": [{"pair": "0xa"}]},
         "top10_holder_share", 0.2),
        ({"holders": [{"address": ZERO, "percent": "0.9"}, {"address": "0xb", "percent": "0.2"}]}, "top10_holder_share", 0.2),
        ({"holders": [{"address": "0xa", "percent": "0.9", "is_locked": 1}]}, "top10_holder_share", 0.0),
        ({"holders": [{"address": "0xa", "percent": ""}]}, "top10_holder_share", None),
        ({"lp_holders": [{"address": "0xa", "percent": "0.9", "is_locked": 1}, {"address": "0xb", "percent": "0.1"}]},
         "lp_locked_share", 0.9),
        ({"lp_holders": [{"address": ZERO, "percent": "0.7"}]}, "lp_locked_share", 0.7),
        ({"lp_holders": []}, "lp_locked_share", None),
    ],
)  # fmt: skip
def test_facts_of_a_contract(fields: dict[str, Any], fact: str, value: Any) -> None:
    assert getattr(evm(**fields), fact) == pytest.approx(value)


@pytest.mark.parametrize(
    ("fields", "fact", "value"),
    [
        ({"mintable": {"status": "1"}}, "mint_authority", True),
        ({"freezable": {"status": "0"}}, "freeze_authority", False),
        ({"closable": {"status": "0"}, "balance_mutable_authority": {"status": "1"}}, "owner_can_change", True),
        ({"non_transferable": "1"}, "honeypot", True),
        ({"non_transferable": "0", "default_account_state": "2"}, "honeypot", True),
        ({"non_transferable": "0", "default_account_state": "1"}, "honeypot", False),
        ({"non_transferable": "0"}, "honeypot", None),
        ({"trusted_token": 1}, "trusted", True),
        ({"transfer_fee": {}}, "transfer_fee", 0.0),
        ({"transfer_fee": None}, "transfer_fee", None),
        ({"transfer_fee": {"current_fee_rate": {"fee_rate": "500"}}}, "transfer_fee", 0.05),
        ({"transfer_fee": {"fee_rate": "0.05"}}, "transfer_fee", 0.05),
        ({"transfer_fee": {"current_fee_rate": {}}}, "transfer_fee", None),
        ({"holders": [{"account": "a", "percent": "0.1"}, {"account": "p", "percent": "0.5"}], "dex": [{"id": "p"}]},
         "top10_holder_share", 0.1),
    ],
)  # fmt: skip
def test_facts_of_a_mint(fields: dict[str, Any], fact: str, value: Any) -> None:
    assert getattr(sol(**fields), fact) == pytest.approx(value)


flags = st.sampled_from(["0", "1", "", None])
FLAGS = ("is_mintable", "is_honeypot", "cannot_sell_all", "can_take_back_ownership", "hidden_owner", "owner_change_balance",
         "selfdestruct", "transfer_pausable", "is_blacklisted")  # fmt: skip


@given(st.fixed_dictionaries(dict.fromkeys(FLAGS, flags)), st.sampled_from([OWNER, "", None]), st.sampled_from(FLAGS))
def test_a_worse_flag_makes_no_fact_better(fields: dict[str, Any], owner: str | None, flag: str) -> None:
    badness = {False: 0, None: 1, True: 2}
    before, after = evm(owner_address=owner, **fields), evm(owner_address=owner, **{**fields, flag: "1"})
    for fact in ("mint_authority", "freeze_authority", "owner_can_change", "honeypot"):
        assert badness[getattr(after, fact)] >= badness[getattr(before, fact)]


@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.floats(0, 0.2)), min_size=1, max_size=15), st.randoms())
def test_the_order_of_holders_means_nothing(holders: list[tuple[str, float]], random: Any) -> None:
    listed = [{"address": name, "percent": share} for name, share in holders]
    shuffled = random.sample(listed, len(listed))
    assert evm(holders=listed).top10_holder_share == pytest.approx(evm(holders=shuffled).top10_holder_share)
