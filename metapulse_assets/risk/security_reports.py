"""One round of questions to the security scanners: who is asked about which token, and what came of it.

RugCheck speaks for Solana, GoPlus for EVM chains; GoPlus stands in on Solana where RugCheck failed. No Dagster, no
database: what is due and what is stored is in `security_store`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.risk.security import (
    TokenFacts,
    facts_of_evm_token,
    facts_of_rugcheck,
    facts_of_solana_token,
)
from metapulse_assets.vendors import goplus, rugcheck
from metapulse_assets.vendors.answers import Batch
from metapulse_assets.vendors.chains import CHAINS, canonical_address
from metapulse_assets.vendors.goplus import ADDRESSES_PER_CALL, EvmToken, GoPlus, SolanaToken
from metapulse_assets.vendors.rugcheck import RugCheck

CALLS_IN_FLIGHT = 4
Outcome = Literal["reported", "not_known", "failed"]
Item = TypeVar("Item", EvmToken, SolanaToken)

SCANNED_CHAINS = frozenset({rugcheck.CHAIN, *(name for name, chain in CHAINS.items() if chain.goplus is not None)})
"""The chains on which some scanner can be asked."""


@dataclass(frozen=True)
class DueToken:
    """A token to ask about."""

    token_id: int
    chain: str
    address: str


@dataclass(frozen=True)
class TokenReport:
    """What a scanner said of a token, and the answer it is from."""

    token_id: int
    vendor: str
    facts: TokenFacts
    payload: RawPayload


@dataclass(frozen=True)
class Budget:
    """How many calls a round may make."""

    rugcheck: int
    goplus: int


@dataclass
class Scanned:
    """What a round brought: reports, refusals, answers, and for each token asked about, by whom and with what outcome."""

    reports: list[TokenReport] = field(default_factory=list)
    refused: list[DeadLetter] = field(default_factory=list)
    payloads: list[RawPayload] = field(default_factory=list)
    outcomes: dict[int, tuple[str, Outcome]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def take(self, token: DueToken, vendor: str, outcome: Outcome) -> None:
        """Note what came of a question."""
        self.outcomes[token.token_id] = (vendor, outcome)


async def scan(rugcheck_client: RugCheck, goplus_client: GoPlus, due: Sequence[DueToken], budget: Budget) -> Scanned:
    """Ask about the tokens in their order, as far as the budget goes; those beyond it stay due.

    A failure of one scanner costs only its answers: nothing raises but a programming error. After a call to GoPlus that
    failed, the rest of its tokens wait for the next round.
    """
    result = Scanned()
    on_solana = [token for token in due if token.chain == rugcheck.CHAIN][: budget.rugcheck]
    await _ask_rugcheck(rugcheck_client, on_solana, result)
    questions = _GoPlusQuestions(budget.goplus, result)
    for chain in dict.fromkeys(token.chain for token in due if token.chain != rugcheck.CHAIN):
        if CHAINS[chain].goplus is not None:
            tokens = [token for token in due if token.chain == chain]
            await questions.ask(tokens, _evm_question(goplus_client, chain), facts_of_evm_token)
    failed = [token for token in on_solana if result.outcomes[token.token_id][1] == "failed"]
    await questions.ask(failed, goplus_client.solana_tokens, facts_of_solana_token)
    result.calls = {rugcheck.VENDOR: len(on_solana), goplus.VENDOR: questions.calls}
    return result


async def _ask_rugcheck(client: RugCheck, tokens: Sequence[DueToken], result: Scanned) -> None:
    slots = asyncio.Semaphore(CALLS_IN_FLIGHT)

    async def one(token: DueToken) -> Batch[rugcheck.Report]:
        async with slots:
            return await client.report(token.address)

    for token, batch in zip(tokens, await asyncio.gather(*map(one, tokens)), strict=True):
        result.refused += batch.refused
        result.payloads += batch.payloads
        if batch.items:
            report, payload = batch.items[0]
            result.reports.append(TokenReport(token.token_id, rugcheck.VENDOR, facts_of_rugcheck(report), payload))
            result.take(token, rugcheck.VENDOR, "reported")
        else:
            result.take(token, rugcheck.VENDOR, "failed" if batch.refused else "not_known")


def _evm_question(client: GoPlus, chain: str) -> Callable[[Sequence[str]], Awaitable[Batch[EvmToken]]]:
    return lambda addresses: client.evm_tokens(chain, addresses)


@dataclass
class _GoPlusQuestions:
    """The calls to GoPlus of one round, within a budget, until one fails."""

    budget: int
    result: Scanned
    calls: int = 0
    failed: bool = False

    @property
    def may_ask(self) -> bool:
        """Whether another call may be made."""
        return self.calls < self.budget and not self.failed

    async def ask(
        self,
        tokens: Sequence[DueToken],
        question: Callable[[Sequence[str]], Awaitable[Batch[Item]]],
        facts_of: Callable[[Item], TokenFacts],
    ) -> None:
        """Ask in batches, then one by one about those that a batch left out.

        Absence from an answer about several is no proof that the token is not known: only an answer about it alone is.
        """
        alone: list[DueToken] = []
        for start in range(0, len(tokens), ADDRESSES_PER_CALL):
            batch = tokens[start : start + ADDRESSES_PER_CALL]
            unanswered = await self._once(batch, question, facts_of)
            alone += unanswered if len(batch) > 1 else []
        for token in alone:
            await self._once([token], question, facts_of)

    async def _once(
        self,
        tokens: Sequence[DueToken],
        question: Callable[[Sequence[str]], Awaitable[Batch[Item]]],
        facts_of: Callable[[Item], TokenFacts],
    ) -> list[DueToken]:
        """Make one call, if it may be made; returns the tokens that its answer says nothing about, good or bad."""
        if not self.may_ask:
            return []
        self.calls += 1
        batch = await question([token.address for token in tokens])
        self.result.refused += batch.refused
        self.result.payloads += batch.payloads
        self.failed = any(letter.kind == "request" for letter in batch.refused)
        chain = tokens[0].chain
        answers = {canonical_address(chain, item.address): (item, payload) for item, payload in batch.items}
        # The vendor may spell an address otherwise than it was asked.
        bad = {canonical_address(chain, letter.item_key.partition(":")[2]) for letter in batch.refused if letter.kind == "item"}
        unanswered = []
        for token in tokens:
            key = canonical_address(chain, token.address)
            if key in answers:
                item, payload = answers[key]
                self.result.reports.append(TokenReport(token.token_id, goplus.VENDOR, facts_of(item), payload))
                self.result.take(token, goplus.VENDOR, "reported")
            elif self.failed or key in bad:
                self.result.take(token, goplus.VENDOR, "failed")
            else:
                unanswered.append(token)
        if len(tokens) == 1:
            for token in unanswered:
                self.result.take(token, goplus.VENDOR, "not_known")
        return unanswered
