"""deploy/Dockerfile, as far as it can be held against the repository without a Docker daemon."""

import fnmatch
import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from metapulse_assets.platform.settings import load_settings
from metapulse_assets_tests.deploy.commands import trouble_with
from metapulse_assets_tests.deploy.delivered import DAGSTERS, ROOT, SETTINGS, argument_list, instructions, last_stage

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILDERS = {"pip", "apt-get", "gcc", "make", "curl", "wget", "git"}


def of(word: str) -> list[str]:
    return [rest for name, rest in last_stage() if name == word]


def copied() -> list[str]:
    """What is copied from the repository."""
    sources = (rest.split() for word, rest in instructions() if word == "COPY" and "--from=" not in rest)
    return [source for words in sources for source in words[:-1]]


def is_sent_to_the_builder(path: str) -> bool:
    """What .dockerignore says: the last line that fits decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted = pattern.removeprefix("!").removeprefix("**/")
        parts = Path(path).parts
        names = {"/".join(parts[:end]) for end in range(1, len(parts) + 1)} | (set(parts) if "**/" in pattern else set())
        if any(fnmatch.fnmatch(name, wanted) for name in names):
            sent = pattern.startswith("!")
    return sent


def test_the_python_is_pinned_and_allowed() -> None:
    stages = [rest.split()[0] for word, rest in instructions() if word == "FROM"]

    assert len(stages) == 2
    [image] = set(stages)
    pinned = re.fullmatch(r"python:(3\.\d+)-slim", image)
    assert pinned, image
    assert PROJECT["project"]["requires-python"].startswith(f">={pinned[1]},")


def test_all_that_is_copied_is_there_and_nothing_secret_can_be() -> None:
    assert copied()
    for source in copied():
        assert (ROOT / source).exists(), source
        assert is_sent_to_the_builder(source), source
    for path in (".env", "deploy/.env", "metapulse_assets/.env", ".git/config", ".metapulse/identity", "docs/go-live.md"):
        assert not is_sent_to_the_builder(path), path


def test_the_image_has_all_files_of_the_package() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["metapulse_assets"]
    package = ROOT / "metapulse_assets"
    found = [path.relative_to(package) for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    data = [path for path in found if path.suffix != ".py"]

    assert data
    missing = [str(path) for path in data if not any(path.match(pattern.removeprefix("**/")) for pattern in patterns)]
    assert missing == []
    # The migrations are folders without __init__.py, which only this way of looking takes for packages.
    assert PROJECT["tool"]["setuptools"]["packages"]["find"].get("namespaces", True)


def test_the_commands_it_runs_exist() -> None:
    for word, rest in instructions():
        if word == "RUN":
            for part in rest.split("&&"):
                program = shlex.split(part)[0]
                places = f"{Path(sys.executable).parent}:/usr/sbin:/sbin"
                assert shutil.which(program) or shutil.which(program, path=places), program


def test_what_is_installed_is_what_is_locked() -> None:
    runs = " ".join(rest for word, rest in instructions() if word == "RUN")

    assert "-r requirements.lock" in runs
    assert "--no-deps ." in runs
    unpinned = [
        line
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if re.match(r"^[A-Za-z0-9]", line) and "==" not in line
    ]
    assert unpinned == []


def test_the_last_stage_builds_nothing_and_is_not_root() -> None:
    programs = {shlex.split(part)[0] for rest in of("RUN") for part in rest.split("&&")}

    assert programs.isdisjoint(BUILDERS)
    assert of("USER") == ["metapulse"]
    words = [word for word, _ in last_stage()]
    assert words.index("USER") < words.index("CMD")
    assert of("VOLUME") == ["/var/lib/metapulse"]


def test_no_secret_is_named_in_a_layer() -> None:
    for word, rest in instructions():
        if word in ("ENV", "ARG", "LABEL"):
            assert not re.search(r"KEY|TOKEN|SECRET|PASSWORD|DATABASE_URL", rest), rest


def test_its_variables_are_settings_or_dagsters() -> None:
    names = {word.partition("=")[0] for rest in of("ENV") for word in shlex.split(rest)}

    assert "METAPULSE_HOME" in names
    assert names - SETTINGS - DAGSTERS == {"PATH", "PYTHONUNBUFFERED"}


def test_its_ports_are_the_defaults() -> None:
    settings = load_settings()
    wanted = {settings.webserver_port, settings.port, settings.metrics_port, settings.health_port}

    assert {int(port) for rest in of("EXPOSE") for port in rest.split()} == wanted
    [check] = of("HEALTHCHECK")
    assert f'"{settings.health_port}"' in check


@pytest.mark.parametrize("word", ["CMD", "HEALTHCHECK"])
def test_its_own_commands_are_known(word: str) -> None:
    [rest] = of(word)

    assert trouble_with(argument_list(rest.rpartition("CMD ")[2])) is None
