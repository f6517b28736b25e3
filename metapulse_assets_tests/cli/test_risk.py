"""`metapulse risk`: scores on standard output or in a file, and errors that say where."""

import csv
import io
from pathlib import Path

import pytest

from metapulse_assets_tests.cli.conftest import Command

HEADER = (
    "LIQUIDITY_POOL_ADDRESS,MINT,NUM_LIQUIDITY_ADDS,NUM_LIQUIDITY_REMOVES,FIRST_POOL_ACTIVITY_TIMESTAMP,LAST_SWAP_TIMESTAMP"
)
POOLS = f"{HEADER}\np1,a,2,2,2021-01-01 00:00:00,2021-01-02 00:00:00\np2,b,9000,300,2021-01-01 00:00:00,2021-12-31 00:00:00\n"


@pytest.fixture
def pools(tmp_path: Path) -> Path:
    """A file of two pools: one that was left alone, one that is busy."""
    path = tmp_path / "pools.csv"
    path.write_text(POOLS)
    return path


def test_scores_are_printed_as_csv(command: Command, pools: Path) -> None:
    result = command("risk", str(pools))

    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert list(rows[0]) == ["LIQUIDITY_POOL_ADDRESS", "MINT", "score", "level", "reasons"]
    assert [(row["LIQUIDITY_POOL_ADDRESS"], row["level"]) for row in rows] == [("p1", "high"), ("p2", "low")]
    assert "additions of liquidity a day" in rows[0]["reasons"]


def test_scores_can_go_to_a_file_and_be_of_another_moment(command: Command, pools: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.csv"

    assert command("risk", str(pools), "-o", str(output)).exit_code == 0
    assert output.read_text() == command("risk", str(pools)).stdout
    assert command("risk", str(pools), "--as-of", "2021-01-03").stdout != output.read_text()


def test_what_is_wrong_with_a_file_is_said_with_line_and_column(command: Command, pools: Path) -> None:
    pools.write_text(POOLS.replace("9000", "many"))

    result = command("risk", str(pools))

    assert result.exit_code == 1
    assert f"{pools}: line 3, column NUM_LIQUIDITY_ADDS: 'many' is not a number" in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("/no/such/file.csv",), 1, "/no/such/file.csv: No such file or directory"),
        (("FILE", "--as-of", "soon"), 2, "--as-of: 'soon' is not an ISO time"),
        (("FILE", "--as-of", "2020-01-01"), 1, "lies after the moment that is scored"),
        (("FILE", "-o", "/no/such/folder/scores.csv"), 1, "/no/such/folder/scores.csv"),
        ((), 2, "FILE.csv"),
    ],
)
def test_wrong_use(command: Command, pools: Path, arguments: tuple[str, ...], exit_code: int, says: str) -> None:
    result = command("risk", *(str(pools) if argument == "FILE" else argument for argument in arguments))

    assert result.exit_code == exit_code
    assert says in result.stderr
    assert "Traceback" not in result.output
