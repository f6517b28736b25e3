"""Which token a mention means. Addresses and links decide; a ticker or a name needs the post, or the market, to bear it out.

Nothing is decided by what was not known when the post could be used. All thresholds here are own choices.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from metapulse_assets.social.common_names import is_distinctive
from metapulse_assets.social.mention_finding import Found, Names, Reading, comparable_address, name_index
from metapulse_assets.vendors.chains import CHAINS

# A token is established if it is this old and trades this much; null liquidity (a bonding curve, history) says nothing.
ESTABLISHED_AGE = timedelta(days=3)
ESTABLISHED_LIQUIDITY_USD = 50_000.0
ESTABLISHED_VOLUME_24H_USD = 50_000.0
# It dwarfs another of the same symbol if it is so many times as large in whatever is known of both.
DWARFS = 10.0
# A post that names more tickers is a list: what it says of one is not borne out by the market.
MOST_TICKERS_BORNE_OUT = 8
CONFIDENCES = {
    "address": 0.99,
    "link": 0.95,
    "ticker_and_name": 0.9,
    "ticker_and_handle": 0.85,
    "ticker_and_chain": 0.8,
    "dominant_ticker": 0.6,
    "dominant_name": 0.5,
    "ambiguous": 0.0,
    "unknown": 0.0,
}
# A hashtag is a topic as often as a ticker.
HASHTAG_SHARE = 0.9
MOST_CANDIDATES = 50
SHORTEST_HANDLE_NAME = 5

_CHAIN_WORDS = {
    **{chain: chain for chain in CHAINS},
    "sol": "solana",
    "eth": "ethereum",
    "bnb": "bsc",
    "arb": "arbitrum",
    "matic": "polygon",
    "avax": "avalanche",
    "trx": "tron",
}
# Chains whose names are words of their own: only "on base", "base chain" and "#base" speak of the chain.
_WORDLIKE_CHAINS = {
    *(
        "base",
        "blast",
        "scroll",
        "mantle",
        "sonic",
        "abstract",
        "near",
        "ton",
        "optimism",
        "linea",
        "monad",
        "sui",
        "sol",
        "eth",
    ),
    *("polygon", "avalanche", "fantom", "arb", "bnb", "unichain", "hyperliquid"),
}
_HANDLE_TAILS = ("", "coin", "token", "official", "cto", "sol", "eth", "onsol", "onbase", "hq", "xyz", "io", "app", "protocol")


@dataclass(frozen=True)
class KnownPool:
    """A pool of a token. `known_since`: when MetaPulse could first have known it; `created_at`: on its chain."""

    address: str
    known_since: datetime
    created_at: datetime | None


@dataclass(frozen=True)
class KnownToken:
    """A token as it is compared with posts. `ticker` upper case, `name` words in lower case; both may be empty.

    `known_since`: when MetaPulse could first have known it.
    """

    token_id: int
    chain: str
    address: str
    ticker: str
    name: tuple[str, ...]
    known_since: datetime
    pools: tuple[KnownPool, ...] = ()

    def exists_since(self, at: datetime) -> datetime:
        """Since when it trades, by what was known at a moment."""
        return min([self.known_since, *(p.created_at for p in self.pools if p.created_at and p.known_since <= at)])


@dataclass(frozen=True)
class Size:
    """How large a token's market was at a moment, USD; null: not known."""

    liquidity_usd: float | None = None
    volume_24h_usd: float | None = None


@dataclass(frozen=True)
class Mention:
    """Something found, and what it means."""

    found: Found
    token_id: int | None
    resolution: str
    candidates: tuple[int, ...]
    confidence: float


# What was known at a moment of a token's size; None: nothing.
SizeAt = Callable[[int, datetime], Size | None]


class TokenBook:
    """The known tokens by everything that posts call them by."""

    def __init__(self, tokens: Iterable[KnownToken]) -> None:
        """`tokens`: all that are known, whenever they became known."""
        self.by_address: dict[str, list[tuple[KnownToken, datetime]]] = {}
        self.by_ticker: dict[str, list[KnownToken]] = {}
        self.by_name: dict[tuple[str, ...], list[KnownToken]] = {}
        self.by_joined_name: dict[str, list[KnownToken]] = {}
        for token in tokens:
            self.by_address.setdefault(comparable_address(token.address), []).append((token, token.known_since))
            for pool in token.pools:
                self.by_address.setdefault(comparable_address(pool.address), []).append((token, pool.known_since))
            if token.ticker:
                self.by_ticker.setdefault(token.ticker, []).append(token)
            if token.name:
                self.by_name.setdefault(token.name, []).append(token)
                self.by_joined_name.setdefault("".join(token.name), []).append(token)
        self.names: Names = name_index(self.by_name)

    def candidates(self, found: Found, at: datetime) -> list[KnownToken]:
        """The tokens known at a moment that this could mean, by id."""
        if found.kind == "cashtag":
            could_be = self.by_ticker.get(found.key[1:], [])
        elif found.kind == "hashtag":
            word = found.key[1:]
            could_be = [*self.by_ticker.get(word.upper(), []), *self.by_joined_name.get(word, [])]
        elif found.kind == "name":
            could_be = self.by_name.get(tuple(found.key.split(" ")), [])
        else:
            could_be = [token for token, since in self.by_address.get(found.key, []) if since <= at]
        known = {token.token_id: token for token in could_be if token.known_since <= at}
        return [known[token_id] for token_id in sorted(known)]


@dataclass(frozen=True)
class _Evidence:
    """What a post says beside a mention."""

    at: datetime
    reading: Reading
    book: TokenBook
    size_at: SizeAt
    addressed: dict[int, str]
    foreign_address: bool
    chains: frozenset[str]
    handles: frozenset[str]
    tickers: frozenset[str]
    many_tickers: bool


def resolve(reading: Reading, author_name: str | None, at: datetime, book: TokenBook, size_at: SizeAt) -> list[Mention]:
    """What each of a post's mentions means, as could be known at `at`. Common words that are also names are left out."""
    evidence = _evidence(reading, author_name, at, book, size_at)
    mentions = [_resolved(found, book.candidates(found, at), evidence) for found in reading.found]
    return [
        mention
        for mention in mentions
        if mention.found.kind != "name" or mention.token_id is not None or is_distinctive(tuple(mention.found.key.split(" ")))
    ]


def _evidence(reading: Reading, author_name: str | None, at: datetime, book: TokenBook, size_at: SizeAt) -> _Evidence:
    addressed: dict[int, str] = {}
    foreign = False
    for found in reading.found:
        if found.kind in ("address", "link"):
            meant = book.candidates(found, at)
            foreign = foreign or not meant
            if len(meant) == 1:
                addressed.setdefault(meant[0].token_id, found.kind)
    tickers = frozenset(found.key[1:].upper() for found in reading.found if found.kind in ("cashtag", "hashtag"))
    cashtags = {found.key for found in reading.found if found.kind == "cashtag"}
    handles = {handle.lower().replace("_", "") for handle in reading.handles}
    if author_name:
        handles.add(author_name.lower().replace("_", ""))
    return _Evidence(
        at=at,
        reading=reading,
        book=book,
        size_at=size_at,
        addressed=addressed,
        foreign_address=foreign,
        chains=_chains_named(reading),
        handles=frozenset(handles),
        tickers=tickers,
        many_tickers=len(cashtags) > MOST_TICKERS_BORNE_OUT,
    )


def _chains_named(reading: Reading) -> frozenset[str]:
    tags = {found.key[1:].lower() for found in reading.found if found.kind == "hashtag"}
    chains = {_CHAIN_WORDS[tag] for tag in tags if tag in _CHAIN_WORDS}
    words = ("", *reading.words, "")
    for before, word, after in zip(words, words[1:], words[2:], strict=False):
        if word in _CHAIN_WORDS and (
            word not in _WORDLIKE_CHAINS or before == "on" or after in ("chain", "network", "blockchain")
        ):
            chains.add(_CHAIN_WORDS[word])
    return frozenset(chains)


def _resolved(found: Found, candidates: Sequence[KnownToken], evidence: _Evidence) -> Mention:
    ids = tuple(token.token_id for token in candidates[:MOST_CANDIDATES])
    if not candidates:
        return Mention(found, None, "unknown", (), 0.0)
    token, resolution = _decide(found, candidates, evidence)
    confidence = CONFIDENCES[resolution] * (HASHTAG_SHARE if found.kind == "hashtag" else 1.0)
    return Mention(found, token.token_id if token else None, resolution, ids, confidence)


def _decide(found: Found, candidates: Sequence[KnownToken], evidence: _Evidence) -> tuple[KnownToken | None, str]:
    if found.kind in ("address", "link"):
        return _decide_address(found.kind, candidates, evidence)
    named = [token for token in candidates if token.token_id in evidence.addressed]
    if len(named) == 1:
        return named[0], evidence.addressed[named[0].token_id]
    # A contract that nobody knows stands beside the ticker: most likely that one is meant, or is to be mistaken for another.
    if named or evidence.foreign_address:
        return None, "ambiguous"
    established = [token for token in candidates if _is_established(token, evidence)]
    for resolution, bears_out in _BORNE_OUT_BY.items():
        if resolution == "ticker_and_name" and found.kind == "name":
            borne_out = [token for token in candidates if token.ticker in evidence.tickers and _has_own_name(token)]
        else:
            borne_out = [token for token in candidates if bears_out(token, evidence)]
        if len(borne_out) == 1 and (
            found.kind != "name" or resolution == "ticker_and_name" or is_distinctive(borne_out[0].name)
        ):
            token = borne_out[0]
            return (None, "ambiguous") if _copies(token, evidence) else (token, resolution)
    if evidence.many_tickers or not _may_be_dominant(found):
        return None, "ambiguous"
    if len(established) == 1 and all(
        _dwarfs(established[0], other, evidence) for other in candidates if other is not established[0]
    ):
        return established[0], "dominant_name" if found.kind == "name" else "dominant_ticker"
    return None, "ambiguous"


def _decide_address(kind: str, candidates: Sequence[KnownToken], evidence: _Evidence) -> tuple[KnownToken | None, str]:
    """One address may stand for a contract on several chains."""
    if len(candidates) == 1:
        return candidates[0], kind
    on_chain = [token for token in candidates if token.chain in evidence.chains]
    return (on_chain[0], kind) if len(on_chain) == 1 else (None, "ambiguous")


def _may_be_dominant(found: Found) -> bool:
    """Words that people use for other things are names only where the post says more."""
    if found.kind == "cashtag":
        return True
    return is_distinctive(tuple(found.key.lstrip("#").split(" ")))


def _says_name(token: KnownToken, evidence: _Evidence) -> bool:
    """Its name stands there; a name that is only the ticker again says nothing more."""
    return _has_own_name(token) and evidence.reading.says(token.name)


def _has_own_name(token: KnownToken) -> bool:
    return "".join(token.name).upper() != token.ticker


def _copies(token: KnownToken, evidence: _Evidence) -> bool:
    """Whether it bears the symbol of an established token and is not established itself: it has to be named by address."""
    if _is_established(token, evidence):
        return False
    same_ticker = evidence.book.by_ticker.get(token.ticker, [])
    return any(other.known_since <= evidence.at and _is_established(other, evidence) for other in same_ticker)


def _names_handle(token: KnownToken, evidence: _Evidence) -> bool:
    joined = re.sub(r"\W", "", "".join(token.name))
    return len(joined) >= SHORTEST_HANDLE_NAME and any(joined + tail in evidence.handles for tail in _HANDLE_TAILS)


def _names_chain(token: KnownToken, evidence: _Evidence) -> bool:
    # The chain's own coin is named by the chain's name whatever is meant.
    return token.chain in evidence.chains and _CHAIN_WORDS.get(token.ticker.lower()) != token.chain


_BORNE_OUT_BY: dict[str, Callable[[KnownToken, _Evidence], bool]] = {
    "ticker_and_name": _says_name,
    "ticker_and_handle": _names_handle,
    "ticker_and_chain": _names_chain,
}


def _is_established(token: KnownToken, evidence: _Evidence) -> bool:
    size = evidence.size_at(token.token_id, evidence.at)
    if size is None or evidence.at - token.exists_since(evidence.at) < ESTABLISHED_AGE:
        return False
    return (size.volume_24h_usd or 0.0) >= ESTABLISHED_VOLUME_24H_USD and (
        size.liquidity_usd is None or size.liquidity_usd >= ESTABLISHED_LIQUIDITY_USD
    )


def _dwarfs(large: KnownToken, small: KnownToken, evidence: _Evidence) -> bool:
    size, other = evidence.size_at(large.token_id, evidence.at), evidence.size_at(small.token_id, evidence.at)
    if size is None:
        return False
    if other is None:
        return True
    pairs = ((size.volume_24h_usd, other.volume_24h_usd), (size.liquidity_usd, other.liquidity_usd))
    return all(mine is None or theirs is None or mine >= DWARFS * theirs for mine, theirs in pairs)
