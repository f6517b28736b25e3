"""README and docs: every setting, command, link, alarm and figure that they name is real."""

import ast
import functools
import math
import re
import shlex
from pathlib import Path

import pytest
import sqlalchemy as sa

from metapulse_assets.definitions import all_checks
from metapulse_assets.intelligence.prices import price_of
from metapulse_assets.operations.alarms import GRAPH_PREFIXES, HEALTH_PREFIXES
from metapulse_assets.operations.retention_rules import periods
from metapulse_assets.platform.settings import Settings, load_settings, variables_of
from metapulse_assets.vendors import dexscreener, x
from metapulse_assets_tests.deploy.commands import trouble_with
from metapulse_assets_tests.deploy.delivered import DAGSTERS, SETTINGS, yaml
from metapulse_assets_tests.docs.pages import PAGES, ROOT, blocks

GO_LIVE, OPERATIONS = (ROOT / "docs" / name for name in ("go-live.md", "operations.md"))
FIELDS = {variables_of(field)[0]: field for field in Settings.model_fields}


def cells(page: Path) -> list[list[str]]:
    """The rows of a page's tables."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_exist(page: Path) -> None:
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`", page.read_text()))

    assert named - SETTINGS - DAGSTERS - constants() == set()


@functools.cache
def constants() -> set[str]:
    """Names of constants in the code, which a page may speak of too."""
    found: set[str] = set()
    for file in (ROOT / "metapulse_assets").rglob("*.py"):
        found |= set(re.findall(r"^([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b.*=", file.read_text(), re.MULTILINE))
    return found


def joined(block: str) -> list[str]:
    """The lines of a shell's block, continued ones as one."""
    return block.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    lines = [line for language in ("sh", "bash") for block in blocks(page, language) for line in joined(block)]
    lines += re.findall(r"`((?:metapulse|dagster|make) [^`]+)`", page.read_text())
    for line in lines:
        command = line.split("#")[0].strip().replace("$(", "").replace(")", "").replace("|", " ").replace("…", "")
        if command.startswith(("metapulse ", "dagster ", "dagster-")):
            assert trouble_with(shlex.split(command)) is None, line
        elif command.startswith("make "):
            targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
            assert command.split()[1] in targets, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        file, _, place = target.partition("#")
        linked = (page.parent / file) if file else page
        assert linked.exists(), target
        if place:
            titles = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert place in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}, target


def alarm_prefixes() -> set[str]:
    """The first words of all alarms' keys that the code can raise: of `Condition(f"word:…")`, and of `check_key`."""
    found: set[str] = set()
    for file in (ROOT / "metapulse_assets").rglob("*.py"):
        text = file.read_text()
        if "Condition" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                word = re.match(r"[a-z_]+:(?=$)", str(node.values[0].value))
                found |= {word[0]} if word else set()
    return found


def test_every_alarm_is_explained() -> None:
    prefixes = alarm_prefixes()

    assert {"run_failed:", *GRAPH_PREFIXES, *HEALTH_PREFIXES} <= prefixes
    explained = {row[0].strip("`").partition(":")[0] + ":" for row in cells(OPERATIONS) if re.match(r"`[a-z_]+:[A-Z]", row[0])}
    assert explained == prefixes


def test_every_check_is_explained_and_known_to_block_or_not() -> None:
    blocking = {spec.name: spec.blocking for check in all_checks() for spec in check.check_specs}
    start = OPERATIONS.read_text().index("### Checks")
    section = OPERATIONS.read_text()[start : OPERATIONS.read_text().index("## The work queue")]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    shown = {name: bool(mark) for row in rows for name, mark in re.findall(r"`(\w+)`( \*b\*)?", row)}

    assert shown == blocking


def test_statements_can_be_run(engine: sa.Engine) -> None:
    text = OPERATIONS.read_text()
    statements = [*blocks(OPERATIONS, "sql"), *re.findall(r"`(SELECT [^`]+)`", text)]

    assert len(statements) > 4
    for statement in statements:
        with engine.connect() as connection:
            connection.execute(sa.text(statement))


def test_the_retention_table_is_the_rules() -> None:
    settings = load_settings()
    wanted = [[f"`{variables_of(p.setting)[0]}`", str(p.days), str(p.least)] for p in periods(settings).values()]

    assert sorted(row[:3] for row in cells(OPERATIONS) if "RETENTION_DAYS`" in row[0]) == sorted(wanted)


def test_the_defaults_shown_are_the_defaults() -> None:
    defaults = Settings.model_construct()
    rows = [row for row in cells(GO_LIVE) if re.fullmatch(r"`[A-Z_0-9]+`", row[0]) and len(row) == 3]

    assert len(rows) > 10
    for name, shown, _ in rows:
        default = getattr(defaults, FIELDS[name.strip("`")])
        text = ",".join(default) if isinstance(default, tuple) else "" if default is None else str(default)
        assert float(shown) == default if isinstance(default, int | float) else shown == (text or "–"), name


def test_prices_are_those_that_budgets_are_kept_by() -> None:
    text = GO_LIVE.read_text()

    assert f"{x.USD_PER_POST:.3f} USD a post, {x.USD_PER_AUTHOR:.3f} an author, {x.USD_PER_COUNT:.3f} a count" in text
    for model in (load_settings().groq_model, load_settings().gemini_model):
        price = price_of(model)
        assert price is not None
        assert re.search(rf"`{re.escape(model)}`: {price.read:.2f} USD [a-z ]*read, {price.written:.2f} written", text), model


def test_the_requests_of_a_day_are_computed_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(mode="live")
    ticks = 86_400_000 // settings.token_data_interval
    ai_ticks = 86_400_000 // settings.ai_analysis_interval
    chains, tokens = len(settings.tracked_chains), settings.max_tracked_tokens
    snapshots = (math.ceil(tokens / dexscreener.ADDRESSES_PER_CALL) + chains - 1) * ticks
    budget = settings.x_budget_usd_per_day
    figures = {row[0]: row[1] for row in cells(GO_LIVE) if len(row) == 3}

    assert figures["DexScreener, lists"] == f"{3 * ticks}"
    assert figures["DexScreener, snapshots"] == f"at most {snapshots:,}"
    assert figures["GeckoTerminal, trending"] == f"{chains * ticks:,}"
    assert figures["GeckoTerminal, history"].startswith(f"at most {settings.history_budget * ticks:,},")
    assert figures["RugCheck and GoPlus"] == f"{tokens} or so, at most {24 * tokens:,}"
    fewest, most = budget / (x.USD_PER_POST + x.USD_PER_AUTHOR), budget / x.USD_PER_POST
    assert figures["X"] == f"about {fewest:.0f} to {most:,.0f} posts"
    assert figures["Groq, Gemini"] == f"at most {(2 * settings.ai_tokens_per_run + 3 * 7 + 1) * ai_ticks:,} each"


def test_the_example_of_secret_files_is_what_compose_takes() -> None:
    [text] = [block for block in blocks(GO_LIVE, "yaml") if "secrets:" in block]
    found = yaml.safe_load(text)
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]

    assert set(found["services"]) <= set(services)
    named = {name for service in found["services"].values() for name in service["secrets"]}
    assert {name.upper() for name in named} <= SETTINGS


def test_a_secret_file_is_a_setting(tmp_path: Path) -> None:
    (tmp_path / "groq_api_key").write_text("from a file\n")
    (tmp_path / "GEMINI_API_KEY").write_text("from another")
    settings = Settings(_secrets_dir=tmp_path)

    assert settings.secrets() == ["from another", "from a file"]
