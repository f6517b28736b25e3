"""Logs of workers: each line names the job it is about; secrets are masked. JSON lines, or short ones for people."""

import json
import logging
import os
import sys
import time

from metapulse_assets.platform.json_logs import JsonFormatter, known_secrets
from metapulse_assets.platform.redaction import redact
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue.job import current_job

LOGGER = logging.getLogger("metapulse.worker")


class JobJsonFormatter(JsonFormatter):
    """A JSON line with the job, its queue and attempt, and the process."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = json.loads(super().format(record))
        job = current_job.get()
        about = {} if job is None else {"job_id": job.job_id, "queue": job.queue, "attempt": job.attempt}
        return json.dumps({**line, **about, "pid": os.getpid()})


class JobTextFormatter(logging.Formatter):
    """A short line: when, which job, what."""

    def format(self, record: logging.LogRecord) -> str:
        """One line (more for an error's trace)."""
        job = current_job.get()
        about = f"[{os.getpid()}]" if job is None else f"{job.queue} #{job.job_id}"
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        text = f"{record.getMessage()}" + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")
        return redact(f"{time.strftime('%H:%M:%S', time.gmtime(record.created))}  {about}  {level}{text}", known_secrets())


def set_up_logging(settings: Settings) -> None:
    """Send what this process logs to standard error, in the settings' format and level."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(JobJsonFormatter() if settings.log_format == "json" else JobTextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [stream]
    # Libraries are heard only when something is wrong; ours as the settings say.
    root.setLevel(logging.WARNING)
    logging.getLogger("metapulse").setLevel(settings.log_level.upper())
