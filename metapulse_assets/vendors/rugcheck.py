"""RugCheck: what it reports of a Solana token. Needs no key.

The full report is asked for: the summary lacks authorities and holders. A field that is absent was not looked at; an
authority that is null was given up. Shares are per cent on the wire. What a report means is in `signals/security`.
"""

from typing import Annotated, Any
from urllib.parse import quote

import sqlalchemy as sa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from metapulse_assets.platform.circuit_breaker import CircuitOpenError
from metapulse_assets.platform.clock import Clock, system_clock
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.rate_limit import Gate, Limit
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_client import CallPolicy, VendorClient, VendorError
from metapulse_assets.vendors.answers import Batch, PlainText, read_items

VENDOR = "rugcheck"
CHAIN = "solana"
# How it answers for a mint that it has no report of.
NOT_KNOWN = frozenset({"HTTP 400", "HTTP 404"})
# Rounding and stale supplies let holders' shares go somewhat beyond 100 on the wire.
LARGEST_PERCENT = 1_000.0

Address = Annotated[PlainText, Field(min_length=1, max_length=200)]
Percent = Annotated[float, Field(ge=0, le=LARGEST_PERCENT, allow_inf_nan=False)]
Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _empty_for_null(value: Any) -> Any:
    return [] if value is None else value


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Holder(_Wire):
    """One of the largest token accounts, and whose it is; pools and lockers are among them."""

    address: PlainText = ""
    owner: PlainText | None = None
    percent: Percent | None = Field(None, alias="pct")


class AccountOwner(_Wire):
    """The owner of a pool's vault."""

    owner: PlainText | None = None


class PoolShares(_Wire):
    """How much of a pool's liquidity is locked or burnt, and what lies in it."""

    locked_percent: Percent | None = Field(None, alias="lpLockedPct")
    base_usd: Usd | None = Field(None, alias="baseUSD")
    quote_usd: Usd | None = Field(None, alias="quoteUSD")


class Market(_Wire):
    """A pool of the token, its two vaults and who owns those."""

    pool: PlainText = Field("", alias="pubkey")
    vault_a: PlainText | None = Field(None, alias="liquidityA")
    vault_b: PlainText | None = Field(None, alias="liquidityB")
    account_a: AccountOwner | None = Field(None, alias="liquidityAAccount")
    account_b: AccountOwner | None = Field(None, alias="liquidityBAccount")
    shares: PoolShares | None = Field(None, alias="lp")


class KnownAccount(_Wire):
    """An address that the scanner has a name for; `kind` is AMM, LOCKER, CREATOR, …"""

    kind: PlainText = Field("", alias="type")


class Verification(_Wire):
    """Whether the token is on Jupiter's lists."""

    verified: bool | None = Field(None, alias="jup_verified")
    strict: bool | None = Field(None, alias="jup_strict")


class TransferFee(_Wire):
    """What every transfer costs, per cent."""

    percent: Percent | None = Field(None, alias="pct")


class Risk(_Wire):
    """One finding in the scanner's words; `level` is info, warn or danger."""

    name: Annotated[PlainText, Field(max_length=1_000)]
    level: PlainText = ""


class Report(_Wire):
    """What the scanner says of a token. A field that was not on the wire is not in `model_fields_set`."""

    mint: Address
    mint_authority: PlainText | None = Field(None, alias="mintAuthority")
    freeze_authority: PlainText | None = Field(None, alias="freezeAuthority")
    rugged: bool | None = None
    score_normalised: Percent | None = None
    top_holders: Annotated[tuple[Holder, ...], BeforeValidator(_empty_for_null)] = Field((), alias="topHolders")
    markets: Annotated[tuple[Market, ...], BeforeValidator(_empty_for_null)] = ()
    known_accounts: dict[str, KnownAccount] | None = Field(None, alias="knownAccounts")
    transfer_fee: TransferFee | None = Field(None, alias="transferFee")
    verification: Verification | None = None
    risks: Annotated[tuple[Risk, ...], BeforeValidator(_empty_for_null)] = ()

    def says(self, field: str) -> bool:
        """Whether the answer had this field at all, null included."""
        return field in self.model_fields_set


REPORTS = TypeAdapter(list[Report])


class RugCheck:
    """The typed client. Use as an async context manager."""

    def __init__(self, settings: Settings, engine: sa.Engine, clock: Clock = system_clock) -> None:
        """Opens no connection yet."""
        self.gate = Gate(VENDOR, (Limit(settings.rugcheck_rate_limit, 60.0),))
        self.client = VendorClient(VENDOR, settings.rugcheck_url, engine, CallPolicy.from_settings(settings), clock=clock)

    async def __aenter__(self) -> "RugCheck":
        """Open the connections."""
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Close them."""
        await self.client.__aexit__(*error)

    async def report(self, mint: str) -> Batch[Report]:
        """The report on one token. No item and nothing refused: the scanner does not know it."""
        # A mint comes from outside: with a sign of URLs in it, it would ask for something else.
        path = f"/v1/tokens/{quote(mint, safe='')}/report"
        try:
            answer = await self.client.get_json(path, self.gate)
        except VendorError as error:
            return Batch(refused=[] if error.reason in NOT_KNOWN else [error.dead_letter()])
        except CircuitOpenError as error:
            url = self.client.shown_url(path, None)
            return Batch(refused=[DeadLetter(VENDOR, "request", url, "circuit open: not called", str(error))])
        batch = read_items(answer.payload, REPORTS, VENDOR, lambda raw: f"{CHAIN}:{mint}", lambda body: [body])
        return _about(batch, mint)


def _about(batch: Batch[Report], mint: str) -> Batch[Report]:
    """Only the report on the token that was asked for."""
    kept: Batch[Report] = Batch(refused=batch.refused, payloads=batch.payloads)
    for report, payload in batch.items:
        if report.mint == mint:
            kept.items.append((report, payload))
        else:
            reason = "mint: another token than the one asked for"
            kept.refused.append(DeadLetter(VENDOR, "item", f"{CHAIN}:{mint}", reason, {"mint": report.mint}))
    return kept
