"""Errors as RFC 9457 problem documents: what the caller may know, and the id under which the log has the rest."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from metapulse_assets.service.unavailable import UNAVAILABLE_ERRORS

MEDIA_TYPE = "application/problem+json"
# After so many seconds it is worth asking again when the database is away.
RETRY_SECONDS = 5
LONGEST_SHOWN = 200

PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457). Further members say more where there is more to say.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "always about:blank: the status says which kind it is"},
        "title": {"type": "string", "description": "the status in words"},
        "status": {"type": "integer", "description": "the HTTP status"},
        "detail": {"type": "string", "description": "what is wrong, for people"},
        "request_id": {"type": "string", "description": "under which the service's log has this request"},
        "errors": {
            "type": "array",
            "description": "each field at fault, with what is wrong with it",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


class Problem(Exception):  # noqa: N818 - the standard's word
    """An answer that is an error. `detail` and `extra` are shown to the caller: no internals, no secrets."""

    def __init__(
        self, status: int, title: str | None = None, detail: str = "", *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        """`title`: the status's own words if None. `extra`: further members of the document (JSON)."""
        super().__init__(detail)
        self.status = status
        self.title = title or HTTPStatus(status).phrase
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra

    def response(self, request_id: str) -> JSONResponse:
        """The document, as an answer."""
        document = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            **self.extra,
        }
        return JSONResponse(document, self.status, self.headers, MEDIA_TYPE)


def wrong_fields(status: int, errors: Sequence[tuple[str, str]]) -> Problem:
    """The problem of a request whose fields are wrong: (field, message) each."""
    shown = [{"field": field, "message": message} for field, message in errors]
    return Problem(status, None, "; ".join(f"{field}: {message}" for field, message in errors), errors=shown)


def unavailable(detail: str = "The database cannot be reached; try again.") -> Problem:
    """The problem of a service whose database is away."""
    return Problem(503, None, detail, headers={"Retry-After": str(RETRY_SECONDS)})


def install(app: FastAPI) -> None:
    """Have every error that a route raises answered as a problem. Unexpected ones are `request_log.py`'s."""
    app.add_exception_handler(Problem, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_starlette)
    for error in UNAVAILABLE_ERRORS:
        app.add_exception_handler(error, _of_database)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer these problems, for the OpenAPI page."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def request_id_of(request: Request) -> str:
    """The id that this request has in the log."""
    return str(request.scope.get("state", {}).get("request_id", ""))


async def _of_ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)  # noqa: S101 - registered for no other
    return error.response(request_id_of(request))


async def _of_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for no other
    fields = [(_place(one["loc"]), str(one["msg"]).removeprefix("Value error, ")) for one in error.errors()]
    return wrong_fields(422, fields).response(request_id_of(request))


async def _of_starlette(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for no other
    details = {404: "There is no such page.", 405: f"{request.method} is not for this page."}
    problem = Problem(error.status_code, None, details.get(error.status_code, str(error.detail)), headers=error.headers)
    return problem.response(request_id_of(request))


async def _of_database(request: Request, error: Exception) -> JSONResponse:
    return unavailable().response(request_id_of(request))


def _place(loc: Sequence[Any]) -> str:
    """Where in a request a value stands, as `query.limit` or `body.data`."""
    return ".".join(str(part)[:LONGEST_SHOWN] for part in loc)
