"""The outermost middle layer: an id for each request, a line in the log, headers for safety, a plain 500 for our own faults."""

import json
import logging
import sys
import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metapulse_assets.platform.json_logs import JsonFormatter, known_secrets
from metapulse_assets.platform.redaction import redact
from metapulse_assets.platform.settings import Settings
from metapulse_assets.service.problems import Problem
from metapulse_assets.service.unavailable import UNAVAILABLE_ERRORS

LOGGER = logging.getLogger("metapulse.service")
REQUEST_ID = "X-Request-ID"
MODE = "X-MetaPulse-Mode"
# What nginx logs for it.
CLIENT_GONE = 499
# The page that describes us has scripts and styles of its own files; nothing else of ours is shown in a browser.
_DOCS_POLICY = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
_NO_POLICY = "default-src 'none'; frame-ancestors 'none'"
_CACHEABLE = "/static-offline-docs/"
_DOCS = "/docs"


class RequestLog:
    """ASGI middleware. Path templates are logged, never paths, query strings, bodies or tokens."""

    def __init__(self, app: ASGIApp, mode: str) -> None:
        """`mode`: named in every answer, so that nobody takes the sandbox for live."""
        self._app = app
        self._mode = mode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on; whatever happens, answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(MutableHeaders(scope=message), scope["path"], request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            # Whoever hung up gets no answer.
            status = status or CLIENT_GONE
        except UNAVAILABLE_ERRORS as error:
            LOGGER.error("request %s: the database cannot be reached: %s", request_id, type(error).__name__)
            if not status:
                await _internal(503, request_id)(scope, receive, send_with_headers)
        except Exception:
            LOGGER.exception("request %s failed", request_id)
            if not status:
                await _internal(500, request_id)(scope, receive, send_with_headers)
        finally:
            self._log(scope, status, (time.perf_counter() - began) * 1000, request_id)

    def _add_headers(self, headers: MutableHeaders, path: str, request_id: str) -> None:
        headers[REQUEST_ID] = request_id
        headers[MODE] = self._mode
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Content-Security-Policy"] = _DOCS_POLICY if path.startswith(_DOCS) else _NO_POLICY
        if not path.startswith(_CACHEABLE):
            headers["Cache-Control"] = "no-store"

    def _log(self, scope: Scope, status: int, milliseconds: float, request_id: str) -> None:
        if LOGGER.isEnabledFor(logging.INFO):
            facts = {
                "method": scope["method"],
                "path": path_template(scope),
                "status": status,
                "ms": round(milliseconds, 1),
                "request_id": request_id,
            }
            LOGGER.info("%(method)s %(path)s %(status)s in %(ms)s ms, request %(request_id)s", facts, extra={"facts": facts})


def path_template(scope: Scope) -> str:
    """The path of the route that answered, as `/jobs/{job_id}`; what fits no route is not repeated."""
    path = getattr(scope.get("route"), "path", None)
    if path is not None:
        return str(path)
    return "(refused)" if scope.get("state", {}).get("refused") else "(no such page)"


def _internal(status: int, request_id: str) -> "ASGIApp":
    detail = "The service failed; its log has the reason under this request id." if status == 500 else "Try again."
    return Problem(status, None, detail, headers={"Retry-After": "5"} if status == 503 else None).response(request_id)


class ServiceJsonFormatter(JsonFormatter):
    """A JSON line, with the facts of a request as members of their own."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = json.loads(super().format(record))
        facts = getattr(record, "facts", None)
        return json.dumps({**line, **facts} if facts else line)


class ServiceTextFormatter(logging.Formatter):
    """A short line: when, what."""

    def format(self, record: logging.LogRecord) -> str:
        """One line (more for an error's trace)."""
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        text = f"{time.strftime('%H:%M:%S', time.gmtime(record.created))}  {level}{record.getMessage()}{trace}"
        return redact(text, known_secrets())


def set_up_logging(settings: Settings) -> None:
    """Send what this process logs to standard error, in the settings' format and level.

    As text, single requests are shown at level debug only: a person who watches wants to see what went wrong.
    """
    stream = logging.StreamHandler(sys.stderr)
    as_json = settings.log_format == "json"
    stream.setFormatter(ServiceJsonFormatter() if as_json else ServiceTextFormatter())
    if not as_json and settings.log_level != "debug":
        stream.addFilter(lambda record: not hasattr(record, "facts"))
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(logging.WARNING)
    logging.getLogger("metapulse").setLevel(settings.log_level.upper())
