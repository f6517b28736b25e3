"""Looking things up in rows that are sorted by token and time: first after, last before, extremes over a span.

Belongs here: the searching, for all questions at once. Does not: what is being looked for (`resolving`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]


class MomentIndex:
    """Rows by token and moment: int64 each, sorted by both; tokens times µs from the first to the last less than 2**63.

    Questions are arrays of tokens and moments; answers are places of rows, -1 where there is none. Raises ValueError for
    rows that are not sorted, or more than that apart.
    """

    def __init__(self, token_id: IntArray, moment: IntArray) -> None:
        self._tokens = np.unique(token_id)
        self._base = int(moment.min(initial=np.iinfo(np.int64).max)) - 1 if moment.size else 0
        self._span = int(moment.max()) - self._base + 2 if moment.size else 2
        if self._span * max(self._tokens.size, 1) >= 2**63:
            raise ValueError(f"{self._tokens.size} tokens over {self._span} µs are more than one index holds")
        self._token_of_row = token_id
        self._keys = self._key(token_id, moment)[0]
        unsorted = np.flatnonzero(self._keys[1:] < self._keys[:-1])
        if unsorted.size:
            raise ValueError(f"moment: row {unsorted[0] + 1} does not come after row {unsorted[0]}; sort by token and time")

    def first_from(self, token_id: IntArray, moment: IntArray) -> Places:
        """The first row of each token at or after each moment."""
        keys, known = self._key(token_id, moment)
        return self._of_token(np.searchsorted(self._keys, keys, "left"), token_id, known)

    def last_until(self, token_id: IntArray, moment: IntArray) -> Places:
        """The last row of each token at or before each moment."""
        keys, known = self._key(token_id, moment)
        return self._of_token(np.searchsorted(self._keys, keys, "right") - 1, token_id, known)

    def between(self, token_id: IntArray, start: IntArray, end: IntArray) -> tuple[Places, Places]:
        """Half-open ranges of each token's rows from `start` to `end`, both included; empty ones where there are none."""
        first, known = self._key(token_id, start)
        last, _ = self._key(token_id, end)
        begin = np.where(known, np.searchsorted(self._keys, first, "left"), 0)
        return begin, np.maximum(np.where(known, np.searchsorted(self._keys, last, "right"), 0), begin)

    def _key(self, token_id: IntArray, moment: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        rank = np.searchsorted(self._tokens, token_id)
        known = np.zeros(np.shape(token_id), np.bool_)
        if self._tokens.size:
            known = self._tokens[np.minimum(rank, self._tokens.size - 1)] == token_id
        within = np.clip(moment, self._base, self._base + self._span - 1) - self._base
        return rank.astype(np.int64) * self._span + within, known

    def _of_token(self, place: Places, token_id: IntArray, known: npt.NDArray[np.bool_]) -> Places:
        if not self._keys.size:
            return np.full(np.shape(token_id), -1, np.intp)
        inside = known & (place >= 0) & (place < self._keys.size)
        safe = np.where(inside, place, 0)
        return np.where(inside & (self._token_of_row[safe] == token_id), place, -1)


class RangeExtremes:
    """The largest (`np.maximum`) or smallest (`np.minimum`) of values without NaN over many ranges of them.

    A table of the extremes of all spans of 1, 2, 4, … values: a question costs two look-ups, whatever the length.
    """

    def __init__(self, values: FloatArray, extreme: Callable[[Any, Any], Any]) -> None:
        self._extreme = extreme
        self._levels = [values]

    def over(self, start: Places, stop: Places, otherwise: FloatArray) -> FloatArray:
        """The extreme over each half-open range; `otherwise` where it is empty."""
        length = stop - start
        self._build(int(length.max(initial=0)))
        level = np.frexp(np.maximum(length, 1).astype(np.float64))[1] - 1
        result = np.array(otherwise, np.float64)
        for number in np.unique(level[length > 0]).tolist():
            rows = np.flatnonzero((level == number) & (length > 0))
            values = self._levels[number]
            result[rows] = self._extreme(values[start[rows]], values[stop[rows] - (1 << number)])
        return result

    def first_reaching(self, start: Places, stop: Places, bound: FloatArray) -> Places:
        """The first place in each range whose value is at or beyond the bound (above for maxima, below for minima).

        `stop` where none is; so for a bound of NaN.
        """
        self._build(int((stop - start).max(initial=0)))
        place = start.copy()
        for number in range(len(self._levels) - 1, -1, -1):
            values, step = self._levels[number], 1 << number
            fits = np.flatnonzero(place + step <= stop)
            found = values[place[fits]]
            short = ~(self._extreme(found, bound[fits]) == found)
            place[fits[short]] += step
        return place

    def _build(self, longest: int) -> None:
        while 1 << len(self._levels) <= longest:
            finer, step = self._levels[-1], 1 << (len(self._levels) - 1)
            self._levels.append(self._extreme(finer[:-step], finer[step:]))
