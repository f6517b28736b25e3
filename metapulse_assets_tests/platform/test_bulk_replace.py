"""replace_rows: the span holds exactly the given rows, rows outside stay, equal rows keep even their physical version."""

from typing import Any

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.platform.bulk import Labels, replace_rows, write_columns
from metapulse_assets_tests.platform.samples_table import Rows, samples, samples_in, times

LABELS = ("5m", "1h", "it's {odd} 100%")
SPAN = (10, 20)
# A row: minute, id, label, value.
row = st.tuples(st.integers(0, 30), st.integers(0, 3), st.integers(0, len(LABELS) - 1), st.sampled_from([1.0, 2.0, np.nan]))
tables = st.lists(row, max_size=12, unique_by=lambda r: r[:3])


def columns(rows: list[tuple[int, int, int, float]]) -> dict[str, Any]:
    """The rows as columns."""
    minutes, ids, codes, values = zip(*rows, strict=True) if rows else ((), (), (), ())
    return {
        "at": times(*minutes),
        "id": np.array(ids, np.int32),
        "label": Labels(np.array(codes, np.int16), LABELS),
        "f8": np.array(values, np.float64),
    }


def state(connection: sa.Connection) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Value and physical version of each row by key."""
    query = (
        "SELECT extract(epoch FROM at - '2026-03-04 12:00Z') / 60 AS minute, id, label, f8, ctid::text, xmin::text FROM samples"
    )
    return {(int(r.minute), r.id, LABELS.index(r.label)): (r.f8, r.ctid, r.xmin) for r in connection.execute(sa.text(query))}


def values(rows: list[tuple[int, int, int, float]]) -> dict[tuple[int, int, int], float | None]:
    """Value by key, null for NaN."""
    return {(m, i, c): None if np.isnan(v) else v for m, i, c, v in rows}


def inside(key: tuple[Any, ...]) -> bool:
    """Whether a row lies in the span."""
    return bool(SPAN[0] <= key[0] < SPAN[1])


@settings(max_examples=60)
@given(before=tables, given_rows=tables)
def test_the_span_holds_exactly_the_given_rows(
    shared_engine: sa.Engine, before: list[tuple[int, int, int, float]], given_rows: list[tuple[int, int, int, float]]
) -> None:
    new = [r for r in given_rows if inside(r)]
    within = sa.and_(samples.c.at >= times(SPAN[0])[0].item(), samples.c.at < times(SPAN[1])[0].item())
    with samples_in(shared_engine) as connection:
        connection.execute(sa.text("SET LOCAL timezone = 'UTC'"))
        write_columns(connection, samples, columns(before))
        old = state(connection)
        changed = replace_rows(connection, samples, columns(new), within)
        now = state(connection)
        assert {key: found[0] for key, found in now.items() if inside(key)} == values(new)
        assert {key: found for key, found in now.items() if not inside(key)} == {k: f for k, f in old.items() if not inside(k)}
        equal = [key for key, value in values(new).items() if key in old and old[key][0] == value]
        assert all(now[key] == old[key] for key in equal)
        assert changed == len(values(new)) - len(equal) + sum(inside(key) and key not in now for key in old)
        assert replace_rows(connection, samples, columns(new), within) == 0
        assert state(connection) == now


@pytest.mark.parametrize("label", LABELS)
def test_scalars_may_be_part_of_the_key(shared_engine: sa.Engine, label: str) -> None:
    with samples_in(shared_engine) as connection:
        for name in LABELS:
            write_columns(connection, samples, {"at": times(1, 2), "id": 7, "label": name, "f8": np.ones(2)})
        kept = {key: found for key, found in state(connection).items() if key[2] != LABELS.index(label)}
        replaced: Rows = {"at": times(2, 3), "id": 7, "label": label, "f8": np.array([1.0, 5.0])}
        assert replace_rows(connection, samples, replaced, samples.c.label == label) == 2
        now = state(connection)
        assert {key[0] for key in now if key[2] == LABELS.index(label)} == {2, 3}
        assert {key: found for key, found in now.items() if key[2] != LABELS.index(label)} == kept


def test_a_condition_of_several_parts_is_one_condition(shared_engine: sa.Engine) -> None:
    with samples_in(shared_engine) as connection:
        write_columns(connection, samples, columns([(1, 1, 0, 1.0), (2, 2, 0, 1.0), (3, 3, 0, 1.0)]))
        either = sa.or_(samples.c.id == 1, samples.c.id == 2)
        assert replace_rows(connection, samples, columns([(1, 1, 0, 1.0)]), either) == 1
        assert {key[1] for key in state(connection)} == {1, 3}


def test_a_key_that_is_not_given_is_named(shared_engine: sa.Engine) -> None:
    with samples_in(shared_engine) as connection, pytest.raises(psycopg.errors.NotNullViolation, match="label"):
        replace_rows(connection, samples, {"at": times(1), "id": np.array([1])}, sa.true())


def test_a_row_from_outside_the_span_gives_way(shared_engine: sa.Engine) -> None:
    with samples_in(shared_engine) as connection:
        write_columns(connection, samples, columns([(1, 1, 0, 1.0)]))
        assert (
            replace_rows(connection, samples, columns([(1, 1, 0, 2.0), (2, 1, 0, 3.0)]), samples.c.at > times(1)[0].item()) == 2
        )
        assert {key: found[0] for key, found in state(connection).items()} == {(1, 1, 0): 2.0, (2, 1, 0): 3.0}
