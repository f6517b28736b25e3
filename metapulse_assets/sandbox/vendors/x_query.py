"""X's search language, as far as clients use it: words, phrases, $cashtags, #hashtags, OR, groups, negation, operators.

Turns a question into a judge of posts, or says in X's manner what is wrong with it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from metapulse_assets.sandbox.posts import SandboxPost

LONGEST_QUERY: Final = 512
Judge = Callable[[SandboxPost], bool]
_TOKEN: Final = re.compile(r'\s*(-?"[^"]*"|-?\(|\)|[^\s()"]+)')
_OPERATOR: Final = re.compile(r"(is|has|lang|from|url|min_likes|min_faves):(.+)", re.ASCII)
_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|_")
_REPOST, _REPLY, _QUOTE = "retweeted", "replied_to", "quoted"
CASHTAG: Final = re.compile(r"(?<![\w$])\$([A-Za-z]{1,6}(?:[._][A-Za-z]{1,2})?)(?![A-Za-z0-9_])", re.ASCII)
HASHTAG: Final = re.compile(r"(?<![\w&#])#(\w*[^\W\d_]\w*)")
URL: Final = re.compile(r"https?://[^\s<>\"']+")


class QueryError(ValueError):
    """A question that X would refuse, with its words for it."""


def judge_of(query: str) -> Judge:
    """The judge of a question; raises `QueryError`."""
    if len(query) > LONGEST_QUERY:
        raise QueryError(f"The length of the `query` parameter ({len(query)}) is greater than the maximum ({LONGEST_QUERY})")
    tokens = _tokens(query)
    if not tokens:
        raise QueryError("Invalid 'query':''. 'query' must be a non-empty string")
    parser = _Parser(tokens)
    judge = parser.either()
    if parser.rest():
        raise QueryError(f"There were errors processing your request: no viable alternative at input '{parser.rest()[0]}'")
    if not parser.standalone:
        raise QueryError("There were errors processing your request: your query needs an operator that can stand alone")
    return judge


def _tokens(query: str) -> list[str]:
    tokens, place = [], 0
    text = query.strip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise QueryError(f"There were errors processing your request: missing '\"' at position {place + 1}")
        tokens.append(found.group(1))
        place = found.end()
    return tokens


class _Parser:
    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = list(tokens)
        self.standalone = False

    def rest(self) -> list[str]:
        return self._tokens

    def either(self) -> Judge:
        parts = [self._both()]
        while self._tokens and self._tokens[0] == "OR":
            self._tokens.pop(0)
            parts.append(self._both())
        return lambda post: any(part(post) for part in parts)

    def _both(self) -> Judge:
        parts = []
        while self._tokens and self._tokens[0] not in (")", "OR"):
            parts.append(self._one())
        if not parts:
            raise QueryError("There were errors processing your request: a group or OR has nothing beside it")
        return lambda post: all(part(post) for part in parts)

    def _one(self) -> Judge:
        part = self._tokens.pop(0)
        negated = part.startswith("-") and len(part) > 1
        part = part[1:] if negated else part
        if part == "(":
            inner = self.either()
            if not self._tokens or self._tokens.pop(0) != ")":
                raise QueryError("There were errors processing your request: missing ')'")
        else:
            inner = self._leaf(part, negated)
        return (lambda post: not inner(post)) if negated else inner

    def _leaf(self, token: str, negated: bool) -> Judge:
        operator = _OPERATOR.fullmatch(token)
        if operator:
            return _operator_judge(*operator.groups())
        self.standalone |= not negated
        if token.startswith("$"):
            wanted = token[1:].lower()
            return lambda post: wanted in _text_of(post.text).cashtags
        if token.startswith("#"):
            wanted = token[1:].lower()
            return lambda post: wanted in _text_of(post.text).hashtags
        words = _words(token.strip('"'))
        if not words:
            raise QueryError(f"There were errors processing your request: '{token}' has no word in it")
        return lambda post: _text_of(post.text).holds(words)


def _operator_judge(name: str, value: str) -> Judge:
    if name == "lang":
        return lambda post: post.lang == value
    if name == "from":
        return lambda post: post.author.username.lower() == value.lower()
    if name in ("min_likes", "min_faves") and value.isdecimal():
        return lambda post: post.reactions.likes >= int(value)
    if name == "has":
        pattern = {"cashtags": CASHTAG, "hashtags": HASHTAG, "links": URL}.get(value)
        if pattern is not None:
            return lambda post: pattern.search(post.text) is not None
    if name == "is":
        kind = {"retweet": _REPOST, "reply": _REPLY, "quote": _QUOTE}.get(value)
        if kind is not None:
            return lambda post: any(reference == kind for reference, _ in post.references)
        if value == "nullcast":
            return lambda post: False
    if name == "url":
        return lambda post: any(value.strip('"').lower() in url.lower() for url in URL.findall(post.text))
    raise QueryError(f"There were errors processing your request: Reference to invalid operator '{name}:{value}'")


@dataclass(frozen=True, slots=True)
class _Text:
    """A text as it is searched; a question asks the same of it many times."""

    words: tuple[str, ...]
    distinct: frozenset[str]
    cashtags: frozenset[str]
    hashtags: frozenset[str]

    def holds(self, wanted: tuple[str, ...]) -> bool:
        """Whether the wanted words stand side by side."""
        if not self.distinct.issuperset(wanted):
            return False
        size = len(wanted)
        return size == 1 or any(self.words[place : place + size] == wanted for place in range(len(self.words) - size + 1))


@lru_cache(maxsize=50_000)
def _text_of(text: str) -> _Text:
    words = _words(text)
    cashtags = frozenset(tag.lower() for tag in CASHTAG.findall(text))
    return _Text(words, frozenset(words), cashtags, frozenset(tag.lower() for tag in HASHTAG.findall(text)))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORD.findall(text))
