"""Who speaks of what, as arrays: the posts of a span by subject and author, and each author's one vote in a window.

A subject is a token or a topic, as a number. Times are microseconds since 1970. No database.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

HOUR = 3_600_000_000
DAY = 24 * HOUR
# Posts of one author beyond these in a window are not counted: one person cannot make a crowd. Own choice.
POSTS_AN_AUTHOR = 3


@dataclass(frozen=True)
class Voices:
    """One row a post and subject: subjects together, in each the authors together, in each by time, newest first.

    `post`: a number that stands for it, and tells posts of one moment apart; `meaning`: the token meant, or -1;
    `tagged`: named by a hashtag.
    """

    subject: Ints
    author: Ints
    observed: Ints
    post: Ints
    meaning: Ints
    available: Ints
    text: Ints
    score: Floats
    automated: Flags
    scam: Flags
    tagged: Flags

    @classmethod
    def sorted_from(cls, **columns: npt.NDArray[Any]) -> Self:
        """The same rows in the order that everything here relies on."""
        order = np.lexsort((-columns["post"], -columns["observed"], columns["author"], columns["subject"]))
        return cls(**{name: values[order] for name, values in columns.items()})

    def take(self, rows: npt.NDArray[Any]) -> Self:
        """Some rows; `rows` must keep their order."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def known_at(self, as_of: int, span: int) -> Self:
        """The posts of the span up to a moment that could be used by then."""
        return self.take((self.observed > as_of - span) & (self.observed <= as_of) & (self.available <= as_of))

    @property
    def eligible(self) -> Flags:
        """Posts whose sentiment is heard."""
        return ~(self.automated | self.scam)

    def first_of_author(self, window: Ints | None = None) -> Flags:
        """Each author's newest post about a subject; `window`: apart in each window, ascending with age."""
        if not len(self.subject):
            return np.zeros(0, np.bool_)
        new = (np.diff(self.subject) != 0) | (np.diff(self.author) != 0)
        if window is not None:
            new |= np.diff(window) != 0
        return np.concatenate(([True], new))


def hours_ago(voices: Voices, as_of: int) -> Ints:
    """In which hour before a moment each post lies: 0 for the last, which ends with the moment itself."""
    return (as_of - voices.observed) // HOUR


def distinct_texts(voices: Voices, window: Ints) -> npt.NDArray[np.intp]:
    """Rows with the first of each text of a subject and window: of copies, one is heard."""
    # One number for subject, window and text; texts are hashes already, so that two alike by chance are no concern.
    group = (voices.subject * _MOST_WINDOWS + window).astype(np.uint64) * _SPREAD
    _, first = np.unique(voices.text.astype(np.uint64) ^ group, return_index=True)
    return np.sort(first)


# More than the windows of any moment, and a large odd number that takes small ones far apart.
_MOST_WINDOWS, _SPREAD = 1 << 10, np.uint64(0x9E37_79B9_7F4A_7C15)


def counted_posts(voices: Voices, n_subjects: int) -> Ints:
    """Posts a subject, at most `POSTS_AN_AUTHOR` of one author."""
    starts = np.flatnonzero(voices.first_of_author())
    sizes = np.diff(np.append(starts, len(voices.subject)))
    counted = np.minimum(sizes, POSTS_AN_AUTHOR)
    return np.bincount(voices.subject[starts], counted, n_subjects).astype(np.int64)


def counted_authors(voices: Voices, n_subjects: int) -> Ints:
    """Distinct authors a subject."""
    return np.bincount(voices.subject[voices.first_of_author()], minlength=n_subjects)


def mean_sentiment(voices: Voices, n_subjects: int) -> tuple[Floats, Floats]:
    """Mean score a subject over eligible posts, one an author, copies once; and the sum of its strong scores."""
    heard = heard_voices(voices)
    counts = np.bincount(heard.subject, minlength=n_subjects)
    sums = np.bincount(heard.subject, heard.score, n_subjects)
    strong = np.where(np.abs(heard.score) >= STRONG, heard.score, 0.0)
    balance = np.bincount(heard.subject, strong, n_subjects)
    with np.errstate(invalid="ignore"):
        means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return np.clip(means, -1.0, 1.0), np.where(counts > 0, balance, np.nan)


# Scores from here on are sure enough for a balance: Santiment's 0.7.
STRONG = 0.7


def heard_voices(voices: Voices, window: Ints | None = None) -> Voices:
    """The posts whose sentiment counts: eligible, one an author (and window), copies once."""
    eligible = voices.eligible
    heard, of_window = voices.take(eligible), None if window is None else window[eligible]
    newest = heard.first_of_author(of_window)
    heard, of_window = heard.take(newest), None if of_window is None else of_window[newest]
    return heard.take(distinct_texts(heard, np.zeros(len(heard.subject), np.int64) if of_window is None else of_window))
