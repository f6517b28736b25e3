"""The people who post about simulated tokens: a fixed cast with names, ages and followers. What they write is in ``posts``."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from metapulse_assets.sandbox.posts import Author, post_id_at
from metapulse_assets.sandbox.synthetic.posts_texts import BIG_NAMES, NAME_HEADS, NAME_TAILS

_PEOPLE: Final = 1000
_BOTS: Final = 150
_SCAMMERS: Final = 60
_SEED: Final = 0x50_45_4F_50
# Accounts of people were opened between 2011-01-01 and 2025-06-01, those of bots and scammers in the months after.
_OPENED: Final = (1293840000.0, 1748736000.0)
_LATELY: Final = (1748736000.0, 1758000000.0)


@dataclass(frozen=True)
class Cast:
    """Accounts by what they do."""

    people: tuple[Author, ...]
    known: tuple[Author, ...]
    bots: tuple[Author, ...]
    scammers: tuple[Author, ...]

    def all(self) -> tuple[Author, ...]:
        """Everybody."""
        return (*self.people, *self.known, *self.bots, *self.scammers)


def make_cast() -> Cast:
    """The same cast in every process."""
    rng = np.random.default_rng(_SEED)
    people = tuple(_person(rng, number) for number in range(_PEOPLE))
    known = tuple(
        _author(rng, name, name, _OPENED, int(10 ** rng.uniform(4.7, 6.2)), number)
        for number, name in enumerate(BIG_NAMES, _PEOPLE)
    )
    bots = tuple(
        _author(
            rng, f"{_pick(rng, NAME_HEADS)}{rng.integers(10**7, 10**8)}", "gem hunter", _LATELY, int(rng.integers(0, 40)), n
        )
        for n in range(2000, 2000 + _BOTS)
    )
    scammers = tuple(
        _author(rng, f"{_pick(rng, NAME_TAILS)}_support{n % 100:02d}", "Help Desk", _LATELY, int(rng.integers(0, 900)), n)
        for n in range(3000, 3000 + _SCAMMERS)
    )
    return Cast(people, known, bots, scammers)


def _person(rng: np.random.Generator, number: int) -> Author:
    head, tail = _pick(rng, NAME_HEADS), _pick(rng, NAME_TAILS)
    # The number keeps two of the same name apart.
    handle = f"{head}_{tail}"[:11] + str(number)
    return _author(rng, handle, f"{head.title()} {tail.title()}", _OPENED, int(rng.lognormal(5.5, 1.6)), number)


def _author(
    rng: np.random.Generator, handle: str, name: str, opened: tuple[float, float], followers: int, number: int
) -> Author:
    at = float(rng.uniform(*opened))
    return Author(
        str(post_id_at(at, number)),
        handle[:15],
        name,
        round(at),
        followers,
        int(rng.lognormal(5.5, 1.0)),
        int(rng.lognormal(7, 1.5)),
    )


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]
