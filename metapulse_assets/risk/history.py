"""Risk over time: which assessments are worth a row, and which one a signal could have known.

Belongs here: storing by change, reading as of a moment. Does not: judging a token (`scoring`).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from metapulse_assets.platform.as_of import newest_known_rows
from metapulse_assets.risk.scoring import DAY, BoolArray, FloatArray, IntArray, RiskTable, stored_assessments

MAX_AGE_SECONDS = 2 * DAY
"""An assessment older than this says nothing any more. A token with snapshots gets a row every UTC day, so anything
older means that they stopped. Own choice."""


def changed_rows(token_id: npt.ArrayLike, observed_at: npt.ArrayLike, assessment: RiskTable) -> BoolArray:
    """Which rows to store: the first of each token and UTC day, and every one that differs from the token's previous.

    Rows must be sorted by token and time (seconds since 1970 UTC); ValueError names the one that is not. To continue
    from what is stored, put each token's newest stored row in front of its new ones, and drop it from the result.
    Every row equals the newest kept row of its token at or before it, so the others can be left out without loss.
    Scores are compared as they are stored, in single precision.
    """
    token, time = np.asarray(token_id, dtype=np.int64), np.asarray(observed_at, dtype=np.float64)
    if not token.shape == time.shape == (len(assessment),):
        raise ValueError(f"token_id {token.shape} and observed_at {time.shape} do not match {len(assessment)} rows")
    same_token = token[1:] == token[:-1]
    wrong = np.flatnonzero((token[1:] < token[:-1]) | (same_token & ~(time[1:] > time[:-1])))
    if wrong.size:
        raise ValueError(f"observed_at: row {wrong[0] + 1} does not come after row {wrong[0]}; sort by token and time")
    keep = np.ones(token.size, dtype=np.bool_)
    day = np.floor(time / DAY)
    keep[1:] = ~same_token | (day[1:] != day[:-1]) | _differs_from_previous(assessment)
    return keep


def _differs_from_previous(assessment: RiskTable) -> BoolArray:
    differs = assessment.level[1:] != assessment.level[:-1]
    differs |= (assessment.hard_fail[1:] != assessment.hard_fail[:-1]).astype(np.bool_)
    numbers = np.column_stack([assessment.score, assessment.known_share, assessment.points]).astype(np.float32)
    unequal = (numbers[1:] != numbers[:-1]) & ~(np.isnan(numbers[1:]) & np.isnan(numbers[:-1]))
    return np.asarray(differs | unequal.any(axis=1), dtype=np.bool_)


@dataclass(frozen=True)
class RiskHistory:
    """Stored assessments in any order: token_id int64; observed_at, available_at float64 seconds since 1970 UTC."""

    token_id: IntArray
    observed_at: FloatArray
    available_at: FloatArray
    assessment: RiskTable

    def __post_init__(self) -> None:
        for name in ("token_id", "observed_at", "available_at"):
            if getattr(self, name).shape != (len(self.assessment),):
                raise ValueError(f"{name}: expected one value for each of {len(self.assessment)} rows")

    def __len__(self) -> int:
        return len(self.assessment)

    @classmethod
    def empty(cls) -> Self:
        """No assessment of any token."""
        nothing = np.empty(0)
        return cls(np.empty(0, dtype=np.int64), nothing, nothing, stored_assessments([], [], [], []))


def risk_rows_as_of(
    token_id: npt.ArrayLike,
    as_of: npt.ArrayLike,
    history: RiskHistory,
    max_age_seconds: float = MAX_AGE_SECONDS,
) -> IntArray:
    """For each query the row of `history` with the token's newest assessment available at that moment; -1: none.

    An assessment observed more than max_age_seconds before counts as none. token_id: int; as_of: seconds since 1970 UTC;
    both (queries,).
    """
    return newest_available(
        token_id, as_of, history.token_id, history.observed_at, history.available_at, max_age_seconds=max_age_seconds
    )


def newest_available(
    token_id: npt.ArrayLike,
    as_of: npt.ArrayLike,
    stored_token_id: IntArray,
    observed_at: FloatArray,
    available_at: FloatArray,
    max_age_seconds: float,
) -> IntArray:
    """For each query the stored row of its token that is the newest of those available at that moment; -1: none.

    "Newest" is by observed_at: an old view that arrives late does not replace a newer one. One observed more than
    max_age_seconds before counts as none. Times are seconds since 1970 UTC; queries and stored rows in any order.
    """
    wanted_at = np.asarray(as_of, dtype=np.float64)
    rows = newest_known_rows(stored_token_id, observed_at, available_at, token_id, wanted_at)
    known = rows >= 0
    known[known] = wanted_at[known] - np.asarray(observed_at)[rows[known]] <= max_age_seconds
    return np.where(known, rows, -1)


def risk_as_of(
    token_id: npt.ArrayLike,
    as_of: npt.ArrayLike,
    history: RiskHistory,
    max_age_seconds: float = MAX_AGE_SECONDS,
) -> npt.NDArray[np.str_]:
    """The level of `risk_rows_as_of`, "unknown" where there is none."""
    rows = risk_rows_as_of(token_id, as_of, history, max_age_seconds)
    levels = np.append(history.assessment.level, "unknown")
    return np.asarray(levels[rows], dtype=np.str_)
