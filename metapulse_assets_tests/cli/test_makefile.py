"""The Makefile: what it lists, what it passes on, what it refuses."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {"help", "run", "up", "test", "bench", "lint", "lock"}

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    # What an outer make leaves in the environment of `make test`.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MODE", "ONLY")}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_without_a_target_it_lists_them() -> None:
    assert set(re.findall(r"^  make (\w+) ", make().stdout, re.MULTILINE)) == TARGETS


def test_the_mode_is_passed_on() -> None:
    assert "metapulse run --mode live" in make("-n", "run", "MODE=live").stdout
    assert make("-n", "up").stdout.rstrip().endswith("metapulse up")


def test_an_older_python_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    refused = make(f"VENV={tmp_path / 'venv'}", f"PYTHON={old}", f"{tmp_path / 'venv'}/.root")

    assert refused.returncode != 0
    assert "needs Python 3.11" in refused.stderr
    assert not (tmp_path / "venv").exists()
