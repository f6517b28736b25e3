"""Calls to a vendor over real sockets: which answers are retried, which fail for good, and what is told about them."""

import asyncio
import gzip
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import sqlalchemy as sa
import stamina
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform import vendor_client
from metapulse_assets.platform.circuit_breaker import BreakerPolicy
from metapulse_assets.platform.rate_headers import retry_after
from metapulse_assets.platform.rate_limit import Gate, Limit
from metapulse_assets.platform.tables import circuit_breakers
from metapulse_assets.platform.vendor_client import EXCERPT_BYTES, Answer, CallPolicy, VendorClient, VendorError
from metapulse_assets_tests.platform.stub_vendor import Reply, StubVendor, serving

GATE = Gate("stub", (Limit(10_000, 1.0),))
QUICK = CallPolicy(timeout_seconds=5.0, attempts=3, backoff_seconds=0.01, breaker=BreakerPolicy(100, 60.0))
IMPATIENT = CallPolicy(timeout_seconds=1.0, attempts=2, backoff_seconds=0.01, breaker=BreakerPolicy(100, 60.0))
GOOD = Reply(body=b'[{"a": 1}]')
NOW = datetime(2026, 3, 4, 12, 0, 3, 500_000, tzinfo=UTC)
SECRET = "Zx81-planted-secret"

Ask = Callable[..., Answer]


@pytest.fixture
def engine(vendor_engine: sa.Engine) -> sa.Engine:
    """One that the tests use in turn."""
    return vendor_engine


@pytest.fixture
def ask(engine: sa.Engine) -> Ask:
    """One call to a stub."""

    def ask(stub: StubVendor, policy: CallPolicy = QUICK, params: Any = None, **options: Any) -> Answer:
        async def call() -> Answer:
            async with VendorClient("stub", stub.url, engine, policy, **options) as client:
                return await client.get_json("/things/v1", GATE, params)

        return asyncio.run(call())

    return ask


def breaker_of(engine: sa.Engine) -> tuple[str, int]:
    """State of the stub's breaker and its failures in a row."""
    with engine.connect() as connection:
        row = connection.execute(sa.select(circuit_breakers)).one_or_none()
        return (row.state, row.failures) if row else ("closed", 0)


def test_a_good_answer_is_kept_as_it_came(ask: Ask) -> None:
    body = b' [ {"a": 1.50} ] \n'
    with serving(Reply(body=body, kind="application/json; charset=utf-8")) as stub:
        answer = ask(stub, params={"q": "a b&c"}, clock=lambda: NOW)
        assert (answer.body, answer.received_at, answer.payload.status, answer.payload.vendor) == (body, NOW, 200, "stub")
        assert answer.payload.url == f"{stub.url}/things/v1?q=a+b%26c" == f"{stub.url}{stub.arrivals[0].path}"
        assert stub.arrivals[0].headers["User-Agent"].startswith("metapulse/")


def test_a_compressed_answer_is_kept_unpacked(ask: Ask) -> None:
    with serving(Reply(body=gzip.compress(GOOD.body), headers={"Content-Encoding": "gzip"})) as stub:
        assert ask(stub).body == GOOD.body


TRANSIENT = {
    "429": (Reply(429, b"slow down"), "HTTP 429, too many requests"),
    "429 as a page": (Reply(429, b"<html>1015</html>", kind="text/html"), "HTTP 429, too many requests"),
    "500": (Reply(500, b"oops"), "HTTP 500"),
    "503": (Reply(503, b"", {"Retry-After": "0"}), "HTTP 503"),
    "cut body": (Reply(body=b"[1, 2, 3]", cut_after=4), "RemoteProtocolError: peer closed connection"),
    "page": (Reply(body=b"<html>just a moment</html>", kind="text/html; charset=UTF-8"), "text/html instead of JSON"),
    "untyped": (Reply(body=b"[]", kind=""), "untyped instead of JSON"),
    "broken JSON": (Reply(body=b'[{"a": 1'), "broken JSON: "),
    "empty": (Reply(body=b""), "broken JSON: "),
    "not UTF-8": (Reply(body=b'["\xff\xfe\xfa"]'), "broken JSON: "),
    "nested too deep": (Reply(body=b"[" * 200_000 + b"]" * 200_000), "broken JSON: "),
    "not gzip": (Reply(body=b"[]", headers={"Content-Encoding": "gzip"}), "DecodingError: "),
    "no number": (Reply(body=b"[" + b"9" * 5_000 + b"]"), "broken JSON: "),
}


@pytest.mark.parametrize("kind", TRANSIENT)
def test_what_may_pass_is_tried_again_and_then_told(ask: Ask, engine: sa.Engine, kind: str) -> None:
    bad, reason = TRANSIENT[kind]
    with serving(bad, bad, GOOD) as stub:
        assert ask(stub).body == GOOD.body
        assert len(stub.arrivals) == 3
        assert breaker_of(engine) == ("closed", 0)
    with serving(bad) as stub:
        with pytest.raises(VendorError) as failed:
            ask(stub)
        assert len(stub.arrivals) == 3
        assert failed.value.reason.startswith(reason)
        assert str(failed.value) == f"stub {stub.url}/things/v1: {failed.value.reason}"
        # A vendor that limits is alive: only what is its own fault counts.
        assert breaker_of(engine) == ("closed", 0 if "429" in kind else 3)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 301, 304])
def test_a_refusal_is_final(ask: Ask, engine: sa.Engine, status: int) -> None:
    with serving(Reply(status, b'{"error": "no such token"}' if status != 304 else b"", {"Location": "/elsewhere"})) as stub:
        with pytest.raises(VendorError) as failed:
            ask(stub)
        assert [arrival.path for arrival in stub.arrivals] == ["/things/v1"]
        assert failed.value.reason == f"HTTP {status}"
        assert breaker_of(engine) == ("closed", 0)
        letter = failed.value.dead_letter()
        assert (letter.source, letter.kind, letter.item_key, letter.reason) == (
            "stub",
            "request",
            f"{stub.url}/things/v1",
            f"HTTP {status}",
        )
        assert letter.payload == {"body": failed.value.body}


@pytest.mark.parametrize(
    "slow",
    [
        Reply(delay_seconds=20),
        Reply(body=b"[" + b" " * 500 + b"]", drip_seconds=0.05),
        Reply(429, b" " * 500, drip_seconds=0.05),
    ],
    ids=["silence", "drip", "dripping refusal"],
)
def test_a_vendor_that_takes_too_long_is_given_up(ask: Ask, engine: sa.Engine, slow: Reply) -> None:
    with serving(slow) as stub:
        with pytest.raises(VendorError, match=r"no answer within 1 s"):
            ask(stub, IMPATIENT)
        assert len(stub.arrivals) == 2
        assert breaker_of(engine) == ("closed", 2)


def test_a_vendor_that_is_not_there_is_an_error_like_others(ask: Ask, engine: sa.Engine) -> None:
    with serving() as stub:
        pass
    with pytest.raises(VendorError, match="ConnectError: "):
        ask(stub)
    assert breaker_of(engine) == ("closed", 3)


def test_no_more_of_a_body_is_read_than_may_be(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor_client, "LARGEST_BODY", 10_000)
    endless = Reply(body=b"[" + b"1," * 5_000_000)
    with serving(endless) as stub, pytest.raises(VendorError, match="answer of more than 10000 bytes") as failed:
        ask(stub)
    assert len(failed.value.body) == EXCERPT_BYTES
    with serving(Reply(body=b"1" * 4_000 + b" " * 6_000)) as stub:
        assert len(ask(stub).body) == 10_000


def test_pauses_between_tries_grow(ask: Ask) -> None:
    planned: list[float] = []
    hooks = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([lambda details: planned.append(details.wait_for)])
    try:
        with serving(Reply(500)) as stub, pytest.raises(VendorError):
            ask(stub, CallPolicy(5.0, attempts=4, backoff_seconds=0.04, breaker=QUICK.breaker))
    finally:
        stamina.instrumentation.set_on_retry_hooks(hooks)
    first, second, third = planned
    assert 0.04 <= first <= 0.06 <= 0.08 <= second <= 0.10 <= 0.16 <= third <= 0.18
    moments = [arrival.at for arrival in stub.arrivals]
    assert all(later - earlier >= pause for earlier, later, pause in zip(moments, moments[1:], planned, strict=False))


def test_each_try_again_is_told_in_the_log(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "metapulse.vendors"), serving(Reply(500), Reply(429), GOOD) as stub:
        ask(stub, headers={"X-Key": SECRET}, params={"note": SECRET})
    told = [record.getMessage() for record in caplog.records if record.name == "metapulse.vendors"]
    assert [line.partition(";")[0] for line in told] == ["HTTP 500", "HTTP 429, too many requests"]
    assert SECRET not in caplog.text


RETRY_AFTER = {
    "seconds": "1",
    "date": format_datetime(NOW + timedelta(seconds=1), usegmt=True),
}


@pytest.mark.parametrize("form", RETRY_AFTER)
def test_retry_after_is_heeded_in_both_forms(ask: Ask, form: str) -> None:
    with serving(Reply(429, headers={"Retry-After": RETRY_AFTER[form]}), GOOD) as stub:
        assert ask(stub, clock=lambda: NOW).body == GOOD.body
        # A date has no fractions: 0.5 s are left of its second.
        assert stub.arrivals[1].at - stub.arrivals[0].at >= (1.0 if form == "seconds" else 0.5)


@given(
    value=st.one_of(
        st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])),
        st.sampled_from(
            [
                "inf",
                "nan",
                "-1",
                "1e400",
                "1_000",
                "9" * 400,
                "Thu, 01 Jan 1970 00:00:00 GMT",
                "Mon, 31 Dec 9999 23:59:59 -2359",
            ]
        ),
        st.datetimes(timezones=st.none()).map(format_datetime),
    )
)
def test_any_retry_after_is_a_sane_pause_or_none(value: str) -> None:
    pause = retry_after({"retry-after": value}, NOW)
    assert pause is None or 0 <= pause < 1e12


@pytest.mark.parametrize(
    ("value", "pause"),
    [
        ("2", 2.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Wed, 04 Mar 2026 12:00:05 GMT", 1.5),
        ("Wed, 04 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_means_what_the_standard_says(value: str, pause: float | None) -> None:
    assert retry_after({"retry-after": value}, NOW) == pause


@pytest.mark.parametrize(
    "reply", [Reply(403, echo_headers=True), Reply(500, echo_headers=True), Reply(200, echo_headers=True, kind="text/html")]
)
def test_a_secret_shows_nowhere(ask: Ask, engine: sa.Engine, reply: Reply) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "X-Key": f"{SECRET}-2"}
    with serving(reply) as stub:
        with pytest.raises(VendorError) as failed:
            ask(stub, headers=headers, params={"api_key": "in-the-query", "q": SECRET})
        assert stub.arrivals[0].headers["Authorization"] == f"Bearer {SECRET}"
        assert "in-the-query" in stub.arrivals[0].path
    error = failed.value
    with engine.connect() as connection:
        last_error = connection.execute(sa.select(circuit_breakers.c.last_error)).scalar() or ""
    for shown in (str(error), repr(error), error.url, error.reason, str(error.dead_letter()), last_error):
        assert SECRET not in shown
        assert "in-the-query" not in shown
    assert b"X-Key" in error.body
    assert error.url.endswith("?api_key=***&q=***")


def test_a_secret_that_the_cut_would_divide_is_masked_too(ask: Ask) -> None:
    body = b"x" * (EXCERPT_BYTES - 8) + SECRET.encode()
    with serving(Reply(404, body)) as stub, pytest.raises(VendorError) as failed:
        ask(stub, headers={"X-Key": SECRET})
    assert SECRET[:8].encode() not in failed.value.body


def test_the_stored_url_of_a_good_answer_holds_no_secret(ask: Ask) -> None:
    with serving(GOOD) as stub:
        url = ask(stub, headers={"X-Key": SECRET}, params={"token": "abc", "note": SECRET, "page": 2}).payload.url
    assert url.endswith("/things/v1?token=***&note=***&page=2")


def test_a_proxy_of_the_environment_gets_nothing_meant_for_this_machine(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Reply(body=json.dumps("from the proxy").encode())) as proxy, serving(GOOD) as stub:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert ask(stub).body == GOOD.body
        assert proxy.arrivals == []
