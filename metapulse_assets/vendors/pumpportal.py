"""PumpPortal: the feed of pump.fun and its kin on Solana over one WebSocket. What can be subscribed to, what its frames mean.

New tokens and migrations are free; trades need a funded key and cost 0.01 SOL per 10,000 events. One connection a client, at
most 5,000 keys a message, no history, no timestamps: who listens stamps the arrival. Connecting and storing belong elsewhere.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.settings import Settings
from metapulse_assets.vendors.answers import plain_text

VENDOR = "pumpportal"
CHAIN = "solana"
# The vendor takes 5,000; smaller messages come through slow lines, too.
KEYS_PER_MESSAGE = 1_000
LONGEST_NAME = 1_000
# What an account can hold at most, of a token that cannot be divided.
LARGEST_AMOUNT = 2.0**64
LONGEST_POOL = 100
SHOWN_CHARACTERS = 200
TOO_DEEP = "nested too deep"

WRAPPED_SOL = "So11111111111111111111111111111111111111112"
# Native SOL goes by the address of the system program.
SOL_MINTS = frozenset({WRAPPED_SOL, "11111111111111111111111111111111", "SOL"})
# A launch that is quoted in one of these is mis-read by the vendor: it names the quote token as the new one.
QUOTE_MINTS = frozenset(
    {
        WRAPPED_SOL,
        "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",  # USDC
        "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB",  # USDT
        "2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo",  # PYUSD
        "USD1ttGY1N17NEEHLmELoaybftRBUSErhqYiQzvEmuB",  # USD1
    }
)

NEW_TOKENS = '{"method":"subscribeNewToken"}'
MIGRATIONS = '{"method":"subscribeMigration"}'
_DECODER = json.JSONDecoder()
_BLANKS = " \t\r\n,\x1e\x00"
_ACKNOWLEDGED = ("successfully", "subscribed", "unsubscribed")


class FrameError(Exception):
    """A frame that cannot be used, with what is kept of it."""

    def __init__(self, reason: str, key: str, payload: Any) -> None:
        """`reason` names the field at fault; `key` is the signature or the head of the text."""
        super().__init__(reason)
        self.letter = DeadLetter(VENDOR, "item", key, reason, payload)


def _shortened(value: Any) -> Any:
    # A hostile name is data; its whole length is in the raw frame.
    return plain_text(value[:LONGEST_NAME]) if isinstance(value, str) else value


def _pool_name(value: Any) -> Any:
    return "" if value is None else _shortened(value)


Mint = Annotated[str, Field(pattern=r"^[1-9A-HJ-NP-Za-km-z]{32,44}$")]
# 64 bytes in base58.
Signature = Annotated[str, Field(pattern=r"^[1-9A-HJ-NP-Za-km-z]{64,88}$")]
Name = Annotated[str, BeforeValidator(_shortened)]
PoolName = Annotated[str, Field(max_length=LONGEST_POOL), BeforeValidator(_pool_name)]
Amount = Annotated[float, Field(ge=0, le=LARGEST_AMOUNT, allow_inf_nan=False)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    signature: Signature
    mint: Mint
    pool: PoolName = ""


class _Traded(_Wire):
    """What creates and trades share. Amounts are SOL and whole tokens. A curve has virtual reserves, an AMM real ones."""

    trader: Mint = Field(alias="traderPublicKey")
    quote_mint: Name | None = Field(None, alias="quoteMint")
    sol_amount: Amount | None = Field(None, alias="solAmount")
    market_cap_sol: Amount | None = Field(None, alias="marketCapSol")
    bonding_curve: Mint | None = Field(None, alias="bondingCurveKey")
    sol_reserve: Amount | None = Field(None, validation_alias=AliasChoices("vSolInBondingCurve", "solInPool"))
    token_reserve: Amount | None = Field(None, validation_alias=AliasChoices("vTokensInBondingCurve", "tokensInPool"))

    @property
    def is_in_sol(self) -> bool:
        """Whether what the vendor calls SOL is SOL: it says so of every amount, also where another token was paid."""
        return not self.quote_mint or self.quote_mint in SOL_MINTS


class Launch(_Traded):
    """A token was made, with its maker's first purchase in the same transaction. Names are the maker's: untrusted."""

    type: Literal["create"] = Field(alias="txType")
    initial_buy: Amount | None = Field(None, alias="initialBuy")
    name: Name | None = None
    symbol: Name | None = None
    uri: Name | None = None
    is_mayhem: bool | None = Field(None, alias="is_mayhem_mode")


class Migration(_Wire):
    """A token's curve is complete and it trades on an AMM from now on."""

    type: Literal["migrate"] = Field(alias="txType")


class Trade(_Traded):
    """Somebody bought or sold. `sol_amount` is absent in frames of 2024."""

    type: Literal["buy", "sell"] = Field(alias="txType")
    token_amount: Amount | None = Field(None, alias="tokenAmount")
    trader_balance: Amount | None = Field(None, alias="newTokenBalance")

    @property
    def price_sol(self) -> float | None:
        """SOL a token, as executed; None where one of the amounts is unknown or 0, or another token was paid."""
        if not self.is_in_sol or not self.sol_amount or not self.token_amount:
            return None
        price = self.sol_amount / self.token_amount
        return price if 0 < price <= LARGEST_AMOUNT else None


class Notice(BaseModel):
    """What the service says to its client. `is_error`: it is no acknowledgement."""

    text: str
    is_error: bool


Event = Launch | Migration | Trade
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


def read_frame(raw: bytes) -> Event | Notice:
    """What a frame says first. Raises `FrameError` for what is no JSON object, of an unknown type, or wrong in a field."""
    first = read_frames(raw)[0]
    if isinstance(first, FrameError):
        raise first
    return first


def read_frames(raw: bytes) -> Sequence[Event | Notice | FrameError]:
    """Everything that a frame says: usually one thing; each item of a list, and each of several texts, by itself."""
    try:
        return (_EVENT.validate_json(raw),)
    except ValidationError:
        pass
    found: list[Event | Notice | FrameError] = []
    text = raw.decode("utf-8", "replace").removeprefix("\ufeff")
    for said, body in _values(text):
        if isinstance(body, FrameError):
            found.append(body)
            continue
        try:
            found.append(_judged(body, said))
        except FrameError as error:
            found.append(error)
        except RecursionError:
            found.append(FrameError(TOO_DEEP, said[:SHOWN_CHARACTERS], said))
    return found


def subscriptions(mints: Sequence[str]) -> Iterator[str]:
    """The messages that subscribe to everything: new tokens, migrations, and the trades of these mints."""
    yield NEW_TOKENS
    yield MIGRATIONS
    yield from trade_messages("subscribeTokenTrade", mints)


def trade_messages(method: Literal["subscribeTokenTrade", "unsubscribeTokenTrade"], mints: Iterable[str]) -> Iterator[str]:
    """The messages that begin or end the trades of these mints, in batches."""
    keys = sorted(mints)
    for start in range(0, len(keys), KEYS_PER_MESSAGE):
        yield json.dumps({"method": method, "keys": keys[start : start + KEYS_PER_MESSAGE]}, separators=(",", ":"))


def connection_url(settings: Settings) -> str:
    """Where to connect, the key included if there is one: not to be shown."""
    key = settings.key_of(settings.pumpportal_api_key)
    return f"{settings.pumpportal_url}?{urlencode({'api-key': key})}" if key else settings.pumpportal_url


def _values(text: str) -> Iterator[tuple[str, Any]]:
    """The JSON values of a text, one after the other, lists item by item; each with the text that it was read from.

    What is no JSON, from there on, is one `FrameError`. Never empty.
    """
    place = _after_blanks(text, 0)
    while True:
        try:
            body, end = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            reason = TOO_DEEP if isinstance(error, RecursionError) else "no JSON"
            rest = text[place:]
            yield rest, FrameError(reason, rest[:SHOWN_CHARACTERS], rest)
            return
        if isinstance(body, list) and any(isinstance(item, dict) for item in body):
            yield from ((_text_of(item), item) for item in body)
        else:
            yield text[place:end], body
        place = _after_blanks(text, end)
        if place == len(text):
            return


def _text_of(item: Any) -> str:
    try:
        return json.dumps(item)
    except RecursionError:
        return ""


def _after_blanks(text: str, place: int) -> int:
    while place < len(text) and text[place] in _BLANKS:
        place += 1
    return place


def _judged(body: Any, text: str) -> Event | Notice:
    if not isinstance(body, dict):
        raise FrameError(f"{type(body).__name__} where an object was expected", text[:SHOWN_CHARACTERS], body)
    kind = body.get("txType")
    if kind is None:
        return _notice(body, text)
    key = str(body.get("signature") or text)[:SHOWN_CHARACTERS]
    if kind not in ("create", "migrate", "buy", "sell"):
        raise FrameError(f"txType: {str(kind)[:40]!r} is not known", key, body)
    try:
        return _EVENT.validate_python(body)
    except ValidationError as error:
        raise FrameError(_described(error), key, body) from None


def _notice(body: dict[str, Any], text: str) -> Notice:
    said = body.get("errors", body.get("message"))
    if said is None:
        raise FrameError("neither txType nor message", text[:SHOWN_CHARACTERS], body)
    words = said if isinstance(said, str) else json.dumps(said)
    acknowledged = "errors" not in body and words.lower().startswith(_ACKNOWLEDGED)
    shown = "".join(sign if sign.isprintable() else " " for sign in plain_text(words[:LONGEST_NAME]))
    return Notice(text=shown, is_error=not acknowledged)


def _described(error: ValidationError) -> str:
    problems = []
    for problem in error.errors(include_url=False, include_input=False):
        # The first part of the place is the type of the frame.
        place = ".".join(str(part) for part in problem["loc"][1:])
        problems.append(f"{place or 'frame'}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(sorted(problems))
