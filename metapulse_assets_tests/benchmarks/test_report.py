"""The frame: goals, the written report, partial runs. Nothing is measured here."""

import json
from pathlib import Path

import pytest

from metapulse_assets_tests.benchmarks import report
from metapulse_assets_tests.benchmarks.machine import Circumstances
from metapulse_assets_tests.benchmarks.parts import PARTS
from metapulse_assets_tests.benchmarks.rows import Bench, Goal, Part, Row, Target

BREAD = Part(
    "bread",
    "Baked at noon.",
    {
        "bread.rise_s": Target("the whole", Goal("≤", 2), split=("bread.knead_s", "bread.rest.")),
        "bread.knead_s": Target("by hand"),
        "bread.vs_baker": Target("ours over the baker's", Goal("≥", 3, "ratio"), peer="the baker"),
    },
    lambda bench: iter(()),
)
SOUP = Part("soup", "Boiled.", {"soup.boil_s": Target("until it boils", Goal("≤", 5))}, lambda bench: iter(()))
KITCHEN = (BREAD, SOUP)
THEN = Circumstances("2026-01-01 10:00 UTC", "abc1234", "a stove", "0.1", "3.11", "18.6", "1.13", "2.4")
NOW = Circumstances("2026-02-02 10:00 UTC", "def5678", "a stove", "0.2", "3.11", "18.6", "1.13", "2.4")

RISE = Row("bread.rise_s", 4.0, "s", 5)
KNEAD = Row("bread.knead_s", 3.0, "s", 5)
REST = Row("bread.rest.cold_s", 1.0, "s", 5)
BOIL = Row("soup.boil_s", 3.0, "s", 3)


def _named(*rows: Row) -> dict[str, Row]:
    return {row.name: row for row in rows}


@pytest.mark.parametrize(
    ("goal", "row", "met"),
    [
        (Goal("≤", 2), Row("x", 2.0, "s", 1), True),
        (Goal("≤", 2), Row("x", 2.1, "s", 1), False),
        (Goal("<", 2), Row("x", 2.0, "s", 1), False),
        (Goal(">", 2), Row("x", 2.0, "s", 1), False),
        (Goal("≥", 3, "ratio"), Row("x", 99.0, "s", 1, 5.0, 2.9), False),
        (Goal("≥", 3, "ratio"), Row("x", 0.1, "s", 1, 5.0, 3.0), True),
        (Goal("≥", 3, "ratio"), Row("x", 9.0, "s", 1), None),
    ],
)
def test_a_goal_is_about_the_value_or_the_ratio(goal: Goal, row: Row, met: bool | None) -> None:
    assert goal.met(row) is met


def test_a_missed_goal_is_marked_and_says_where_it_goes(tmp_path: Path) -> None:
    report.write(tmp_path, _named(RISE, KNEAD, REST, BOIL), KITCHEN, {"bread": NOW, "soup": NOW})
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| `bread.rise_s` | 4 | s | ≤ 2 s | **missed** |" in page
    assert "- `bread.rise_s` misses its goal. Where it goes: knead_s 3 s (75%), rest.cold_s 1 s (25%)." in page
    assert "| `soup.boil_s` | 3 | s | ≤ 5 s | met |" in page
    assert "`soup.boil_s` misses" not in page


def test_the_parts_of_a_rate_are_shares_of_their_own_sum() -> None:
    rate, target = Row("bread.per_s", 0.5, "1/s", 1), Target("loaves", Goal("≥", 1), split=("bread.knead_s", "bread.rest."))
    assert report.where_it_goes(rate, target, _named(rate, KNEAD, REST)) == "knead_s 3 s (75%), rest.cold_s 1 s (25%)"


def test_a_goal_on_a_ratio_names_the_peer(tmp_path: Path) -> None:
    report.write(tmp_path, _named(Row("bread.vs_baker", 2.0, "s", 7, 5.0, 2.5)), KITCHEN, {"bread": NOW})
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| `bread.vs_baker` | 2 | s | ratio ≥ 3 | **missed** | 5 (the baker) | 2.5 | 7 |" in page


def test_the_json_holds_exactly_five_facts_a_row_and_reads_back(tmp_path: Path) -> None:
    rows = _named(Row("bread.vs_baker", 2.00000049, "s", 7, 5.0, 2.5), BOIL)
    report.write(tmp_path, rows, KITCHEN, {"bread": NOW})
    stored = json.loads((tmp_path / "benchmarks.json").read_text())
    assert stored == {
        "bread.vs_baker": {"value": 2.0, "unit": "s", "peer": 5.0, "ratio": 2.5, "n": 7},
        "soup.boil_s": {"value": 3.0, "unit": "s", "peer": None, "ratio": None, "n": 3},
    }
    assert report.read_rows(tmp_path)["soup.boil_s"] == BOIL


def test_a_partial_run_updates_its_rows_and_keeps_the_others() -> None:
    old = _named(RISE, KNEAD, REST, BOIL)
    faster = Row("bread.rise_s", 1.0, "s", 9)
    merged = report.merge(old, [faster, KNEAD], "bread", KITCHEN)
    assert list(merged) == ["bread.rise_s", "bread.knead_s", "soup.boil_s"]
    assert merged["bread.rise_s"] is faster
    assert merged["soup.boil_s"] is BOIL


def test_a_run_of_some_rows_of_a_part_keeps_the_rest_of_it() -> None:
    warm = Row("bread.rest.warm_s", 0.5, "s", 9)
    merged = report.merge(_named(RISE, REST, BOIL), [warm], "bread.rest.", KITCHEN)
    assert list(merged) == ["bread.rise_s", "bread.rest.warm_s", "soup.boil_s"]


def test_a_part_that_failed_half_way_pushes_nothing_out() -> None:
    merged = report.merge(_named(RISE, KNEAD, BOIL), [Row("bread.rise_s", 1.0, "s", 9)], "", KITCHEN)
    assert list(merged) == ["bread.rise_s", "bread.knead_s", "soup.boil_s"]
    assert merged["bread.rise_s"].value == 1.0


def test_rows_come_in_the_order_of_the_parts() -> None:
    assert list(report.merge(_named(BOIL), [RISE, KNEAD], "bread", KITCHEN)) == ["bread.rise_s", "bread.knead_s", "soup.boil_s"]


def test_the_page_says_of_each_part_when_it_was_measured(tmp_path: Path) -> None:
    report.write(tmp_path, _named(RISE, BOIL), KITCHEN, {"bread": THEN, "soup": THEN})
    report.write(tmp_path, _named(RISE, BOIL), KITCHEN, {"bread": NOW})
    page = (tmp_path / "benchmarks.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith(("| `bread` |", "| `soup` |"))]
    assert len(lines) == 2
    assert "def5678" in lines[0]
    assert "abc1234" in lines[1]


def test_a_whole_run_replaces_the_lines_of_its_pieces() -> None:
    page = f"{report.RUNS_TITLE}\n\n{THEN.table_row('bread.rest.')}\n{THEN.table_row('soup')}\n"
    assert [line.split("`")[1] for line in report.kept_runs(page, ["bread"])] == ["soup"]
    assert [line.split("`")[1] for line in report.kept_runs(page, ["bread.rise"])] == ["bread.rest.", "soup"]


def test_a_report_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.json").write_text('{"soup.boil_s": {"value": 1}}')
    with pytest.raises(ValueError, match=r"benchmarks\.json: soup\.boil_s is not a row"):
        report.read_rows(tmp_path)


@pytest.mark.parametrize(
    ("only", "prefix", "wanted"),
    [
        ("", "tick.", True),
        ("tick", "tick.", True),
        ("tick", "tick.1000.own_s", True),
        ("tick.1000.own_s", "tick.", True),
        ("tick.45000", "tick.1000.own_s", False),
        ("storage", "tick.", False),
    ],
)
def test_only_asks_for_the_rows_that_begin_so(only: str, prefix: str, wanted: bool) -> None:
    assert Bench(only).wants(prefix) is wanted


def test_every_part_is_well_formed() -> None:
    assert len({part.name for part in PARTS}) == len(PARTS)
    for part in PARTS:
        assert part.method.strip()
        for name, target in part.targets.items():
            assert name.startswith(f"{part.name}."), name
            assert target.holds, name
            for piece in target.split:
                assert piece.endswith(".") or piece in part.targets, f"{name} is split into the unknown {piece}"


def test_the_goals_are_those_that_were_set() -> None:
    goals = {
        name: target.goal.text("")
        for part in PARTS
        for name, target in part.targets.items()
        if target.goal is not None and part.name in ("tick", "indicators", "storage")
    }
    assert goals == {
        "tick.1000.own_s": "≤ 1.5",
        "tick.45000.own_s": "≤ 20",
        "tick.45000.peak_mb": "≤ 1,000",
        "tick.bytes_per_token": "≤ 400",
        "tick.launch_to_signals_s": "≤ 6",
        "indicators.vs_talib": "ratio ≤ 1.5",
        "indicators.vs_pandas_ta": "ratio ≥ 100",
        "storage.dagster_mb_per_day": "≤ 30",
    }
