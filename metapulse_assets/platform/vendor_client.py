"""The one way out to a vendor's HTTP API: rate limit, timeout, retry, circuit breaker, and the bytes kept.

A vendor's module (`vendors/`) says what to ask and what the answer means; this one says how a call is made.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx2
import sqlalchemy as sa
import stamina
import stamina.instrumentation

from metapulse_assets import __version__
from metapulse_assets.platform.circuit_breaker import BreakerPolicy, CircuitBreaker
from metapulse_assets.platform.clock import Clock, system_clock
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.metric_totals import Tally
from metapulse_assets.platform.rate_headers import retry_after, seconds_to_reset
from metapulse_assets.platform.rate_limit import BUCKETS, Gate, SharedRateLimit
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.platform.redaction import redact
from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.trust import tls_context
from metapulse_assets.platform.vendor_settings import is_loopback

LARGEST_BODY = 32 * 1024 * 1024
LONGEST_BACKOFF_SECONDS = 60.0
EXCERPT_BYTES = 2_000
# A run does not sleep longer than this for a vendor: the call fails, and the gate stays shut for as long as was asked.
LONGEST_WAIT_SECONDS = 120.0


# Totals of all processes: requests by vendor and outcome, and what answers took, s, by vendor.
REQUESTS_METRIC, DURATION_METRIC = "vendor_requests", "vendor_request_seconds"

log = logging.getLogger("metapulse.vendors")


def log_retry(details: stamina.instrumentation.RetryDetails) -> None:
    """Say that a call is tried again, in the log of whoever called (stamina's own way would print to the console)."""
    log.warning("%s; try %d in %.1f s", details.caused_by, details.retry_num + 1, details.wait_for)


stamina.instrumentation.set_on_retry_hooks([log_retry])


def outcome_of(status: int) -> str:
    """What an HTTP status says of a request: ok, rate_limited, refused (for what was asked) or failed (the vendor's fault)."""
    if status == httpx2.codes.TOO_MANY_REQUESTS:
        return "rate_limited"
    if status >= httpx2.codes.INTERNAL_SERVER_ERROR:
        return "failed"
    return "refused" if status >= httpx2.codes.BAD_REQUEST else "ok"


class VendorError(Exception):
    """A call that failed for good. `reason` is short and free of secrets."""

    def __init__(self, vendor: str, url: str, reason: str, body: bytes = b"") -> None:
        """`body` is the head of what came, if anything did, without secrets."""
        self.vendor, self.url, self.reason, self.body = vendor, url, reason, body
        super().__init__(f"{vendor} {url}: {reason}")

    def dead_letter(self) -> DeadLetter:
        """This failure as it is kept."""
        return DeadLetter(self.vendor, "request", self.url, self.reason, {"body": self.body})


class _RetryableError(Exception):
    def __init__(
        self, reason: str, body: bytes = b"", wait_seconds: float | None = None, exchange: "Exchange | None" = None
    ) -> None:
        self.reason, self.body, self.wait_seconds, self.exchange = reason, body, wait_seconds, exchange
        super().__init__(reason)


@dataclass(frozen=True)
class CallPolicy:
    """Timeout of one try, number of tries, first pause between them (doubled each time, with jitter)."""

    timeout_seconds: float = 10.0
    attempts: int = 3
    backoff_seconds: float = 2.0
    breaker: BreakerPolicy = BreakerPolicy()

    @classmethod
    def from_settings(cls, settings: Settings) -> "CallPolicy":
        """The policy that the settings give."""
        return cls(
            timeout_seconds=settings.vendor_timeout_seconds,
            attempts=settings.vendor_attempts,
            backoff_seconds=settings.vendor_backoff_seconds,
            breaker=BreakerPolicy(settings.breaker_failures, settings.breaker_open_seconds),
        )


@dataclass(frozen=True)
class Answer:
    """A vendor's good answer: its bytes and when they came."""

    payload: RawPayload

    @property
    def body(self) -> bytes:
        """The bytes as they came."""
        return self.payload.body

    @property
    def received_at(self) -> datetime:
        """When the last byte was here; UTC."""
        return self.payload.received_at


@dataclass(frozen=True)
class Exchange:
    """What a vendor answered, whatever its status: headers by lower-case name, and the bytes."""

    headers: Mapping[str, str]
    payload: RawPayload

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.payload.status


WaitAsked = Callable[[Exchange], float | None]


@dataclass(frozen=True)
class _Call:
    """One request as it is sent at each try."""

    path: str
    params: Mapping[str, Any] | None = None
    method: str = "GET"
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Queue:
    """The calls of this process that wait at a gate, and the places that were taken for them."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    granted: int = 0


class VendorClient:
    """Calls one vendor under the shared policy. Use as an async context manager."""

    def __init__(
        self,
        vendor: str,
        base_url: str,
        engine: sa.Engine,
        policy: CallPolicy | None = None,
        headers: Mapping[str, str] | None = None,
        clock: Clock = system_clock,
        wait_asked: WaitAsked | None = None,
    ) -> None:
        """`headers` may hold a key; they appear in no message and in no stored row.

        `wait_asked` says how many seconds an answer asks to wait where the vendor does not say it by the usual headers;
        it sees every answer, good ones too, and None leaves the matter to those headers.
        """
        self.vendor = vendor
        self.policy = policy or CallPolicy()
        self.requests_sent = 0
        self.tally = Tally()
        self._clock = clock
        self._wait_asked = wait_asked or (lambda exchange: None)
        self._engine = engine
        self._rate_limit = SharedRateLimit(engine)
        self._breaker = CircuitBreaker(engine, vendor, self.policy.breaker)
        self._queues: dict[str, _Queue] = {}
        self._secrets = [secret for value in (headers or {}).values() if value for secret in (value, value.split()[-1])]
        self._http = httpx2.AsyncClient(
            base_url=base_url.rstrip("/") + "/",
            headers={"User-Agent": f"metapulse/{__version__}", "Accept": "application/json", **(headers or {})},
            timeout=self.policy.timeout_seconds,
            limits=httpx2.Limits(max_connections=20, max_keepalive_connections=20),
            verify=tls_context(),
            # A proxy of the environment would take what is meant for this machine out of it.
            trust_env=not is_loopback(base_url),
        )

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, and store what the calls took."""
        await self._http.__aexit__(kind, error, trace)
        try:
            with self._engine.begin() as connection:
                self.tally.store(connection)
        except sa.exc.SQLAlchemyError as failure:
            # The calls were made all the same, and whoever made them has work to go on with.
            log.warning("what the calls of %s took was not stored: %s", self.vendor, type(failure).__name__)

    async def get_json(self, path: str, gate: Gate, params: Mapping[str, Any] | None = None) -> Answer:
        """Ask until there is an answer that is JSON, as often as the policy allows.

        Raises `VendorError` for a call that failed for good and `CircuitOpenError` if the vendor is not being called.
        """
        call = _Call(path, params)
        url = self.shown_url(path, params)
        try:
            async for attempt in self._tries():
                with attempt:
                    return self._good_answer(await self._try_once(call, gate, url), url)
        except _RetryableError as error:
            raise self._error(url, error.reason, error.body) from None
        raise AssertionError("unreachable: the last try returns or raises")

    async def exchange(
        self, method: str, path: str, gate: Gate, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Exchange:
        """Send under the same policy and return what came, refusals too: for the vendors' own SDKs, which read those.

        The last answer is returned when the tries are used up. Raises `VendorError` where there was none (no connection,
        no answer in time), and `CircuitOpenError` if the vendor is not being called.
        """
        call = _Call(path, None, method, content, headers or {})
        url = self.shown_url(path, None)
        try:
            async for attempt in self._tries():
                with attempt:
                    exchange = await self._try_once(call, gate, url)
                    self._breaker.succeeded()
                    return exchange
        except _RetryableError as error:
            if error.exchange is not None:
                return error.exchange
            raise self._error(url, error.reason, error.body) from None
        raise AssertionError("unreachable: the last try returns or raises")

    def _tries(self) -> AsyncIterator[stamina.Attempt]:
        return stamina.retry_context(
            on=self._pause_after,
            attempts=self.policy.attempts,
            timeout=None,
            wait_initial=self.policy.backoff_seconds,
            wait_max=LONGEST_BACKOFF_SECONDS,
            wait_jitter=self.policy.backoff_seconds / 2,
        ).__aiter__()

    def shown_url(self, path: str, params: Mapping[str, Any] | None) -> str:
        """The URL as people and tables see it."""
        request = self._http.build_request("GET", path.lstrip("/"), params=params)
        return redact(str(request.url), self._secrets)

    async def _try_once(self, call: _Call, gate: Gate, url: str) -> Exchange:
        self._breaker.before_call()
        await self._wait_at(gate)
        self.requests_sent += 1
        begun = time.perf_counter()
        try:
            response, body = await self._fetch(gate, call)
        except (TimeoutError, httpx2.TimeoutException):
            self.tally.count(REQUESTS_METRIC, vendor=self.vendor, outcome="unanswered")
            raise self._vendor_failed(f"no answer within {self.policy.timeout_seconds:g} s") from None
        except httpx2.HTTPError as error:
            self.tally.count(REQUESTS_METRIC, vendor=self.vendor, outcome="unanswered")
            raise self._vendor_failed(redact(f"{type(error).__name__}: {error}", self._secrets)) from None
        self.tally.observe(DURATION_METRIC, time.perf_counter() - begun, vendor=self.vendor)
        self.tally.count(REQUESTS_METRIC, vendor=self.vendor, outcome=outcome_of(response.status_code))
        payload = RawPayload(self.vendor, url, response.status_code, self._clock(), body)
        exchange = Exchange({name.lower(): value for name, value in response.headers.items()}, payload)
        wait = self._wait_asked(exchange)
        if wait is not None:
            self._rate_limit.block(gate, wait)
        until_reset = seconds_to_reset(exchange.headers, self._clock())
        if until_reset is not None:
            self._rate_limit.block(gate, until_reset)
        self._check_status(gate, response, exchange, wait)
        return exchange

    async def _fetch(self, gate: Gate, call: _Call) -> tuple[httpx2.Response, bytes]:
        """An answer and its body, of which no more is read than is needed to see that it is too large."""
        body = bytearray()
        now = asyncio.get_running_loop().time
        place_taken = now()

        async def before_sending(event: str, _: Any) -> None:
            late = now() - place_taken > min(limit.window_seconds for limit in gate.limits) / BUCKETS
            if event == "http11.send_request_headers.started" and late:
                # The connection took so long to make that the place belongs to a time which is over.
                timeout.reschedule(None)
                await self._wait_at(gate)
                timeout.reschedule(now() + self.policy.timeout_seconds)

        async with (
            asyncio.timeout(self.policy.timeout_seconds) as timeout,
            self._http.stream(
                call.method,
                call.path.lstrip("/"),
                params=call.params,
                content=call.content,
                headers=call.headers,
                extensions={"trace": before_sending},
            ) as response,
        ):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_BODY:
                    break
        return response, bytes(body)

    async def _wait_at(self, gate: Gate) -> None:
        queue = self._queues.setdefault(gate.name, _Queue())
        queue.waiting += 1
        try:
            # Whoever is about to ask joins the queue first: one visit to the database serves them all.
            await asyncio.sleep(0)
            async with queue.lock:
                while not queue.granted:
                    queue.granted = await self._take_places(gate, queue.waiting)
                queue.granted -= 1
        finally:
            queue.waiting -= 1
            # A place that nobody uses now is given up: used later, it would come on top of the places of that time.
            queue.granted = min(queue.granted, queue.waiting)

    async def _take_places(self, gate: Gate, wanted: int) -> int:
        grant = self._rate_limit.acquire(gate, wanted)
        if grant.wait_seconds > LONGEST_WAIT_SECONDS:
            self._breaker.undecided()
            raise _RetryableError(f"rate limit: shut for {grant.wait_seconds:.0f} s", wait_seconds=grant.wait_seconds)
        if not grant.granted:
            # Spread the waiters a little, so that they do not all ask again in the same moment.
            await asyncio.sleep(grant.wait_seconds * (1 + 0.05 * random.random()))  # noqa: S311 - not a secret
        return grant.granted

    def _check_status(self, gate: Gate, response: httpx2.Response, exchange: Exchange, wait: float | None) -> None:
        """Raise where another try may help."""
        status, body = response.status_code, exchange.payload.body
        if wait is None:
            wait = retry_after(exchange.headers, self._clock())
        if status == httpx2.codes.TOO_MANY_REQUESTS:
            if wait is not None:
                self._rate_limit.block(gate, wait)
            # A vendor that limits is alive: the breaker counts nothing.
            self._breaker.undecided()
            raise _RetryableError("HTTP 429, too many requests", body, wait, exchange)
        if status >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise self._vendor_failed(f"HTTP {status}", body, wait, exchange)

    def _good_answer(self, exchange: Exchange, url: str) -> Answer:
        if not httpx2.codes.is_success(exchange.status):
            self._breaker.succeeded()
            raise self._error(url, f"HTTP {exchange.status}", exchange.payload.body)
        self._check_json(exchange)
        self._breaker.succeeded()
        return Answer(exchange.payload)

    def _check_json(self, exchange: Exchange) -> None:
        body = exchange.payload.body
        if len(body) > LARGEST_BODY:
            raise self._vendor_failed(f"answer of more than {LARGEST_BODY} bytes", body)
        kind = exchange.headers.get("content-type", "")
        if "json" not in kind:
            raise self._vendor_failed(f"{kind.split(';')[0] or 'untyped'} instead of JSON", body)
        try:
            json.loads(body)
        except (ValueError, RecursionError) as error:
            raise self._vendor_failed(f"broken JSON: {error}", body) from None

    def _error(self, url: str, reason: str, body: bytes) -> VendorError:
        # Masked before it is cut, with room for a secret that the cut would divide.
        head = redact(body[: 2 * EXCERPT_BYTES].decode("utf-8", "replace"), self._secrets).encode()
        return VendorError(self.vendor, url, reason, head[:EXCERPT_BYTES])

    def _vendor_failed(
        self, reason: str, body: bytes = b"", wait: float | None = None, exchange: Exchange | None = None
    ) -> _RetryableError:
        self._breaker.failed(reason)
        return _RetryableError(reason, body, wait, exchange)

    @staticmethod
    def _pause_after(error: Exception) -> bool | float:
        if not isinstance(error, _RetryableError):
            return False
        if error.wait_seconds is None:
            return True
        return error.wait_seconds if error.wait_seconds <= LONGEST_WAIT_SECONDS else False
