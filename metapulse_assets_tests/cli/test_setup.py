"""`metapulse setup`: writes what is missing, never a line of the user's, and follows a moved checkout."""

import stat
from pathlib import Path

from metapulse_assets.cli.setup import set_up, wanted_lines


def values(root: Path) -> dict[str, str]:
    lines = (root / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_writes_everything_where_nothing_is(root: Path) -> None:
    messages = set_up(root)

    assert values(root) == wanted_lines(root)
    assert stat.S_IMODE((root / ".env").stat().st_mode) == 0o600
    assert (root / ".metapulse" / "compute_logs").is_dir()
    assert any("written with METAPULSE_MODE" in message for message in messages)


def test_a_second_time_does_nothing(root: Path) -> None:
    set_up(root)
    before = (root / ".env").read_bytes()

    assert set_up(root) == [".env: nothing to do"]
    assert (root / ".env").read_bytes() == before


def test_adds_only_what_is_missing_and_keeps_every_line(root: Path, tmp_path: Path) -> None:
    own = f"# mine\nexport METAPULSE_MODE=live\nGROQ_API_KEY='abc'  \n\nMETAPULSE_HOME={tmp_path / 'home'}"
    (root / ".env").write_text(own)
    (root / ".env").chmod(0o644)

    set_up(root)

    text = (root / ".env").read_text()
    assert text.startswith(own + "\n")
    assert set(text.removeprefix(own).split()) == {
        f"DAGSTER_HOME={root}",
        f"METAPULSE_COMPUTE_LOGS={root / '.metapulse' / 'compute_logs'}",
    }
    assert stat.S_IMODE((root / ".env").stat().st_mode) == 0o600


def test_a_name_without_a_value_counts_as_missing(root: Path) -> None:
    (root / ".env").write_text("METAPULSE_MODE=\n")
    set_up(root)

    assert (root / ".env").read_text().splitlines()[-4:][0] == "METAPULSE_MODE=sandbox"


def test_follows_a_moved_checkout(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new place"
    old.mkdir()
    set_up(old)
    own = "METAPULSE_RECORDINGS=/elsewhere/data\n"
    with (old / ".env").open("a") as file:
        file.write(own)
    old.rename(new)

    messages = set_up(new)

    assert values(new) == {name: f"'{value}'" if " " in value else value for name, value in wanted_lines(new).items()} | {
        "METAPULSE_RECORDINGS": "/elsewhere/data"
    }
    assert "corrected DAGSTER_HOME, METAPULSE_HOME, METAPULSE_COMPUTE_LOGS" in messages[0]
    assert set_up(new) == [".env: nothing to do"]


def test_a_copy_of_a_checkout_gets_its_own_paths(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    for folder in (original, copy):
        (folder / "metapulse_assets").mkdir(parents=True)
        (folder / "workspace.yaml").touch()
    set_up(original)
    (copy / ".env").write_text((original / ".env").read_text())

    set_up(copy)

    assert values(copy) == wanted_lines(copy)
    assert values(original) == wanted_lines(original)


def test_paths_that_were_chosen_stay(root: Path, tmp_path: Path) -> None:
    deployment = tmp_path / "dagster"
    deployment.mkdir()
    chosen = f"DAGSTER_HOME={deployment}\nMETAPULSE_HOME={tmp_path / 'data'}\n"
    (root / ".env").write_text(chosen)

    set_up(root)

    assert (root / ".env").read_text().startswith(chosen)
    assert (tmp_path / "data").is_dir()


def test_a_move_leaves_a_home_that_lay_elsewhere(tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / ".env").write_text(f"DAGSTER_HOME={tmp_path / 'gone'}\nMETAPULSE_HOME={tmp_path / 'data'}\n")

    set_up(new)

    assert values(new)["DAGSTER_HOME"] == str(new)
    assert values(new)["METAPULSE_HOME"] == str(tmp_path / "data")
