"""The one way out to a vendor's HTTP API: rate limit, timeout, retry, circuit breaker, and the bytes kept.

A vendor's module (`vendors/`) says what to ask and what the answer means; this one says how a call is made.
"""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx2
import sqlalchemy as sa
import stamina

from metapulse_assets import __version__
from metapulse_assets.platform.circuit_breaker import BreakerPolicy, CircuitBreaker
from metapulse_assets.platform.clock import Clock, system_clock
from metapulse_assets.platform.dead_letters import DeadLetter
from metapulse_assets.platform.rate_limit import Gate, SharedRateLimit
from metapulse_assets.platform.raw_payloads import RawPayload
from metapulse_assets.platform.redaction import redact
from metapulse_assets.platform.settings import Settings

LARGEST_BODY = 32 * 1024 * 1024
LONGEST_BACKOFF_SECONDS = 60.0
EXCERPT_BYTES = 2_000
# How many places at a gate one visit to the database takes.
GRANT_SIZE = 8


class VendorError(Exception):
    """A call that failed for good. `reason` is short and free of secrets."""

    def __init__(self, vendor: str, url: str, reason: str, body: bytes = b"") -> None:
        """`body` is what came, if anything did."""
        self.vendor, self.url, self.reason, self.body = vendor, url, reason, body
        super().__init__(f"{vendor} {url}: {reason}")

    def dead_letter(self) -> DeadLetter:
        """This failure as it is kept."""
        return DeadLetter(self.vendor, "request", self.url, self.reason, {"body": self.body[:EXCERPT_BYTES]})


class _RetryableError(Exception):
    def __init__(self, reason: str, body: bytes = b"", wait_seconds: float | None = None) -> None:
        self.reason, self.body, self.wait_seconds = reason, body, wait_seconds
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
    ) -> None:
        """`headers` may hold a key; they appear in no message and in no stored row."""
        self.vendor = vendor
        self.policy = policy or CallPolicy()
        self.requests_sent = 0
        self._clock = clock
        self._rate_limit = SharedRateLimit(engine)
        self._breaker = CircuitBreaker(engine, vendor, self.policy.breaker)
        self._granted: dict[str, int] = {}
        self._secrets = [value for value in (headers or {}).values() if value]
        self._http = httpx2.AsyncClient(
            base_url=base_url.rstrip("/") + "/",
            headers={"User-Agent": f"metapulse/{__version__}", "Accept": "application/json", **(headers or {})},
            timeout=self.policy.timeout_seconds,
            limits=httpx2.Limits(max_connections=20, max_keepalive_connections=20),
        )

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self._http.__aexit__(kind, error, trace)

    async def get_json(self, path: str, gate: Gate, params: Mapping[str, Any] | None = None) -> Answer:
        """Ask until there is an answer that is JSON, as often as the policy allows.

        Raises `VendorError` for a call that failed for good and `CircuitOpenError` if the vendor is not being called.
        """
        tries = stamina.retry_context(
            on=self._pause_after,
            attempts=self.policy.attempts,
            timeout=None,
            wait_initial=self.policy.backoff_seconds,
            wait_max=LONGEST_BACKOFF_SECONDS,
            wait_jitter=self.policy.backoff_seconds / 2,
        )
        url = self.shown_url(path, params)
        try:
            async for attempt in tries:
                with attempt:
                    return await self._try_once(path, gate, params, url)
        except _RetryableError as error:
            raise VendorError(self.vendor, url, error.reason, error.body) from None
        raise AssertionError("unreachable: the last try returns or raises")

    def shown_url(self, path: str, params: Mapping[str, Any] | None) -> str:
        """The URL as people and tables see it."""
        request = self._http.build_request("GET", path.lstrip("/"), params=params)
        return redact(str(request.url), self._secrets)

    async def _try_once(self, path: str, gate: Gate, params: Mapping[str, Any] | None, url: str) -> Answer:
        self._breaker.before_call()
        await self._wait_at(gate)
        self.requests_sent += 1
        try:
            async with asyncio.timeout(self.policy.timeout_seconds):
                response = await self._http.get(path.lstrip("/"), params=params)
        except (TimeoutError, httpx2.TimeoutException):
            raise self._vendor_failed(f"no answer within {self.policy.timeout_seconds:g} s") from None
        except httpx2.HTTPError as error:
            raise self._vendor_failed(redact(f"{type(error).__name__}: {error}", self._secrets)) from None
        self._heed_rate_headers(gate, response)
        self._check_status(gate, response, url)
        self._check_json(response)
        self._breaker.succeeded()
        return Answer(RawPayload(self.vendor, url, response.status_code, self._clock(), response.content))

    async def _wait_at(self, gate: Gate) -> None:
        while not self._granted.get(gate.name):
            grant = self._rate_limit.acquire(gate, GRANT_SIZE)
            self._granted[gate.name] = grant.granted
            if not grant.granted:
                # Spread the waiters a little, so that they do not all ask again in the same moment.
                await asyncio.sleep(grant.wait_seconds * (1 + 0.05 * random.random()))  # noqa: S311 - not a secret
        self._granted[gate.name] -= 1

    def _check_status(self, gate: Gate, response: httpx2.Response, url: str) -> None:
        status = response.status_code
        if status == httpx2.codes.TOO_MANY_REQUESTS:
            wait = _retry_after(response, self._clock())
            if wait is not None:
                self._block(gate, wait)
            # A vendor that limits is alive: the breaker counts nothing.
            raise _RetryableError("HTTP 429, too many requests", response.content, wait)
        if status >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise self._vendor_failed(f"HTTP {status}", response.content, _retry_after(response, self._clock()))
        if status >= httpx2.codes.BAD_REQUEST:
            self._breaker.succeeded()
            raise VendorError(self.vendor, url, f"HTTP {status}", response.content)

    def _check_json(self, response: httpx2.Response) -> None:
        if len(response.content) > LARGEST_BODY:
            raise self._vendor_failed(f"answer of {len(response.content)} bytes", response.content)
        kind = response.headers.get("content-type", "")
        if "json" not in kind:
            raise self._vendor_failed(f"{kind.split(';')[0] or 'untyped'} instead of JSON", response.content)
        try:
            json.loads(response.content)
        except ValueError as error:
            raise self._vendor_failed(f"broken JSON: {error}", response.content) from None

    def _vendor_failed(self, reason: str, body: bytes = b"", wait: float | None = None) -> _RetryableError:
        self._breaker.failed(reason)
        return _RetryableError(reason, body, wait)

    def _heed_rate_headers(self, gate: Gate, response: httpx2.Response) -> None:
        remaining = response.headers.get("x-ratelimit-remaining", response.headers.get("x-rate-limit-remaining"))
        reset = response.headers.get("x-ratelimit-reset", response.headers.get("x-rate-limit-reset"))
        if remaining is None or reset is None:
            return
        try:
            left, at = float(remaining), float(reset)
        except ValueError:
            return
        if left <= 0:
            # Some vendors give seconds to wait, others the epoch second of the reset.
            now = self._clock().timestamp()
            self._block(gate, max(at - now if at > now / 2 else at, 0.0))

    def _block(self, gate: Gate, seconds: float) -> None:
        self._granted[gate.name] = 0
        self._rate_limit.block(gate, seconds)

    @staticmethod
    def _pause_after(error: Exception) -> bool | float:
        if isinstance(error, _RetryableError):
            return error.wait_seconds if error.wait_seconds is not None else True
        return False


def _retry_after(response: httpx2.Response, now: datetime) -> float | None:
    """Seconds to wait as the vendor says, in either form of the header (RFC 9110, 10.2.3)."""
    value = response.headers.get("retry-after")
    if not value:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)
