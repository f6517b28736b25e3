"""GoPlus: what it finds in a token's contract, on EVM chains and on Solana. Needs no key.

Flags are "0" and "1" on the wire, shares are texts such as "0.05", and an empty text means not known. The HTTP status is
200 even when a call failed: `code` says whether it did. What an answer means is in `signals/security`.
"""

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import sqlalchemy as sa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from metapulse_assets.platform.circuit_breaker import CircuitOpenError
from metapulse_assets.platform.clock import Clock, system_clock
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.rate_limit import Gate, Limit
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_client import CallPolicy, Exchange, VendorClient, VendorError
from metapulse_assets.vendors.answers import Batch, PlainText, read_items
from metapulse_assets.vendors.chains import CHAINS

VENDOR = "goplus"
SOLANA = "solana"
# A list of contracts is answered in one call; without a key the vendor may answer only some of them, so the rest is asked
# for again one by one. Own choice, well below the hundred of its paid plans.
ADDRESSES_PER_CALL = 20
SUCCESS, TOO_MANY_REQUESTS = 1, 4029
# The vendor counts by the minute and does not say when to come back.
PAUSE_SECONDS = 60.0


def _flag(value: Any) -> Any:
    """ "0", "1" and the like as a boolean; what says nothing as None."""
    if isinstance(value, dict):
        value = value.get("status")
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip()
    if text in ("", "-1"):
        return None
    if text not in ("0", "1"):
        raise ValueError("neither 0 nor 1")
    return text == "1"


def _number(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _list(value: Any) -> Any:
    return [] if value in (None, "") else value


Address = Annotated[PlainText, Field(min_length=1, max_length=200)]
Flag = Annotated[bool | None, BeforeValidator(_flag)]
Number = Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
Share = Annotated[Number, BeforeValidator(_number)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Holder(_Wire):
    """One of the largest holders of the token or of its liquidity; `percent` is a share of 1."""

    address: PlainText = ""
    account: PlainText = ""
    share: Share = Field(None, alias="percent")
    locked: Flag = Field(None, alias="is_locked")

    @property
    def who(self) -> str:
        """The holder, under whichever name the chain's answers have for it."""
        return (self.address or self.account).lower()


class Pool(_Wire):
    """A pool of the token."""

    pair: PlainText | None = None
    id: PlainText | None = None


Holders = Annotated[tuple[Holder, ...], BeforeValidator(_list)]
Pools = Annotated[tuple[Pool, ...], BeforeValidator(_list)]


class EvmToken(_Wire):
    """A contract on an EVM chain. None: the vendor does not know."""

    address: Address
    owner_address: PlainText | None = None
    mintable: Flag = Field(None, alias="is_mintable")
    honeypot: Flag = Field(None, alias="is_honeypot")
    cannot_sell_all: Flag = None
    can_take_back_ownership: Flag = None
    hidden_owner: Flag = None
    owner_change_balance: Flag = None
    selfdestruct: Flag = None
    transfer_pausable: Flag = None
    blacklisted: Flag = Field(None, alias="is_blacklisted")
    trusted: Flag = Field(None, alias="trust_list")
    buy_tax: Share = None
    sell_tax: Share = None
    holders: Holders = ()
    lp_holders: Holders = ()
    pools: Pools = Field((), alias="dex")


class FeeRate(_Wire):
    """A transfer fee in force."""

    rate: Share = Field(None, alias="fee_rate")


class TransferFee(_Wire):
    """The transfer fee of a Solana token; an empty object means that there is none."""

    current: FeeRate | None = Field(None, alias="current_fee_rate")
    rate: Share = Field(None, alias="fee_rate")


class SolanaToken(_Wire):
    """A mint on Solana. None: the vendor does not know."""

    address: Address
    mintable: Flag = None
    freezable: Flag = None
    closable: Flag = None
    balance_mutable: Flag = Field(None, alias="balance_mutable_authority")
    non_transferable: Flag = None
    default_account_state: PlainText | int | None = None
    transfer_fee: TransferFee | None = None
    trusted: Flag = Field(None, alias="trusted_token")
    holders: Holders = ()
    lp_holders: Holders = ()
    pools: Pools = Field((), alias="dex")


EVM_TOKENS = TypeAdapter(list[EvmToken])
SOLANA_TOKENS = TypeAdapter(list[SolanaToken])
Item = TypeVar("Item", bound=BaseModel)


def pause_asked(exchange: Exchange) -> float | None:
    """Seconds to wait after an answer that says, with status 200, that there were too many requests."""
    return PAUSE_SECONDS if _code(_body(exchange.payload)) == TOO_MANY_REQUESTS else None


def _body(payload: RawPayload) -> Any:
    try:
        return json.loads(payload.body)
    except (ValueError, RecursionError):
        return None


def _code(body: Any) -> Any:
    return body.get("code") if isinstance(body, dict) else None


def tokens_of(body: Any) -> Any:
    """The answer's tokens as a list, each with the address that it stands under."""
    result = body.get("result")
    if not isinstance(result, dict):
        return result
    return [
        {**facts, "address": key} if isinstance(facts, dict) else {"address": key} for key, facts in result.items() if facts
    ]


class GoPlus:
    """The typed client. Use as an async context manager."""

    def __init__(self, settings: Settings, engine: sa.Engine, clock: Clock = system_clock) -> None:
        """Opens no connection yet."""
        self.gate = Gate(VENDOR, (Limit(settings.goplus_rate_limit, 60.0),))
        policy = CallPolicy.from_settings(settings)
        self.client = VendorClient(VENDOR, settings.goplus_url, engine, policy, clock=clock, wait_asked=pause_asked)

    async def __aenter__(self) -> "GoPlus":
        """Open the connections."""
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Close them."""
        await self.client.__aexit__(*error)

    async def evm_tokens(self, chain: str, addresses: Sequence[str]) -> Batch[EvmToken]:
        """Up to ADDRESSES_PER_CALL contracts of one chain, in one call; one that is not answered is simply absent.

        Raises ValueError for a chain that the vendor does not scan, or for too many addresses.
        """
        known = CHAINS.get(chain)
        if known is None or known.goplus is None:
            raise ValueError(f"chain: GoPlus does not scan {chain!r}")
        if len(addresses) > ADDRESSES_PER_CALL:
            raise ValueError(f"addresses: {len(addresses)} in one call, at most {ADDRESSES_PER_CALL}")
        return await self._tokens(f"/api/v1/token_security/{known.goplus}", chain, addresses, EVM_TOKENS)

    async def solana_tokens(self, mints: Sequence[str]) -> Batch[SolanaToken]:
        """Mints of Solana, in one call; one that is not answered is simply absent."""
        return await self._tokens("/api/v1/solana/token_security", SOLANA, mints, SOLANA_TOKENS)

    async def _tokens(self, path: str, chain: str, addresses: Sequence[str], adapter: TypeAdapter[list[Item]]) -> Batch[Item]:
        params = {"contract_addresses": ",".join(addresses)}
        url = self.client.shown_url(path, params)
        try:
            answer = await self.client.get_json(path, self.gate, params)
        except VendorError as error:
            return Batch(refused=[error.dead_letter()])
        except CircuitOpenError as error:
            return Batch(refused=[DeadLetter(VENDOR, "request", url, "circuit open: not called", str(error))])
        body = _body(answer.payload)
        if _code(body) != SUCCESS:
            return Batch(refused=[DeadLetter(VENDOR, "request", url, _failure(body), body)])
        return read_items(answer.payload, adapter, VENDOR, _key_on(chain), tokens_of)


def _key_on(chain: str) -> Callable[[Any], str]:
    return lambda raw: f"{chain}:{str(raw['address'])[:200]}"


def _failure(body: Any) -> str:
    if not isinstance(body, dict):
        return f"{type(body).__name__} where an object was expected"
    return f"code {str(body.get('code'))[:40]}: {str(body.get('message'))[:200]}"
