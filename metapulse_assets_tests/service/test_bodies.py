"""Bodies: how long they may be, and what in them is refused, with its place."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from metapulse_assets.platform.work_queue.json_text import storable_json
from metapulse_assets.service import bodies
from metapulse_assets.service.bodies import DEEPEST_NESTING, check_storable, parse_json
from metapulse_assets.service.problems import Problem
from metapulse_assets_tests.service.conftest import StartService

JOB = '{"type": "t-echo", "data": %s}'


def test_a_body_that_is_too_long_is_refused_however_it_comes(start_service: StartService) -> None:
    service = start_service(service_body_kb=4)
    most = 4 * 1024

    def job_of(length: int) -> bytes:
        head = b'{"type": "t-echo", "data": {"a": "'
        return head + b"x" * (length - len(head) - 3) + b'"}}'

    def in_pieces(body: bytes) -> Iterator[bytes]:
        yield from (body[start : start + 100] for start in range(0, len(body), 100))

    assert service.post("/jobs", content=job_of(most)).status_code == 201
    assert service.post("/jobs", content=in_pieces(job_of(most))).status_code == 201
    lying = {"Content-Length": "10"}
    for refused in (
        service.post("/jobs", content=job_of(most + 1)),
        service.post("/jobs", content=in_pieces(job_of(most + 1))),
        service.post("/jobs", content=in_pieces(job_of(50_000)), headers=lying),
        service.post("/jobs", content=b"", headers={"Content-Length": str(10**30)}),
        service.post("/workers/pause", content=job_of(most + 1)),
    ):
        assert refused.status_code == 413, refused.text
        assert refused.json()["most_bytes"] == most
        assert refused.headers["Content-Type"] == "application/problem+json"
    assert service.get("/jobs").json()["jobs"][0]["id"] == 2


def test_a_body_that_does_not_come_is_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    pieces = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive() -> Any:
        if piece := next(pieces, None):
            return piece
        return await asyncio.sleep(3600)

    async def read_all(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass

    scope: Any = {"type": "http", "headers": []}
    with pytest.raises(Problem) as found:
        asyncio.run(bodies.BodyLimit(read_all, 100)(scope, receive, None))  # type: ignore[arg-type]
    assert found.value.status == 408


WRONG: list[tuple[str | bytes, int, str, str]] = [
    ("", 400, "body", "is empty"),
    ("{", 400, "body", "line 1, column 2"),
    ('type=t-echo&data={"a":1}', 400, "body", "line 1, column 1"),
    (b"\xff\xfe", 400, "body", "not UTF-8"),
    ("[" * 100_000, 400, "body", "nested deeper"),
    ("9" * 5_000, 400, "body", "too many digits"),
    ('{"type": NaN}', 400, "body", "NaN is no number of JSON"),
    ("[]", 422, "body", "is a list, must be an object"),
    ("null", 422, "body", "is null"),
    ('"text"', 422, "body", "is a text"),
    ("17", 422, "body", "is a number"),
    ("{}", 422, "type", "required"),
    ('{"type": 5}', 422, "type", "string"),
    ('{"type": ""}', 422, "type", "at least 1"),
    ('{"type": "%s"}' % ("x" * 201), 422, "type", "at most 200"),
    ('{"type": "t-echo\\n"}', 422, "type", "unprintable"),
    ('{"type": "t-echo", "data": []}', 422, "data", "dictionary"),
    ('{"type": "t-echo", "data": null}', 422, "data", "dictionary"),
    ('{"type": "t-echo", "priority": "urgent"}', 422, "priority", "from 0 to 2147483647"),
    ('{"type": "t-echo", "priority": -1}', 422, "priority", "is neither high, medium or low"),
    ('{"type": "t-echo", "priority": 99999999999}', 422, "priority", "is neither high, medium or low"),
    ('{"type": "t-echo", "priority": true}', 422, "priority", "is neither high, medium or low"),
    ('{"type": "t-echo", "delay_seconds": -1}', 422, "delay_seconds", "greater than or equal to 0"),
    ('{"type": "t-echo", "delay_seconds": 1e300}', 422, "delay_seconds", "less than or equal to"),
    ('{"type": "t-echo", "delay_seconds": "5"}', 422, "delay_seconds", "number"),
    ('{"type": "t-echo", "id": ""}', 422, "id", "at least 1"),
    ('{"type": "t-echo", "id": "12"}', 422, "id", "number alone"),
    ('{"type": "t-echo", "extra": 1}', 422, "extra", "not permitted"),
    ('{"type": "t-echo", "type": "t-noop"}', 400, "body", "names the field 'type' twice"),
    (JOB % '{"a": {"b": 1, "b": 1}}', 400, "body", "names the field 'b' twice"),
    (JOB % '{"a": [1, "b\\u0000"]}', 422, "data.a[1]", "holds a NUL"),
    (JOB % '{"a\\u0000": 1}', 422, "data", "the name of a field holds a NUL"),
    (JOB % '{"a": "\\ud800"}', 422, "data.a", "surrogate"),
    (JOB % '{"a": {"b": 1e999}}', 422, "data.a.b", "too large"),
    (JOB % '{"a": 123456789012345678901234567890}', 422, "data.a", "64 bits"),
    (JOB % ('{"a":' * 60 + "1" + "}" * 60), 422, ".".join(["data", *"a" * 50]), "nested deeper than 50"),
]


def test_a_wrong_body_is_refused_with_field_and_reason(service: TestClient) -> None:
    for body, status, field, says in WRONG:
        refused = service.post("/jobs", content=body)
        assert refused.status_code == status, (body, refused.text)
        problem = refused.json()
        assert says in problem["detail"], (body, problem)
        assert any(error["field"].startswith(field) for error in problem["errors"]), (body, problem)
    assert service.get("/jobs").json()["jobs"] == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(_JSON)
@settings(max_examples=150)
def test_whatever_is_let_through_can_be_stored(value: object) -> None:
    with contextlib.suppress(Problem):
        check_storable(value)
        storable_json(value)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789.eE+-\\utrflasn ', max_size=60).map(str.encode))
@settings(max_examples=200)
def test_no_bytes_bring_the_parser_down(body: bytes) -> None:
    with contextlib.suppress(Problem):
        check_storable(parse_json(body))


def test_what_is_just_deep_enough_is_let_through() -> None:
    value: object = 1
    for _ in range(DEEPEST_NESTING):
        value = [value]
    check_storable(value)
    with pytest.raises(Problem, match="nested deeper"):
        check_storable([value])
