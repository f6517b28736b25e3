"""What the OpenAPI page says beyond what the routes say themselves: problems, the token, the scope of each page."""

from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from metapulse_assets.service.access.callers import Require
from metapulse_assets.service.problems import PROBLEM_SCHEMA

TITLE = "MetaPulse"
TEXT = """
Signals, tokens, jobs and the state of MetaPulse, for programs.

**Who may ask.** A token (`metapulse token create NAME --scopes …`) goes into the header `Authorization: Bearer mp_…`, never
into the URL. In development, programs on the same machine need none.

**How often.** By default 100 requests in any 60 seconds for each user; then 429 with `Retry-After`. `/health…` and `/metrics`
are not counted.

**Errors** are problem documents (`application/problem+json`, RFC 9457) with the id under which the service's log has the
request.

**Bodies** are read as JSON, whatever the Content-Type says.

Everything that was made in the sandbox is marked `"mode": "sandbox"` and must not be traded on; every answer names the mode in
the header `X-MetaPulse-Mode`.
"""
SCHEME = "token"


def describe(app: FastAPI) -> None:
    """Have the application describe itself so."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = description_of(app)
        return app.openapi_schema

    # FastAPI's own way to replace it.
    app.openapi = openapi  # type: ignore[method-assign]


def description_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document."""
    document = get_openapi(title=TITLE, version=app.version, description=TEXT.strip(), routes=app.routes)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = PROBLEM_SCHEMA
    components["securitySchemes"] = {
        SCHEME: {"type": "http", "scheme": "bearer", "description": "a token of `metapulse token create`"}
    }
    for route in api_routes(app):
        scope = scope_of(route)
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is None:
                continue
            _drop_other_errors(operation)
            if scope is not None:
                operation["security"] = [{SCHEME: []}]
                operation["description"] = f"{operation.get('description', '')}\n\nScope: `{scope}`.".strip()
    # FastAPI's own form of errors, which no page of ours has.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return document


def api_routes(app: FastAPI) -> list[APIRoute]:
    """The pages that programs ask for, those for development among them."""
    routes = (context.original_route for context in iter_route_contexts(app.routes))
    return [route for route in routes if isinstance(route, APIRoute) and route.include_in_schema]


def scope_of(route: APIRoute) -> str | None:
    """The scope that a route needs; None: it is open."""
    return _scope_in(route.dependant)


def _scope_in(dependant: Dependant) -> str | None:
    for inner in dependant.dependencies:
        if isinstance(inner.call, Require):
            return inner.call.scope
        found = _scope_in(inner)
        if found is not None:
            return found
    return None


def _drop_other_errors(operation: dict[str, Any]) -> None:
    answer = operation["responses"].get("422")
    if answer and "application/json" in answer.get("content", {}):
        if len(answer["content"]) > 1:
            del answer["content"]["application/json"]
        else:
            del operation["responses"]["422"]
