"""Questions to X about tokens: what of a token can be searched for, and how several fit into one question.

Symbols and names are written by a token's maker. Only what is of a known harmless form becomes part of a question, and nothing
of it can act as an operator. Which questions stand and how far each was read is `query_cursors`' business.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metapulse_assets.vendors.x import LONGEST_QUERY

# Reposts say what was said already, and cost as much.
OPERATORS = "-is:retweet"
# X knows a cashtag as a dollar sign and up to this many letters; own choice: longer symbols are searched as hashtags.
_CASHTAG = re.compile(r"[A-Za-z]{2,6}", re.ASCII)
_HASHTAG = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_]{4,30}", re.ASCII)
_ADDRESS = re.compile(r"[A-Za-z0-9]{20,66}", re.ASCII)
# A name of one word is a word like others; of two or more it names something (own choice).
_NAME = re.compile(r"[^\W_]+(?:[ .'’&-]{1,2}[^\W_]+)+")
SHORTEST_NAME, LONGEST_NAME = 6, 40


@dataclass(frozen=True)
class TokenWords:
    """What a token is called. `volume_usd` is that of its last day, 0 where it is not known."""

    token_id: int
    chain: str
    address: str
    symbol: str
    name: str
    volume_usd: float = 0.0


def clause_of(token: TokenWords) -> str:
    """What to search for: cashtag or hashtag, name and contract address, joined by OR; empty if nothing of it can be."""
    return " OR ".join(dict.fromkeys(_terms(token)))


def question_of(clauses: Sequence[str]) -> str:
    """One question for all of the clauses."""
    return f"({' OR '.join(clauses)}) {OPERATORS}"


def fits(clauses: Sequence[str]) -> bool:
    """Whether a question of these clauses is short enough."""
    return len(question_of(clauses)) <= LONGEST_QUERY


def pack(tokens: Iterable[TokenWords]) -> list[list[TokenWords]]:
    """The tokens in groups that each fit into one question, highest volume first; those without words are left out."""
    groups: list[list[TokenWords]] = []
    for token in by_volume(tokens):
        if not clause_of(token):
            continue
        if groups and fits([clause_of(member) for member in (*groups[-1], token)]):
            groups[-1].append(token)
        else:
            groups.append([token])
    return groups


def by_volume(tokens: Iterable[TokenWords]) -> list[TokenWords]:
    """Highest volume first, in a fixed order."""
    return sorted(tokens, key=lambda token: (-token.volume_usd, token.token_id))


def _terms(token: TokenWords) -> list[str]:
    symbol = _plain(token.symbol).removeprefix("$")
    name = _plain(token.name)
    terms = []
    if _CASHTAG.fullmatch(symbol):
        terms.append(f"${symbol.upper()}")
    elif _HASHTAG.fullmatch(symbol):
        terms.append(f"#{symbol}")
    # Quoted, so that a word of it that means something to X's search is a word again.
    if SHORTEST_NAME <= len(name) <= LONGEST_NAME and _NAME.fullmatch(name):
        terms.append(f'"{name}"')
    if _ADDRESS.fullmatch(token.address):
        terms.append(token.address)
    return terms


def _plain(text: str) -> str:
    """A text in one spelling, spaces evened out."""
    return " ".join(unicodedata.normalize("NFKC", text).split())
