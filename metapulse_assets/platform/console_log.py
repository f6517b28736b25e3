"""What a run says on the console: JSON lines for machines, or one short line a step for people."""

import logging
import sys
import time
from typing import Any

import dagster as dg

from metapulse_assets.platform.json_logs import JsonFormatter, known_secrets
from metapulse_assets.platform.redaction import redact
from metapulse_assets.platform.settings import get_settings

STEP_STARTS, STEP_ENDS, STEP_FAILS, STEP_RETRIES = "STEP_START", "STEP_SUCCESS", "STEP_FAILURE", "STEP_UP_FOR_RETRY"
CHECK = "ASSET_CHECK_EVALUATION"


def make_console_logger(context: dg.InitLoggerContext) -> logging.Logger:
    """The logger that Dagster hands every event and message of a run: short lines, or JSON (METAPULSE_LOG_FORMAT=json)."""
    settings = get_settings()
    # Steps begin and end at level debug, so the level is judged in the filter, event by event.
    logger = logging.Logger("metapulse.run", logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else StepFormatter())
    if settings.log_level != "debug":
        handler.addFilter(worth_a_line)
    logger.addHandler(handler)
    return logger


console_logger = dg.LoggerDefinition(make_console_logger, description="One short line a step, or JSON lines.")


def worth_a_line(record: logging.LogRecord) -> bool:
    """Whether people want to see a record: steps, failed checks, failures of any kind, messages of ours."""
    event = _event_of(record)
    if event is None:
        return record.levelno >= logging.getLevelNamesMapping()[get_settings().log_level.upper()]
    if event.event_type_value == CHECK:
        return not bool(event.event_specific_data.passed)
    if record.levelno >= logging.ERROR:
        return True
    return event.event_type_value in (STEP_STARTS, STEP_ENDS, STEP_FAILS, STEP_RETRIES) and not _is_check_step(record)


class StepFormatter(logging.Formatter):
    """Formats a record as a short line: when, which step, what."""

    def __init__(self) -> None:
        """Starts the clock of the steps."""
        super().__init__()
        self._started: dict[str, float] = {}

    def format(self, record: logging.LogRecord) -> str:
        """One line (more for an error's trace)."""
        event, step = _event_of(record), _step_of(record)
        text = record.getMessage()
        if event is not None:
            text = self._say(event, step)
        else:
            # Dagster puts job, run and step before a message of ours; the line names the step already.
            text = (getattr(record, "dagster_meta", None) or {}).get("orig_message") or text
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return redact(f"{time.strftime('%H:%M:%S', time.gmtime(record.created))}  {step:<20} {level}{text}", known_secrets())

    def _say(self, event: Any, step: str) -> str:
        kind = event.event_type_value
        if kind == STEP_STARTS:
            self._started[step] = time.monotonic()
            return "…"
        if kind == STEP_ENDS:
            return f"done in {time.monotonic() - self._started.get(step, time.monotonic()):.1f} s"
        if kind == CHECK:
            data = event.event_specific_data
            return f"check {data.check_name} of {data.asset_key.to_user_string()} FAILED: " + ", ".join(
                f"{name} {value.value}" for name, value in data.metadata.items()
            )
        error = getattr(event.event_specific_data, "error", None)
        return "\n".join(filter(None, (str(event.message or kind), _reason(error))))


def _reason(error: Any) -> str:
    """What went wrong first, with its trace: Dagster wraps it into errors of its own."""
    if error is None:
        return ""
    return _reason(error.cause) if error.cause else str(error.to_string()).strip()


def _event_of(record: logging.LogRecord) -> Any:
    return (getattr(record, "dagster_meta", None) or {}).get("dagster_event")


def _step_of(record: logging.LogRecord) -> str:
    meta = getattr(record, "dagster_meta", None) or {}
    return str(meta.get("step_key") or meta.get("op_name") or "")


def _is_check_step(record: logging.LogRecord) -> bool:
    return _step_of(record).endswith("_checks")
