"""Bodies of requests: no longer than allowed, read as JSON whatever they call themselves, each fault named with its place."""

import asyncio
import json
import math
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metapulse_assets.service.problems import Problem, wrong_fields

Model = TypeVar("Model", bound=BaseModel)
DEEPEST_NESTING = 50
# For a whole body; who sends less than that is not served by waiting.
BODY_SECONDS = 30.0
# Of IEEE doubles, which is what most readers of JSON take a number for.
LARGEST_INTEGER = 2**63 - 1
LONGEST_NAME_SHOWN = 60


class BodyLimit:
    """ASGI middleware: a body that is too long raises `Problem` 413 in whoever reads it, also if it came in pieces.

    One that takes too long raises 408.
    """

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        """`most_bytes`: of a whole body."""
        self._app = app
        self._most = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, its body counted as it is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._most:
            scope["state"]["refused"] = True
            await self._too_long().response(scope["state"]["request_id"])(scope, receive, send)
            return
        received, whole = 0, False
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS

        async def counted() -> Message:
            nonlocal received, whole
            try:
                # What comes after a body is the end of the connection, which may take its time.
                async with asyncio.timeout_at(None if whole else deadline):
                    message = await receive()
            except TimeoutError:
                seconds = f"{BODY_SECONDS:g} s"
                raise Problem(408, None, f"The body did not come within {seconds}.", headers={"Connection": "close"}) from None
            if message["type"] == "http.request":
                whole = not message.get("more_body", False)
                received += len(message.get("body", b""))
                if received > self._most:
                    raise self._too_long()
            return message

        await self._app(scope, counted, send)

    def _too_long(self) -> Problem:
        # The rest of the body is not read.
        return Problem(
            413, None, f"The body is longer than {self._most:,} bytes.", headers={"Connection": "close"}, most_bytes=self._most
        )


async def read_json(request: Request, model: type[Model], empty: Any = None) -> Model:
    """The body as a model; `empty` stands for a body without anything in it (None: that is an error). Raises `Problem`.

    Without a look at the Content-Type: `curl -d` calls everything a form.
    """
    body = await request.body()
    value = parse_json(body) if body.strip() or empty is None else empty
    if not isinstance(value, dict):
        raise wrong_fields(422, [("body", f"is {kind_of(value)}, must be an object")])
    check_storable(value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        raise wrong_fields(422, [(_place(one["loc"]), one["msg"].removeprefix("Value error, ")) for one in errors]) from None


def parse_json(body: bytes) -> Any:
    """Bytes as JSON; raises `Problem` 400 with the place of the fault."""
    if not body.strip():
        raise wrong_fields(400, [("body", "is empty, must be JSON")])
    try:
        return json.loads(body.decode(), parse_constant=_no_number, object_pairs_hook=_each_name_once)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise wrong_fields(400, [("body", f"is not JSON: {error.msg} at {place}")]) from None
    except UnicodeDecodeError as error:
        raise wrong_fields(400, [("body", f"is not UTF-8: byte {error.start}")]) from None
    except RecursionError:
        raise wrong_fields(400, [("body", f"is nested deeper than {DEEPEST_NESTING}")]) from None
    except ValueError as error:
        # Python reads no integer of more than 4300 digits.
        text = str(error) if isinstance(error, _NotOursError) else "holds a number with too many digits"
        raise wrong_fields(400, [("body", text)]) from None


def check_storable(value: Any, place: str = "") -> None:
    """Raise `Problem` 422, with the field, for what PostgreSQL's jsonb or a reader of JSON cannot take."""
    # Not recursive: a body that nests a thousand times must not end us.
    left = [(value, place, 0)]
    while left:
        item, name, depth = left.pop()
        fault = _fault(item, depth)
        if fault:
            raise wrong_fields(422, [(name or "body", fault)])
        if isinstance(item, dict):
            for key, inner in item.items():
                fault = _fault(key, 0)
                if fault:
                    raise wrong_fields(422, [(name or "body", f"the name of a field {fault}")])
                left.append((inner, f"{name}.{key[:LONGEST_NAME_SHOWN]}" if name else key[:LONGEST_NAME_SHOWN], depth + 1))
        elif isinstance(item, list):
            left.extend((inner, f"{name}[{number}]", depth + 1) for number, inner in enumerate(item))


def kind_of(value: Any) -> str:
    """What JSON calls a value."""
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def body_of(model: type[BaseModel], example: dict[str, Any], required: bool = True) -> dict[str, Any]:
    """What the OpenAPI page says of a body that `read_json` reads."""
    schema = model.model_json_schema()
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": required, "content": content}}


def _fault(value: Any, depth: int) -> str:
    if depth > DEEPEST_NESTING:
        return f"is nested deeper than {DEEPEST_NESTING}"
    if isinstance(value, str):
        if "\0" in value:
            return "holds a NUL"
        if any(0xD800 <= ord(sign) <= 0xDFFF for sign in value):
            return "holds half of a surrogate pair"
    if isinstance(value, float) and not math.isfinite(value):
        return "is a number too large for a double"
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return "is an integer of more than 64 bits; send it as a text"
    return ""


class _NotOursError(ValueError):
    """Something that Python reads, and we do not."""


def _no_number(text: str) -> Any:
    raise _NotOursError(f"{text} is no number of JSON")


def _each_name_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two values, another reader would take the other one.
    found: dict[str, Any] = {}
    for name, value in members:
        if name in found:
            raise _NotOursError(f"names the field {name[:LONGEST_NAME_SHOWN]!r} twice in one object")
        found[name] = value
    return found


def _place(loc: tuple[Any, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{str(part)[:LONGEST_NAME_SHOWN]}"
    return text or "body"
