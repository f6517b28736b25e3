"""Logs: every line is one JSON object, and no secret is in it, wherever it was planted."""

import json
import logging
import sys
from collections.abc import Iterator

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform import console_log, json_logs
from metapulse_assets.platform.json_logs import JsonFormatter
from metapulse_assets.platform.settings import SettingsError, load_settings

SECRET = 'pl"an\\ted\u00e9-secret'
formatter = JsonFormatter()


@pytest.fixture(autouse=True)
def planted_secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings that hold the secret."""
    settings = load_settings(groq_api_key=SECRET, database_url="postgres://u:hunter22@h/d", log_format="text")
    for module in (json_logs, console_log):
        monkeypatch.setattr(module, "get_settings", lambda: settings)
    json_logs.known_secrets.cache_clear()
    yield
    json_logs.known_secrets.cache_clear()


def record(message: str, *args: object, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    """A log record as the logging module makes it."""
    return logging.getLogger("metapulse").makeRecord("metapulse", level, __file__, 1, message, args, None, extra=extra or None)


@given(message=st.text(st.characters()), argument=st.text(st.characters()))
def test_every_line_is_one_json_object(message: str, argument: str) -> None:
    line = formatter.format(record("%s=%s", message, argument))
    assert line.isprintable()
    assert line.isascii()
    assert set(json.loads(line)) == {"time", "level", "logger", "message"}


@given(
    text=st.text(st.characters(exclude_categories=["Cs"])).filter(
        lambda t: "=" not in t and "://" not in t and "b" not in t.lower()
    )
)
def test_a_message_arrives_as_it_was(text: str) -> None:
    assert json.loads(formatter.format(record("%s", text)))["message"] == text


@pytest.mark.parametrize("before", ["", "token=", 'password="', "https://h/?key=", "postgres://u:", "\\", '"', "a\n"])
def test_a_secret_in_a_message_is_masked(before: str) -> None:
    line = formatter.format(record("asked %s, got %r", f"{before}{SECRET}", SECRET))
    message = json.loads(line)["message"]
    assert "secret" not in message.replace("***", "")
    assert "pl" not in message


def test_a_secret_in_an_exception_and_in_a_url_is_masked() -> None:
    try:
        raise ConnectionError(f"no route to postgres://u:hunter22@h/d?password=abc with {SECRET}")
    except ConnectionError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    line = json.loads(formatter.format(made))
    assert "ConnectionError: no route to ***" in line["error"]
    assert "hunter22" not in line["error"]
    assert "password=abc" not in line["error"]
    assert SECRET not in line["error"]


def test_a_line_says_which_run_and_step_it_belongs_to() -> None:
    meta = {"run_id": "r1", "job_name": "market_tick", "op_name": "candles", "step_key": "candles", "dagster_event": None}
    line = json.loads(formatter.format(record("done", dagster_meta=meta)))
    assert {name: line[name] for name in ("run_id", "job", "step", "step_key")} == {
        "run_id": "r1",
        "job": "market_tick",
        "step": "candles",
        "step_key": "candles",
    }
    assert line["level"] == "info"
    assert "event" not in line


def test_a_name_of_ours_that_is_also_a_secret_does_not_break_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_logs, "get_settings", lambda: load_settings(groq_api_key="message"))
    json_logs.known_secrets.cache_clear()
    assert json.loads(formatter.format(record("a message")))["message"] == "a ***"


def test_settings_that_cannot_be_read_do_not_stop_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise SettingsError("PORT: wrong")

    monkeypatch.setattr(json_logs, "get_settings", broken)
    json_logs.known_secrets.cache_clear()
    assert json_logs.known_secrets() == ()
    assert json.loads(formatter.format(record("hello")))["message"] == "hello"


@dg.asset
def quotes(context: dg.AssetExecutionContext) -> None:
    """Says something, and fails if told to."""
    context.log.info(f"3 of 4 - stored, key {SECRET}")
    if context.run.tags.get("fail"):
        raise RuntimeError("the vendor is gone")


@dg.multi_asset_check(
    name="quotes_checks", specs=[dg.AssetCheckSpec("fresh", asset=quotes), dg.AssetCheckSpec("whole", asset=quotes)]
)
def quotes_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """One fails, the other passes."""
    if context.run.tags.get("break"):
        raise RuntimeError("the check is broken")
    yield dg.AssetCheckResult(check_name="fresh", passed=False, metadata={"age": 7})
    yield dg.AssetCheckResult(check_name="whole", passed=True)


def console_of(
    capfd: pytest.CaptureFixture[str], log_format: str, level: str, monkeypatch: pytest.MonkeyPatch, **tags: str
) -> list[str]:
    """What a run of the asset and its check says on the console."""
    settings = load_settings(groq_api_key=SECRET, log_format=log_format, log_level=level)
    for module in (json_logs, console_log):
        monkeypatch.setattr(module, "get_settings", lambda: settings)
    defs = dg.Definitions(assets=[quotes], asset_checks=[quotes_checks], loggers={"console": console_log.console_logger})
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        job.execute_in_process(
            instance=instance, raise_on_error=False, tags=tags, run_config={"loggers": {"console": {"config": {}}}}
        )
    return capfd.readouterr().err.splitlines()


def test_console_shows_people_a_line_a_step(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = console_of(capfd, "text", "info", monkeypatch)
    assert [line[10:].split(" in ")[0].strip() for line in lines] == [
        "quotes               …",
        "quotes               3 of 4 - stored, key ***",
        "quotes               done",
        "quotes_checks        check fresh of quotes FAILED: age 7",
    ]


def test_console_says_why_a_step_failed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = console_of(capfd, "text", "error", monkeypatch, fail="yes")
    assert "RuntimeError: the vendor is gone" in lines
    assert any(line.endswith('error: Execution of step "quotes" failed.') for line in lines)
    assert not any("stored" in line for line in lines)


def test_console_says_that_a_check_is_broken(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "RuntimeError: the check is broken" in console_of(capfd, "text", "info", monkeypatch, **{"break": "yes"})


def test_console_as_json_has_the_run_on_every_line(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.loads(line) for line in console_of(capfd, "json", "debug", monkeypatch)]
    assert len({line["run_id"] for line in lines}) == 1
    assert {"STEP_START", "STEP_SUCCESS", "ASSET_MATERIALIZATION", "PIPELINE_SUCCESS"} <= {line.get("event") for line in lines}
    assert not any(SECRET in value for line in lines for value in line.values())
