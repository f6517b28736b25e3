""".github/workflows/ci.yml: what it runs exists, and it may do little."""

import re
import shlex
import shutil
import subprocess
from typing import Any

import pytest

from metapulse_assets_tests.deploy.commands import trouble_with
from metapulse_assets_tests.deploy.delivered import ROOT, yaml

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
JOBS: dict[str, Any] = WORKFLOW["jobs"]
STEPS = [step for job in JOBS.values() for step in job["steps"]]
# Of the shell, or on every runner.
PLAIN = {"echo", "timeout", "until", "do", "done", "docker", "cp", "grep", "make"}


def commands() -> list[list[str]]:
    """Every command of every step, as words; what a shell puts together is left as it is written."""
    lines = [line.strip() for step in STEPS for line in str(step.get("run", "")).splitlines()]
    return [shlex.split(line) for line in lines if line]


def test_when_it_runs_and_what_it_may() -> None:
    # YAML reads the key `on` as a truth value.
    assert set(WORKFLOW[True]) == {"push", "pull_request"}
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in JOBS.values())
    assert all(step["with"]["persist-credentials"] is False for step in STEPS if "checkout" in step.get("uses", ""))
    assert "secrets." not in str(WORKFLOW)


def test_actions_are_pinned_and_pip_is_cached() -> None:
    used = [step["uses"] for step in STEPS if "uses" in step]

    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used), used
    set_up = [step["with"] for step in STEPS if "setup-python" in step.get("uses", "")]
    assert {each["cache"] for each in set_up} == {"pip"}
    [pattern] = {each["cache-dependency-path"] for each in set_up}
    assert {path.name for path in ROOT.glob(pattern)} == {"requirements.lock", "requirements-dev.lock"}


def test_every_job_ends_by_itself() -> None:
    assert all(0 < job["timeout-minutes"] <= 60 for job in JOBS.values())


def test_its_pythons_are_those_that_the_project_allows() -> None:
    lowest, highest = re.findall(r"3\.(\d+)", re.findall(r'requires-python = "(.*)"', (ROOT / "pyproject.toml").read_text())[0])

    assert JOBS["test"]["strategy"]["matrix"]["python"] == [f"3.{lowest}", f"3.{int(highest) - 1}"]


def test_its_commands_are_known() -> None:
    found = commands()

    assert ["dagster", "definitions", "validate", "-w", "workspace.yaml"] in found
    assert {"materialize", "execute", "validate"} <= {word for words in found for word in words}
    for words in found:
        if words[0] not in PLAIN:
            assert trouble_with(words) is None, words


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_its_make_targets_exist() -> None:
    lines = [words for words in commands() if words[0] == "make"]

    assert {words[1] for words in lines} == {"run", "test", "lint"}
    for words in lines:
        tried = subprocess.run([*words, "-n"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert tried.returncode == 0, tried.stderr


def test_what_it_gives_dagster_is_what_the_readme_says() -> None:
    readme = (ROOT / "README.md").read_text()
    for words in commands():
        if words[:3] in (["dagster", "asset", "materialize"], ["dagster", "job", "execute"]):
            assert " ".join(words[:3]) in readme


def test_railway_builds_and_starts_what_is_there() -> None:
    config = yaml.safe_load((ROOT / "railway.json").read_text())

    assert (ROOT / config["build"]["dockerfilePath"]).is_file()
    assert trouble_with(shlex.split(config["deploy"]["startCommand"])) is None
    assert config["deploy"]["numReplicas"] == 1
