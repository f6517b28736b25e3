"""Finding what a post names: cashtags, hashtags, contract addresses, links to pools and tokens, names of known tokens.

Which token is meant is `mention_resolving.py`'s to say. No database.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from metapulse_assets.social.text_cleaning import Cleaned, clean

# A post that names more is a list, and says nothing about any of them. Own choice.
MOST_MENTIONS = 40
LONGEST_NAME_WORDS = 4

# Tickers hold letters, and may begin with a digit; amounts such as $5 and $10k are none.
_CASHTAG = re.compile(r"(?<![\w$])\$(?=\d{0,3}[^\W\d_])(\w{1,20})\b")
_AMOUNT = re.compile(r"\d+(?:k|m|b|bn|mn|t|mil|million|billion|usd|x)?", re.IGNORECASE)
_HASHTAG = re.compile(r"(?<![\w#&])#(?=\w*[^\W\d_])(\w{2,50})\b")
# 40 digits on EVM chains; more, and a type behind them, on Sui and Aptos.
_EVM_ADDRESS = re.compile(r"(?<![0-9A-Za-z])0x[0-9a-fA-F]{40,64}(?:::\w{1,40}::\w{1,40})?(?![0-9A-Za-z])")
_BASE58_ADDRESS = re.compile(r"(?<![0-9A-Za-z])[1-9A-HJ-NP-Za-km-z]{32,44}(?![0-9A-Za-z])")
_LINK = re.compile(r"(?:https?://|www\.)[^\s<>\"']+", re.IGNORECASE)
_HANDLE = re.compile(r"(?<![\w@])@(\w{1,30})")
_WORD = re.compile(r"[^\W_]+(?:['.-][^\W_]+)*")
# DexScreener writes /<chain>/<pool or token>, GeckoTerminal /<network>/pools/<pool>, and so on: whatever the page, an address
# in the path is what it shows.
CHAIN_PAGES = (
    *(
        "dexscreener.com",
        "geckoterminal.com",
        "birdeye.so",
        "pump.fun",
        "raydium.io",
        "jup.ag",
        "solscan.io",
        "photon-sol.tinyastro.io",
    ),
    *(
        "etherscan.io",
        "basescan.org",
        "bscscan.com",
        "dextools.io",
        "uniswap.org",
        "defined.fi",
        "gmgn.ai",
        "bullx.io",
        "axiom.trade",
    ),
)


@dataclass(frozen=True)
class Found:
    """Something named. `key`: its normal form, by which it is compared: `$PEPE`, `#pepe`, a name in lower case, an address.

    `start` and `end` are code points of the post as it was given, end exclusive.
    """

    kind: str
    key: str
    start: int
    end: int


@dataclass(frozen=True)
class Reading:
    """What was found in a post, in the order of the text; its words and handles in lower case, as evidence."""

    found: tuple[Found, ...]
    words: tuple[str, ...]
    handles: frozenset[str]

    def says(self, words: tuple[str, ...]) -> bool:
        """Whether these words stand in the post side by side."""
        if not words or words[0] not in self.words:
            return False
        length = len(words)
        return any(self.words[at : at + length] == words for at in range(len(self.words) - length + 1))


Names = Mapping[str, frozenset[tuple[str, ...]]]


def name_index(names: Iterable[tuple[str, ...]]) -> Names:
    """Names, as words in lower case, by their first word."""
    by_first: dict[str, set[tuple[str, ...]]] = {}
    for name in names:
        if name:
            by_first.setdefault(name[0], set()).add(name)
    return {first: frozenset(all_of_it) for first, all_of_it in by_first.items()}


def read_post(text: str, names: Names = MappingProxyType({}), urls: Collection[str] = ()) -> Reading:
    """Everything that a post names. `names`: those of known tokens; `urls`: its links, unshortened.

    A link that the text only shows shortened is placed at the shortened one, or at the text's end.
    """
    cleaned = clean(text)
    found = [*_links(cleaned, urls, len(text)), *_addresses(cleaned)]
    found += [*_cashtags(cleaned), *_hashtags(cleaned)]
    # What is inside a handle, a ticker or a link was not said in words.
    said = _LINK.sub(" ", _HANDLE.sub(" ", _CASHTAG.sub(" ", cleaned.text)))
    words = tuple(word.group().lower() for word in _WORD.finditer(said))
    if names:
        found += _names(cleaned, names)
    found = _without_overlaps(found)
    handles = frozenset(handle.lower() for handle in _HANDLE.findall(cleaned.text))
    return Reading(tuple(found[:MOST_MENTIONS]), words, handles)


def words_of(name: str) -> tuple[str, ...]:
    """A token's name as words in lower case, cleaned as posts are; empty for one that is too long to be one."""
    words = tuple(word.group().lower() for word in _WORD.finditer(clean(name[:100]).text))
    return words if len(words) <= LONGEST_NAME_WORDS else ()


def ticker_of(symbol: str) -> str:
    """A token's symbol as posts' tickers are compared: cleaned, upper case, without $."""
    return clean(symbol[:50]).text.strip().lstrip("$#").upper()


def _cashtags(cleaned: Cleaned) -> Iterator[Found]:
    for match in _CASHTAG.finditer(cleaned.text):
        if not _AMOUNT.fullmatch(match.group(1)):
            yield Found("cashtag", f"${match.group(1).upper()}", *cleaned.span(*match.span()))


def _hashtags(cleaned: Cleaned) -> Iterator[Found]:
    for match in _HASHTAG.finditer(cleaned.text):
        yield Found("hashtag", f"#{match.group(1).lower()}", *cleaned.span(*match.span()))


def _addresses(cleaned: Cleaned) -> Iterator[Found]:
    for match in _EVM_ADDRESS.finditer(cleaned.text):
        yield Found("address", comparable_address(match.group()), *cleaned.span(*match.span()))
    for match in _BASE58_ADDRESS.finditer(cleaned.text):
        if _looks_random(match.group()):
            yield Found("address", match.group(), *cleaned.span(*match.span()))


def _links(cleaned: Cleaned, urls: Collection[str], length: int) -> Iterator[Found]:
    """Links that hold an address; those given apart are not all in the text."""
    shown = list(_LINK.finditer(cleaned.text))
    shortened = [match for match in shown if address_in_link(match.group()) is None]
    for match in shown:
        if address := address_in_link(match.group()):
            yield Found("link", address, *cleaned.span(*match.span()))
    seen = {address_in_link(match.group()) for match in shown}
    for url in urls:
        address = address_in_link(url)
        if address is None or address in seen or not length:
            continue
        seen.add(address)
        span = cleaned.span(*shortened.pop(0).span()) if shortened else (length - 1, length)
        yield Found("link", address, *span)


def address_in_link(url: str) -> str | None:
    """The address that a page about a pool or a token is about; None for any other link."""
    rest = clean(url).text.split("://", 1)[-1]
    host, _, path = rest.partition("/")
    host = host.lower().removeprefix("www.")
    if not any(host == page or host.endswith(f".{page}") for page in CHAIN_PAGES):
        return None
    if match := _EVM_ADDRESS.search(path):
        return comparable_address(match.group())
    match = next((found for found in _BASE58_ADDRESS.finditer(path) if _looks_random(found.group())), None)
    return match.group() if match else None


def _looks_random(text: str) -> bool:
    """An address and not a long word: digits, capitals and small letters all there."""
    return any(s.isdigit() for s in text) and any(s.isupper() for s in text) and any(s.islower() for s in text)


def _names(cleaned: Cleaned, names: Names) -> Iterator[Found]:
    places = list(_WORD.finditer(cleaned.text))
    words = [match.group().lower() for match in places]
    at = 0
    while at < len(words):
        length = 0
        if known := names.get(words[at]):
            longest = min(LONGEST_NAME_WORDS, len(words) - at)
            length = next((n for n in range(longest, 0, -1) if tuple(words[at : at + n]) in known), 0)
        # What follows $, # or @ is a ticker, a topic or a person.
        if length and (places[at].start() == 0 or cleaned.text[places[at].start() - 1] not in "$#@"):
            span = cleaned.span(places[at].start(), places[at + length - 1].end())
            yield Found("name", " ".join(words[at : at + length]), *span)
        at += length or 1


def _without_overlaps(found: list[Found]) -> list[Found]:
    """In the order of the text; of two that overlap, the one listed first."""
    kept: list[Found] = []
    for one in found:
        if all(one.end <= other.start or one.start >= other.end for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda one: (one.start, one.end))


def comparable_address(address: str) -> str:
    """The one spelling by which addresses are compared here: lower case where case means nothing."""
    return address.lower() if address[:2] in ("0x", "0X") else address
