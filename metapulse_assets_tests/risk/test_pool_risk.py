"""The models of pools: their laws, the files, the command, and the labelled pools that they were fitted to."""

import csv
import io
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.risk.pool_csv import PoolFileError, read_pools, scores_csv
from metapulse_assets.risk.pool_risk import (
    FIRST_HOUR,
    LIQUIDITY_ACTIONS,
    Model,
    PoolRisk,
    Reading,
    assess_pools,
    first_hour_readings,
    liquidity_readings,
)
from metapulse_assets.risk.scoring import DAY
from metapulse_assets_tests.training import pool_risk as training

NAN = math.nan
NOW = 1_640_900_000.0


def actions(*rows: dict[str, Any]) -> PoolRisk:
    """The risk of pools, each a pool of two tokens with ten additions, five removals and a hundred days but for its changes."""
    whole = [
        {"pool": f"p{i}", "mint": f"m{i}", "adds": 10.0, "removes": 5.0, "days": 100.0, **row} for i, row in enumerate(rows)
    ]
    readings = liquidity_readings(
        [row["pool"] for row in whole],
        [row["mint"] for row in whole],
        [row["adds"] for row in whole],
        [row["removes"] for row in whole],
        [NOW - row["days"] * DAY for row in whole],
        NOW,
    )
    return assess_pools(LIQUIDITY_ACTIONS, readings)


def hour(highest: float, lowest: float, silence: float) -> PoolRisk:
    """The risk of one launch."""
    return assess_pools(FIRST_HOUR, first_hour_readings([highest], [lowest], [silence]))


@pytest.mark.parametrize("model", [LIQUIDITY_ACTIONS, FIRST_HOUR], ids=lambda model: model.name)
def test_no_term_lowers_the_risk(model: Model) -> None:
    assert all(term.weight > 0 for term in model.terms)
    assert all(term.unknown >= term.typical for term in model.terms)
    assert 0 < model.medium_from < model.high_from < 1


counts = st.integers(0, 100_000).map(float)
ages = st.floats(0, 1_000)
pool_rows = st.fixed_dictionaries(
    {"adds": counts, "removes": counts, "days": ages, "pool": st.sampled_from("ab"), "mint": st.sampled_from("xyz")}
)


@given(pool_rows, st.sampled_from(["adds", "removes", "days"]), st.integers(0, 1_000))
def test_a_worse_fact_never_lowers_the_score(row: dict[str, Any], fact: str, more: int) -> None:
    worse = {**row, fact: max(row[fact] - more, 0.0) if fact == "adds" else row[fact] + more}
    assert actions(worse).score[0] >= actions(row).score[0] - 1e-12


@given(st.floats(1e-9, 1e3), st.floats(1e-9, 1), st.floats(0, 1), st.floats(0, 3_600), st.floats(0, 3_600))
def test_a_deeper_fall_and_a_longer_silence_never_lower_the_score(
    highest: float, share: float, deeper: float, silence: float, longer: float
) -> None:
    before = hour(highest, highest * share, silence).score[0]
    assert hour(highest, highest * share * max(deeper, 1e-6), silence).score[0] >= before - 1e-12
    assert hour(highest, highest * share, silence + longer).score[0] >= before - 1e-12


@given(st.lists(pool_rows, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_rows_means_nothing(rows: list[dict[str, Any]], random: Any) -> None:
    order = random.sample(range(len(rows)), len(rows))
    risk, shuffled = actions(*rows), actions(*(rows[i] for i in order))
    np.testing.assert_array_equal(shuffled.score, risk.score[order])
    assert shuffled.reasons == [risk.reasons[i] for i in order]


@pytest.mark.parametrize("fact", ["adds", "removes", "days"])
def test_not_knowing_is_worse_than_the_typical_and_never_low(fact: str) -> None:
    busy = {"adds": 5_000.0, "removes": 2_000.0, "days": 200.0}
    known, unknown = actions(busy), actions({**busy, fact: NAN})
    assert known.level.tolist() == ["low"]
    assert unknown.score[0] > known.score[0]
    assert unknown.level[0] in ("medium", "high")
    assert any("not known" in reason for reason in unknown.reasons[0])


def test_a_token_that_others_trade_too_is_safer() -> None:
    alone = actions({"pool": "p", "mint": "x"}, {"pool": "p", "mint": "y"})
    shared = actions(*({"pool": p, "mint": m} for p in "pq" for m in "xy"))
    # A well-known token on the other side does not help: the rarer one counts.
    quoted = actions(
        {"pool": "p", "mint": "x"}, {"pool": "p", "mint": "y"}, {"pool": "q", "mint": "y"}, {"pool": "q", "mint": "z"}
    )
    assert shared.score[0] < alone.score[0] == quoted.score[0]


def test_a_token_without_a_name_is_not_taken_for_a_well_known_one() -> None:
    nameless = actions(*({"pool": p, "mint": ""} for p in "pqrs"))
    assert nameless.score.tolist() == actions({}, {}, {}, {}).score.tolist()


def test_scores_and_reasons_of_known_pools() -> None:
    risk = actions({"adds": 2.0, "removes": 2.0, "days": 200.0}, {"adds": 9_000.0, "removes": 100.0, "days": 300.0})
    assert risk.level.tolist() == ["high", "low"]
    assert risk.reasons[0] == ["0.01 additions of liquidity a day", "1 removals for each addition"]
    assert risk.reasons[1] == []


def test_a_launch_that_collapsed_and_one_that_did_not() -> None:
    assert hour(1.0, 1e-7, 1_500.0).level.tolist() == ["high"]
    assert hour(1.0, 1e-7, 1_500.0).reasons == [["the price fell 100 % after its peak", "no transfer for 1500 s"]]
    assert hour(1.0, 0.9, 20.0).level.tolist() == ["low"]


@pytest.mark.parametrize(
    ("highest", "lowest", "silence"), [(NAN, 1.0, 9.0), (-4.0, 1.0, 9.0), (1.0, -1.0, 9.0), (1.0, 1.0, NAN)]
)
def test_a_launch_without_a_price_is_never_low(highest: float, lowest: float, silence: float) -> None:
    assert hour(highest, lowest, silence).level[0] != "low"


def test_a_missing_reading_is_named() -> None:
    with pytest.raises(KeyError, match="price_fall"):
        assess_pools(FIRST_HOUR, {})


HEADER = (
    "LIQUIDITY_POOL_ADDRESS,MINT,NUM_LIQUIDITY_ADDS,NUM_LIQUIDITY_REMOVES,FIRST_POOL_ACTIVITY_TIMESTAMP,LAST_SWAP_TIMESTAMP"
)
ROWS = [
    "pool1,mintA,2,2,2021-03-01 10:00:00.000,null",
    "pool1,mintB,2,2,2021-03-01 10:00:00.000,2021-12-30 23:59:59.000",
    "pool2,mintA,9000,3000,2021-03-01T10:00:00Z,2021-12-30 23:00:00.000 UTC",
]
HOURS = "token_mint,max_price,posterior_min_price,longest_inactivity\nt1,1.0,0.0000001,1500\nt2,1.0,,20\n"


def written(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "pools.csv"
    path.write_text(text, encoding="utf-8")
    return path


def scored(text: str) -> list[dict[str, str]]:
    """The rows of a scored file."""
    return list(csv.DictReader(io.StringIO(text)))


def test_a_file_of_liquidity_actions(tmp_path: Path) -> None:
    # Ends as a published file does: a line with nothing but a byte order mark.
    rows = scored(scores_csv(read_pools(written(tmp_path, "\n".join([HEADER, *ROWS, "\ufeff", ""])))))
    assert [row["LIQUIDITY_POOL_ADDRESS"] for row in rows] == ["pool1", "pool1", "pool2"]
    assert [row["MINT"] for row in rows] == ["mintA", "mintB", "mintA"]
    assert rows[0]["score"] == rows[1]["score"]
    assert float(rows[0]["score"]) > float(rows[2]["score"])
    assert [row["level"] for row in rows] == ["high", "high", "low"]
    assert "additions of liquidity a day" in rows[0]["reasons"]


def test_what_is_not_known_does_not_stop_the_rest(tmp_path: Path) -> None:
    text = "\n".join([HEADER, *ROWS, "pool3,null,,null,NULL,null"])
    rows = scored(scores_csv(read_pools(written(tmp_path, text))))
    assert len(rows) == 4
    assert rows[3]["level"] != "low"
    assert "slow additions: not known" in rows[3]["reasons"]


@pytest.mark.parametrize("left_out", [*range(1, 5), None])
def test_columns_that_a_file_does_not_have_are_unknown(tmp_path: Path, left_out: int | None) -> None:
    rows = [[cell for place, cell in enumerate(line.split(",")) if place != left_out] for line in (HEADER, *ROWS)]
    table = read_pools(written(tmp_path, "\n".join(",".join(row) for row in rows)))
    risk = table.assess()
    assert list(table.missing) == ([] if left_out is None else [HEADER.split(",")[left_out]])
    assert np.isfinite(risk.score).all()
    assert risk.score[0] >= risk.score[2]
    assert ("low" in risk.level) == (left_out is None)
    assert len(scored(scores_csv(table))) == 3


@pytest.mark.parametrize("left_out", [1, 2, 3])
def test_launches_of_which_a_column_is_missing(tmp_path: Path, left_out: int) -> None:
    rows = [[cell for place, cell in enumerate(line.split(",")) if place != left_out] for line in HOURS.splitlines()]
    table = read_pools(written(tmp_path, "\n".join(",".join(row) for row in rows)))
    score = table.assess().score
    assert len(table.missing) == 1
    assert score[0] > score[1]
    assert "low" not in table.assess().level


def test_nothing_known_and_times_as_others_write_them(tmp_path: Path) -> None:
    whole, epoch = (
        read_pools(written(tmp_path, f"{HEADER}\np,m,NaN,n/a,{first},1640900000\nq,m,3,None,{first},NA")).readings
        for first in ("2021-03-01T10:00:00", "1614592800")
    )
    for name, reading in whole.items():
        np.testing.assert_array_equal(reading.value, epoch[name].value)
    assert np.isnan(whole["slow_additions"].value).tolist() == [True, False]


def test_the_moment_can_be_given(tmp_path: Path) -> None:
    path = written(tmp_path, "\n".join([HEADER, *ROWS]))
    young = read_pools(path, datetime(2021, 3, 2, tzinfo=UTC)).assess().score
    assert (young < read_pools(path).assess().score).all()


def test_a_file_of_first_hours(tmp_path: Path) -> None:
    rows = scored(scores_csv(read_pools(written(tmp_path, HOURS))))
    assert [(row["token_mint"], row["level"]) for row in rows] == [("t1", "high"), ("t2", "low")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: needs the columns LIQUIDITY_POOL_ADDRESS, MINT"),
        ("date,close\n1,2\n", "line 1: needs the columns"),
        ("LIQUIDITY_POOL_ADDRESS,MINT\na,b\n", "line 1: needs a column NUM_LIQUIDITY_ADDS"),
        (f"{HEADER}\n", "has no pools"),
        (f"{HEADER}\n{ROWS[0]}\np,m,1\n", "line 3: has 3 cells, the header has 6"),
        (f"{HEADER}\np,m,many,2,null,null\n", "line 2, column NUM_LIQUIDITY_ADDS: 'many' is not a number"),
        (f"{HEADER}\np,m,inf,2,null,null\n", "line 2, column NUM_LIQUIDITY_ADDS: 'inf' is not finite"),
        (f"{HEADER}\np,m,1,-2,null,null\n", "line 2, column NUM_LIQUIDITY_REMOVES: '-2' is below 0"),
        (
            f"{HEADER}\n{ROWS[0]}\np,m,1,2,soon,null\n",
            "line 3, column FIRST_POOL_ACTIVITY_TIMESTAMP: 'soon' is not an ISO time",
        ),
        (f"{HEADER}\n,m,1,2,null,null\n", "line 2, column LIQUIDITY_POOL_ADDRESS: is empty"),
        ("token_mint,max_price,posterior_min_price,longest_inactivity\nt,1,1,-5\n", "line 2, column longest_inactivity"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(PoolFileError) as caught:
        read_pools(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)


def test_a_pool_that_began_after_the_moment_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "\n".join([HEADER, *ROWS]))
    with pytest.raises(PoolFileError, match="line 2, column FIRST_POOL_ACTIVITY_TIMESTAMP: lies after the moment"):
        read_pools(path, datetime(2020, 1, 1, tzinfo=UTC))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pools.csv"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(PoolFileError, match="is not a CSV file in UTF-8"):
        read_pools(path)
    packed = tmp_path / "pools.csv.gz"
    packed.write_bytes(b"not packed at all")
    with pytest.raises(PoolFileError, match="is not a CSV file"):
        read_pools(packed)


def test_every_label_of_2021_follows_from_the_times_that_are_not_read(recordings: Path) -> None:
    with (recordings / "rug_solrpds" / "2021.csv").open(encoding="utf-8-sig", newline="") as text:
        rows = [row for row in csv.DictReader(text) if row["INACTIVITY_STATUS"]]
    last = [max(t for t in (row["LAST_POOL_ACTIVITY_TIMESTAMP"], row["LAST_SWAP_TIMESTAMP"]) if t != "null") for row in rows]
    assert [time < "2021-12-26 00:15:40" for time in last] == [row["INACTIVITY_STATUS"] == "Inactive" for row in rows]


def test_the_committed_coefficients_are_those_of_the_labelled_pools(recordings: Path) -> None:
    for pools, model in ((training.solrpds(recordings), LIQUIDITY_ACTIONS), (training.raydium(recordings), FIRST_HOUR)):
        again = training.fitted(pools)
        assert again.bias == pytest.approx(model.bias, abs=2e-3)
        for found, committed in zip(again.terms, model.terms, strict=True):
            numbers = (committed.weight, committed.typical, committed.unknown)
            assert (found.weight, found.typical, found.unknown) == pytest.approx(numbers, abs=2e-3), found.name


@pytest.mark.parametrize("name", ["solrpds", "raydium"])
def test_unseen_pools_are_ranked_better_than_by_any_single_fact(recordings: Path, name: str) -> None:
    pools = getattr(training, name)(recordings)
    auc = training.roc_auc(training.out_of_sample(pools), pools.bad)
    assert auc >= 0.85
    assert auc > max(training.roc_auc(pools.readings[term.name].value, pools.bad) for term in pools.model.terms)


@pytest.mark.parametrize("name", ["solrpds", "raydium"])
def test_pools_are_ranked_whichever_fact_is_not_known_of_them(recordings: Path, name: str) -> None:
    pools = getattr(training, name)(recordings)
    for term in pools.model.terms:
        reading = pools.readings[term.name]
        for unknown in (np.ones(len(pools.bad), np.bool_), np.arange(len(pools.bad)) % 2 == 0):
            part = {**pools.readings, term.name: Reading(np.where(unknown, np.nan, reading.value), reading.shown)}
            assert training.roc_auc(assess_pools(pools.model, part).score, pools.bad) >= 0.8, term.name


def test_later_pools_are_ranked_by_what_earlier_ones_taught(recordings: Path) -> None:
    pools = training.solrpds(recordings)
    early = pools.began < np.median(pools.began)
    score = assess_pools(training.fitted(pools, np.flatnonzero(early)), pools.readings).score
    assert training.roc_auc(score[~early], pools.bad[~early]) >= 0.85


def test_area_under_the_curve_by_hand() -> None:
    bad = np.array([True, False, True, False])
    assert training.roc_auc(np.array([0.9, 0.1, 0.8, 0.2]), bad) == 1.0
    assert training.roc_auc(np.array([0.5, 0.5, 0.5, 0.5]), bad) == 0.5
    assert training.roc_auc(np.array([0.9, 0.8, 0.1, NAN]), bad) == 0.5
