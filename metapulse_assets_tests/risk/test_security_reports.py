"""A round of questions: who is asked, how far the budget goes, and what a scanner that is down costs."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.risk.security_reports import SCANNED_CHAINS, Budget, DueToken, Scanned, scan
from metapulse_assets.vendors.answers import Batch
from metapulse_assets.vendors.chains import CHAINS
from metapulse_assets.vendors.goplus import ADDRESSES_PER_CALL, EVM_TOKENS, SOLANA_TOKENS, GoPlus
from metapulse_assets.vendors.rugcheck import REPORTS, RugCheck

AT = datetime(2026, 3, 4, tzinfo=UTC)
PLENTY = Budget(1_000, 1_000)


def payload(text: str) -> RawPayload:
    """An answer with this body."""
    return RawPayload("vendor", "url", 200, AT, text.encode())


class FakeRugCheck:
    """Knows mints that begin with k, fails for those with f."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def report(self, mint: str) -> Batch[Any]:
        """The report on one token."""
        self.asked.append(mint)
        if mint[0] == "f":
            return Batch(refused=[DeadLetter("rugcheck", "request", mint, "HTTP 500", {})])
        if mint[0] != "k":
            return Batch()
        answer = payload(mint)
        [report] = REPORTS.validate_python([{"mint": mint, "mintAuthority": None}])
        return Batch(items=[(report, answer)], payloads=[answer])


class FakeGoPlus:
    """Answers for addresses with a k, refuses those with a b; `first_only`: only for the first; `down`: for none."""

    def __init__(self, first_only: bool = False, down: bool = False) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.first_only, self.down = first_only, down

    async def evm_tokens(self, chain: str, addresses: Sequence[str]) -> Batch[Any]:
        """Contracts of one chain."""
        return self._answer(chain, addresses, EVM_TOKENS)

    async def solana_tokens(self, addresses: Sequence[str]) -> Batch[Any]:
        """Mints."""
        return self._answer("solana", addresses, SOLANA_TOKENS)

    def _answer(self, chain: str, addresses: Sequence[str], adapter: Any) -> Batch[Any]:
        self.calls.append((chain, list(addresses)))
        if self.down:
            return Batch(refused=[DeadLetter("goplus", "request", "url", "code 4029: too many", {})])
        shown = addresses[:1] if self.first_only else addresses
        answer = payload(",".join(addresses))
        # It spells addresses of EVM chains in lower case, whatever it was asked.
        spelled = [address if chain == "solana" else address.lower() for address in shown]
        return Batch(
            items=[(adapter.validate_python([{"address": a}])[0], answer) for a in spelled if "k" in a],
            refused=[DeadLetter("goplus", "item", f"{chain}:{a}", "buy_tax: wrong", {}) for a in spelled if "b" in a],
            payloads=[answer],
        )


def run(due: Sequence[DueToken], budget: Budget = PLENTY, goplus: FakeGoPlus | None = None) -> tuple[Scanned, Any, Any]:
    """One round with the stand-ins."""
    rugcheck, goplus = FakeRugCheck(), goplus or FakeGoPlus()
    result = asyncio.run(scan(cast(RugCheck, rugcheck), cast(GoPlus, goplus), due, budget))
    return result, rugcheck, goplus


def tokens(chain: str, *addresses: str, start: int = 1) -> list[DueToken]:
    """Tokens to ask about."""
    return [DueToken(start + place, chain, address) for place, address in enumerate(addresses)]


def test_each_chain_has_its_scanner() -> None:
    due = [*tokens("solana", "k1"), *tokens("base", "0xk2", start=2), *tokens("bsc", "0xk3", start=3)]
    result, rugcheck, goplus = run(due)
    assert rugcheck.asked == ["k1"]
    assert goplus.calls == [("base", ["0xk2"]), ("bsc", ["0xk3"])]
    assert {report.token_id: report.vendor for report in result.reports} == {1: "rugcheck", 2: "goplus", 3: "goplus"}
    assert set(result.outcomes.values()) == {("rugcheck", "reported"), ("goplus", "reported")}
    assert result.calls == {"rugcheck": 1, "goplus": 2}


def test_what_came_of_each_question() -> None:
    due = [*tokens("solana", "k1", "u2"), *tokens("base", "0xk", "0xbad", "0xu", start=11)]
    result, _, goplus = run(due)
    assert result.outcomes == {
        1: ("rugcheck", "reported"), 2: ("rugcheck", "not_known"),
        11: ("goplus", "reported"), 12: ("goplus", "failed"), 13: ("goplus", "not_known"),
    }  # fmt: skip
    # That it was left out of an answer about several is no proof: it was asked about by itself.
    assert goplus.calls == [("base", ["0xk", "0xbad", "0xu"]), ("base", ["0xu"])]
    assert [letter.reason for letter in result.refused] == ["buy_tax: wrong"]


def test_upper_case_is_the_same_contract() -> None:
    result, _, _ = run(tokens("base", "0xAkB0".replace("B", "C")))
    assert result.outcomes == {1: ("goplus", "reported")}


def test_where_rugcheck_fails_goplus_is_asked() -> None:
    result, _, goplus = run(tokens("solana", "fk1", "fu2", "k3"))
    assert result.outcomes == {1: ("goplus", "reported"), 2: ("goplus", "not_known"), 3: ("rugcheck", "reported")}
    assert goplus.calls == [("solana", ["fk1", "fu2"]), ("solana", ["fu2"])]
    assert len(result.refused) == 2


def test_scanners_that_are_down_cost_only_their_answers() -> None:
    due = [*tokens("solana", "f1", "k2"), *tokens("base", "0xk", start=11)]
    result, _, _ = run(due, goplus=FakeGoPlus(down=True))
    assert result.outcomes == {1: ("rugcheck", "failed"), 2: ("rugcheck", "reported"), 11: ("goplus", "failed")}


def test_after_a_failed_call_goplus_is_left_in_peace() -> None:
    due = [*tokens("base", "0xk"), *tokens("bsc", "0xk", start=2), *tokens("solana", "fk", start=3)]
    result, _, goplus = run(due, goplus=FakeGoPlus(down=True))
    assert goplus.calls == [("base", ["0xk"])]
    assert result.outcomes == {1: ("goplus", "failed"), 3: ("rugcheck", "failed")}


def test_a_vendor_that_answers_for_the_first_only_is_asked_one_by_one() -> None:
    result, _, goplus = run(tokens("base", "0xk1", "0xk2", "0xk3"), goplus=FakeGoPlus(first_only=True))
    assert set(result.outcomes.values()) == {("goplus", "reported")}
    assert [len(addresses) for _, addresses in goplus.calls] == [3, 1, 1]


def test_the_first_are_asked_when_the_budget_is_small() -> None:
    due = [*tokens("solana", "k1", "k2", "k3"), *tokens("base", "0xk", start=11), *tokens("bsc", "0xk", start=21)]
    result, rugcheck, goplus = run(due, Budget(2, 1))
    assert rugcheck.asked == ["k1", "k2"]
    assert goplus.calls == [("base", ["0xk"])]
    assert set(result.outcomes) == {1, 2, 11}


def test_batches_are_no_larger_than_the_vendor_takes() -> None:
    _, _, goplus = run(tokens("base", *(f"0xk{n}" for n in range(2 * ADDRESSES_PER_CALL + 1))))
    assert [len(addresses) for _, addresses in goplus.calls] == [ADDRESSES_PER_CALL, ADDRESSES_PER_CALL, 1]


@pytest.mark.parametrize("chain", ["ton", "sui", "tron"])
def test_a_chain_that_nobody_scans_is_left_alone(chain: str) -> None:
    assert chain not in SCANNED_CHAINS
    result, _, goplus = run(tokens(chain, "k"))
    assert (result.outcomes, goplus.calls) == ({}, [])


def test_every_scanned_chain_is_one_that_is_known() -> None:
    assert set(CHAINS) > SCANNED_CHAINS >= {"solana", "ethereum", "base", "bsc"}


names = st.text("kbfu", min_size=1, max_size=3)
dues = st.lists(st.tuples(st.sampled_from(["solana", "base", "bsc"]), names), max_size=60, unique=True)


@given(dues, st.integers(0, 8), st.integers(0, 8), st.booleans())
def test_no_more_calls_than_the_budget_and_nobody_twice(
    keys: list[tuple[str, str]], rugcheck_calls: int, goplus_calls: int, first_only: bool
) -> None:
    due = [DueToken(place, chain, name) for place, (chain, name) in enumerate(keys)]
    result, rugcheck, goplus = run(due, Budget(rugcheck_calls, goplus_calls), FakeGoPlus(first_only))
    assert len(rugcheck.asked) <= rugcheck_calls
    assert len(goplus.calls) <= goplus_calls
    assert result.calls == {"rugcheck": len(rugcheck.asked), "goplus": len(goplus.calls)}
    reported = [report.token_id for report in result.reports]
    assert len(reported) == len(set(reported))
    assert set(reported) == {token for token, (_, outcome) in result.outcomes.items() if outcome == "reported"}
