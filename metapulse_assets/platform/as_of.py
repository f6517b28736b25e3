"""What was known at a moment: the newest row of a token that could have been used by then."""

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


def newest_known_rows(
    token_id: npt.ArrayLike,
    observed_at: npt.ArrayLike,
    available_at: npt.ArrayLike,
    wanted_token: npt.ArrayLike,
    wanted_at: npt.ArrayLike,
) -> IntArray:
    """For each question the row of its token with the newest `observed_at` that was available at its moment; -1: none.

    An old row that turns up late does not take the place of a newer one. Rows and questions come in any order; times are
    numbers of one unit. Of rows with the same token and `observed_at` the later one counts.
    """
    rows = np.size(np.asarray(token_id))
    token = np.concatenate([np.asarray(token_id, np.int64), np.asarray(wanted_token, np.int64)])
    at = np.concatenate([np.asarray(available_at), np.asarray(wanted_at)])
    # The sort is stable: questions come behind the rows that became available in the same moment, and see them.
    order = np.lexsort((at, token))
    by_age = np.lexsort((np.asarray(observed_at), np.asarray(token_id, np.int64)))
    age_rank = np.full(token.size, -1)
    age_rank[by_age] = np.arange(rows)
    # Ranks grow with the token too, so the running maximum never carries one token's newest past the next one's first.
    newest = np.maximum.accumulate(age_rank[order]) if token.size else age_rank
    found = np.full(token.size, -1, dtype=np.int64)
    found[order] = np.where(newest >= 0, by_age[newest] if rows else -1, -1)
    found = found[rows:]
    known = found >= 0
    known[known] = token[found[known]] == np.asarray(wanted_token, np.int64)[known]
    return np.where(known, found, -1)
