"""Posts about simulated tokens, made from what the market did: a pure function of the market's time.

They come in slots of half an hour. What is written in a slot follows from the market at its start, so that nobody writes of
what is still to come. Volume follows turnover and the price's moves, moods follow its direction.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from metapulse_assets.sandbox.market import WINDOW_NAMES, Market, Pool, Token
from metapulse_assets.sandbox.posts import Author, Reactions, SandboxPost, post_id_at
from metapulse_assets.sandbox.synthetic import posts_texts as texts
from metapulse_assets.sandbox.synthetic.authors import make_cast
from metapulse_assets.sandbox.synthetic.noise import Floats

T = TypeVar("T")

SLOT_SECONDS: Final = 1800
_KEPT_SLOTS: Final = 700
# Expected posts in a slot, all tokens together, at most.
_MOST_EXPECTED: Final = 180.0
_BUSY_CHANGE: Final = 5.0
_MOOD_CHANGE: Final = 1.5
# On a day that a token moves by so much, one crowd in so many is of one mind, and speaks more.
_UNITING_CHANGE: Final = 6.0
_ONE_UNITED_IN: Final = 4
_UNITED_FACTOR: Final = 2.5
_HOUR: Final = WINDOW_NAMES.index("h1")
_DAY: Final = WINDOW_NAMES.index("h24")
# What a writer does: shares of statements, replies, quotes, reposts, news, bots' bursts, scams, odd letters, injections.
_ACTS: Final = ("statement", "reply", "quote", "repost", "news", "bots", "scam", "odd", "injection")
_SHARES: Final = np.array([0.58, 0.14, 0.05, 0.06, 0.04, 0.04, 0.05, 0.025, 0.015])


@dataclass(frozen=True, slots=True)
class _Topic:
    """A token at the start of a slot."""

    pool: Pool
    price: float
    change: float
    day_change: float
    expected: float
    united: bool

    @property
    def mood(self) -> str:
        if self.united:
            return "up" if self.day_change > 0 else "down"
        return "up" if self.change > _MOOD_CHANGE else "down" if self.change < -_MOOD_CHANGE else "flat"


class SyntheticPosts:
    """Posts about the tokens of a simulated market (see ``PostSource`` for the methods)."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._cast = make_cast()
        self._by_name = {author.username.lower(): author for author in self._cast.all()}
        self._by_id = {author.id: author for author in self._cast.all()}
        self._slots: OrderedDict[int, list[SandboxPost]] = OrderedDict()

    def newest_first(self, start: float, end: float) -> Iterator[SandboxPost]:
        """Posts with ``start <= at < end``, newest first; slots are made as they are reached."""
        for slot in range(int(end // SLOT_SECONDS), int(start // SLOT_SECONDS) - 1, -1):
            for post in self._slot(slot):
                if start <= post.at < end:
                    yield post

    def author_named(self, username: str, t: float) -> Author | None:
        """The account of this name."""
        return self._by_name.get(username.lower())

    def author_with_id(self, author_id: str, t: float) -> Author | None:
        """The account with this id."""
        return self._by_id.get(author_id)

    def _slot(self, slot: int) -> list[SandboxPost]:
        """The posts of a slot, newest first."""
        if slot not in self._slots:
            made: dict[int, SandboxPost] = {}
            for topic in _topics(self._market, slot * SLOT_SECONDS):
                for post in self._posts_about(topic, slot):
                    made.setdefault(post.id, post)
            self._slots[slot] = sorted(made.values(), key=lambda post: -post.id)
            while len(self._slots) > _KEPT_SLOTS:
                self._slots.popitem(last=False)
        return self._slots[slot]

    def _posts_about(self, topic: _Topic, slot: int) -> list[SandboxPost]:
        token = topic.pool.base
        digest = hashlib.blake2b(f"{topic.pool.chain}:{token.address}:{slot}".encode(), digest_size=8).digest()
        rng = np.random.default_rng(int.from_bytes(digest, "big"))
        posts: list[SandboxPost] = []
        times = np.sort(slot * SLOT_SECONDS + rng.random(rng.poisson(topic.expected)) * SLOT_SECONDS)
        for at in times:
            posts += self._act(rng, topic, round(float(at), 3), posts)
        end = (slot + 1) * SLOT_SECONDS
        return [post for post in posts if post.at < end]

    def _act(self, rng: np.random.Generator, topic: _Topic, at: float, earlier: Sequence[SandboxPost]) -> list[SandboxPost]:
        act = _ACTS[int(rng.choice(len(_ACTS), p=_SHARES))]
        if act in ("reply", "quote", "repost") and not earlier:
            act = "statement"
        if act == "bots":
            return self._burst(rng, topic, at)
        if act == "scam":
            return [_post(rng, at, _any(rng, self._cast.scammers), _filled(rng, topic, _any(rng, texts.SCAMS)))]
        writer = _any(rng, self._cast.known if act == "news" or rng.random() < 0.02 else self._cast.people)
        if act == "news":
            return [_post(rng, at, writer, _filled(rng, topic, _any(rng, texts.NEWS)), topic)]
        if act == "injection":
            return [_post(rng, at, _any(rng, self._cast.scammers), _filled(rng, topic, _any(rng, texts.INJECTIONS)))]
        if act == "statement":
            return [_post(rng, at, writer, _statement(rng, topic), topic)]
        if act == "odd":
            return [_post(rng, at, writer, _odd(rng, _statement(rng, topic)), topic)]
        other = earlier[int(rng.integers(len(earlier)))]
        if act == "reply":
            text = f"@{other.author.username} {_filled(rng, topic, _any(rng, texts.REPLIES))}"
            return [_post(rng, at, writer, text, topic, (("replied_to", other.id),))]
        if act == "quote":
            text = f"{_filled(rng, topic, _any(rng, texts.QUOTES))} https://x.com/{other.author.username}/status/{other.id}"
            return [_post(rng, at, writer, text, topic, (("quoted", other.id),))]
        text = f"RT @{other.author.username}: {other.text}"[:140]
        return [_post(rng, at, writer, text, None, (("retweeted", other.id),))]

    def _burst(self, rng: np.random.Generator, topic: _Topic, at: float) -> list[SandboxPost]:
        """The same line from several accounts of a ring within minutes, a number apart."""
        line = _filled(rng, topic, _any(rng, texts.BOT_LINES), keep="{n}")
        first, ring = int(rng.integers(len(self._cast.bots))), len(self._cast.bots)
        posts = []
        for number in range(int(rng.integers(3, 7))):
            later = round(at + number * float(rng.uniform(5, 40)), 3)
            author = self._cast.bots[(first + number % 3) % ring]
            posts.append(_post(rng, later, author, line.replace("{n}", str(int(rng.integers(10, 10_000))))))
        return posts


def _topics(market: Market, t: float) -> list[_Topic]:
    """The tokens that somebody may write about at ``t``, one pool each."""
    catalogue = market.catalogue(t)
    first: dict[tuple[str, str], int] = {}
    for index, pool in enumerate(catalogue.pools):
        if pool.kind != "stable":
            first.setdefault((pool.chain, pool.base.address), index)
    places = list(first.values())
    if not places:
        return []
    snapshot = market.snapshot(places, t)
    change, day_change = np.nan_to_num(snapshot.change[:, _HOUR]), np.nan_to_num(snapshot.change[:, _DAY])
    united = np.array([_is_united(catalogue.pools[index], t) for index in places]) & (np.abs(day_change) > _UNITING_CHANGE)
    factor = np.where(united, _UNITED_FACTOR, 1.0)
    expected = _expected(np.nan_to_num(snapshot.volume[:, _DAY]), change, factor)
    return [
        _Topic(
            *(catalogue.pools[index], float(snapshot.price_usd[place]), float(change[place]), float(day_change[place])),
            *(float(expected[place]), bool(united[place])),
        )
        for place, index in enumerate(places)
    ]


def _is_united(pool: Pool, t: float) -> bool:
    """Whether a token's crowd is of one mind on the UTC day of a moment, should the token move."""
    digest = hashlib.blake2b(f"{pool.chain}:{pool.base.address}:{int(t // 86400)}".encode(), digest_size=1).digest()
    return digest[0] % _ONE_UNITED_IN == 0


def _expected(volume: Floats, change: Floats, factor: Floats) -> Floats:
    """Expected posts of each token: more for what is traded more, up to five times as many while it moves."""
    interest = 0.06 * factor * np.log10(1.0 + volume / 1000.0) ** 2
    expected = interest * (1.0 + np.minimum(np.abs(change) / _BUSY_CHANGE, 4.0))
    return np.asarray(expected * min(1.0, _MOST_EXPECTED / max(float(expected.sum()), 1e-9)))


def _statement(rng: np.random.Generator, topic: _Topic) -> str:
    mood = topic.mood if rng.random() < (0.97 if topic.united else 0.78) else _any(rng, ("up", "down", "flat"))
    parts = (_any(rng, texts.OPENERS), _any(rng, texts.STATEMENTS[mood]), _any(rng, texts.CLOSERS[mood]))
    text = _filled(rng, topic, "".join(parts))
    return text[:1].upper() + text[1:] if rng.random() < 0.3 else text


def _filled(rng: np.random.Generator, topic: _Topic, template: str, keep: str = "") -> str:
    """The template with what is in braces; names come in last, for they may hold braces of their own."""
    token = topic.pool.base
    values = {
        "{n}": str(int(rng.integers(2, 60))),
        "{pct}": f"{topic.change:+.1f}%",
        "{price}": f"${topic.price:.4g}",
        "{hash}": _bare(token.symbol) or "token",
        "{link}": f"https://dexscreener.com/{topic.pool.chain}/{topic.pool.address.lower()}",
        "{address}": token.address,
        "{tag}": _tag(rng, token),
    }
    for name, value in values.items():
        if name != keep:
            template = template.replace(name, value)
    return template.replace("\x00", "")


def _tag(rng: np.random.Generator, token: Token) -> str:
    """How a writer names a token."""
    symbol = token.symbol.removeprefix("$")
    cashtag = f"${symbol}" if symbol.isascii() and symbol.isalpha() and len(symbol) <= 6 else ""
    hashtag = f"#{_bare(token.symbol)}" if _bare(token.symbol) else ""
    name = token.name[:60] if token.name.strip() else token.address
    luck = rng.random()
    if luck < 0.45:
        return cashtag or name
    if luck < 0.57:
        return hashtag or name
    if luck < 0.72:
        return name
    if luck < 0.9:
        return f"{cashtag} ({name})" if cashtag else name
    return f"{cashtag or name} {token.address}"


def _bare(symbol: str) -> str:
    return "".join(sign for sign in symbol if sign.isascii() and sign.isalnum())


def _odd(rng: np.random.Generator, text: str) -> str:
    """The text with a trick of unicode."""
    trick = int(rng.integers(4))
    if trick == 0:
        return text.translate(texts.LOOK_ALIKES)
    if trick == 1:
        return texts.ZERO_WIDTH.join(text)[:250]
    if trick == 2:
        return f"{texts.RIGHT_TO_LEFT[0]}{text}{texts.RIGHT_TO_LEFT[1]}"
    return "".join(sign + texts.STACKED for sign in text)[:250]


def _post(
    rng: np.random.Generator,
    at: float,
    author: Author,
    text: str,
    topic: _Topic | None = None,
    references: tuple[tuple[str, int], ...] = (),
) -> SandboxPost:
    """A post; ``topic`` is given where people react to it."""
    reach = author.followers**0.55 * float(rng.lognormal(0.0, 0.8)) * (1.0 if topic else 0.15)
    likes = int(reach * 0.6)
    reactions = Reactions(
        likes,
        int(likes * rng.uniform(0.02, 0.3)),
        int(likes * rng.uniform(0.02, 0.35)),
        int(likes * 0.03),
        int(30 + reach * 40),
    )
    low = int(rng.integers(1 << 22))
    return SandboxPost(post_id_at(at, low), at, author, text[:4000], reactions, "en", references)


def _any(rng: np.random.Generator, choices: Sequence[T]) -> T:
    return choices[int(rng.integers(len(choices)))]
