"""Logs as one JSON object a line, with secrets masked. Used for our own loggers and, by dagster.yaml, for Dagster's."""

import json
import logging
from datetime import UTC, datetime
from functools import cache
from typing import Any

from metapulse_assets.platform.redaction import redact
from metapulse_assets.platform.settings import SettingsError, get_settings

# Facts that Dagster knows of a record, under the names we give them.
_DAGSTER_FIELDS = {"run_id": "run_id", "job_name": "job", "op_name": "step", "step_key": "step_key"}


class JsonFormatter(logging.Formatter):
    """Formats a record as JSON: time, level, logger, message, and the run and step it belongs to."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_dagster_facts(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        # Masked before it is JSON: a mask over an escaped quote would break the line, an escaped secret would be missed.
        # ASCII, since a lone surrogate cannot be written and some readers take U+2028 for the end of a line.
        return json.dumps({name: redact(str(value), known_secrets()) for name, value in line.items()})


@cache
def known_secrets() -> tuple[str, ...]:
    """The secrets that the settings hold, none if the settings cannot be read."""
    try:
        return tuple(get_settings().secrets())
    except SettingsError:
        return ()


def _dagster_facts(record: logging.LogRecord) -> dict[str, Any]:
    meta = getattr(record, "dagster_meta", None) or {}
    facts = {name: meta[key] for key, name in _DAGSTER_FIELDS.items() if meta.get(key)}
    event = meta.get("dagster_event")
    if event is not None:
        facts["event"] = getattr(event, "event_type_value", None) or str(event)
    return facts
