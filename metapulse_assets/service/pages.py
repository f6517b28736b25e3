"""What the modules of pages share: the state of the application, answers as JSON, what every page may answer."""

from typing import Any

from fastapi import Request
from fastapi.responses import Response

from metapulse_assets.platform.runtime import Platform
from metapulse_assets.service.answer_cache import AnswerCache, as_json_bytes
from metapulse_assets.service.database import ServiceDatabase
from metapulse_assets.service.problems import documented

# What any page that needs a token may answer.
ALWAYS = documented(401, 403, 429, 503)


def platform_of(request: Request) -> Platform:
    """Settings and clock."""
    found: Platform = request.app.state.platform
    return found


def database_of(request: Request) -> ServiceDatabase:
    """The ways to the database."""
    found: ServiceDatabase = request.app.state.database
    return found


def cache_of(request: Request) -> AnswerCache:
    """Answers of the last moment."""
    found: AnswerCache = request.app.state.cache
    return found


def answer(value: Any, status: int = 200, **headers: str) -> Response:
    """A value as JSON."""
    return Response(as_json_bytes(value), status, headers, "application/json")


def shown(description: str, example: Any) -> dict[str, Any]:
    """A good answer for the OpenAPI page, by an example."""
    return {"description": description, "content": {"application/json": {"schema": _schema(example), "example": example}}}


def _schema(example: Any) -> dict[str, Any]:
    """What an example says of the shape: objects by their members, lists by their first item. Single values may be null."""
    if isinstance(example, dict):
        return {
            "type": "object",
            "required": sorted(example),
            "properties": {name: _schema(value) for name, value in example.items()},
        }
    if isinstance(example, list):
        return {"type": "array", "items": _schema(example[0]) if example else {}}
    kinds = {bool: "boolean", int: "number", float: "number", str: "string"}
    return {"type": [kinds[type(example)], "null"]} if type(example) in kinds else {}
