"""The middle layer that finds out who asks and counts the request, before any page is looked at."""

import asyncio
import hmac
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from starlette.types import ASGIApp, Receive, Scope, Send

from metapulse_assets.platform.runtime import Platform
from metapulse_assets.service.access.api_tokens import FIND, NOTE_USE, ApiToken, as_found
from metapulse_assets.service.access.callers import LOCAL, Caller, address_key, bearer_of, is_local, tokens_required
from metapulse_assets.service.access.request_limit import RequestLimit
from metapulse_assets.service.database import ServiceDatabase, connection_arguments
from metapulse_assets.service.problems import Problem, unavailable
from metapulse_assets.service.unavailable import UNAVAILABLE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping

LOGGER = logging.getLogger("metapulse.service")
# A revoked token opens nothing after so long.
TOKEN_CACHE_SECONDS = 2.0
TOKENS_CACHED = 10_000
# While the database is away, that is logged so often.
SAY_AWAY_SECONDS = 10.0
# A probe of the state must have its answer while the database is away; figures are read by machines that ask often.
UNJUDGED = ("/health",)
UNCOUNTED = ("/metrics", "/static-offline-docs")


@dataclass
class _Known:
    token: ApiToken | None
    until: float


class TokenFinder:
    """Finds tokens by the digest of their secret; remembers them, also those that are not there, for two seconds."""

    def __init__(self, database: ServiceDatabase, platform: Platform) -> None:
        """Nothing is known yet."""
        self._database = database
        self._platform = platform
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[ApiToken | None]] = {}

    async def caller_of(self, secret_digest: bytes) -> Caller | None:
        """Who holds the secret; None if the token is not there, revoked or expired."""
        known = self._known.get(secret_digest)
        if known is None or known.until <= time.monotonic():
            token = await self._ask(secret_digest)
            self._known[secret_digest] = _Known(token, time.monotonic() + TOKEN_CACHE_SECONDS)
            self._known.move_to_end(secret_digest)
            while len(self._known) > TOKENS_CACHED:
                self._known.popitem(last=False)
        else:
            token = known.token
        # Judged each time: a token may expire while it is remembered.
        if token is None or not token.holds_at(self._platform.now()):
            return None
        return Caller(token.name, frozenset(token.scopes))

    async def _ask(self, secret_digest: bytes) -> ApiToken | None:
        """One question at a time for each secret, however many requests bring it."""
        task = self._asked.get(secret_digest)
        if task is None:
            task = self._asked[secret_digest] = asyncio.create_task(self._read(secret_digest))
            task.add_done_callback(lambda _: self._asked.pop(secret_digest, None))
        return await asyncio.shield(task)

    async def _read(self, secret_digest: bytes) -> ApiToken | None:
        async with self._database.transaction() as connection:
            row = await (await connection.execute(FIND, {"digest": secret_digest})).fetchone()
            if row is None:
                return None
            token, stored = as_found(row)
            if not hmac.compare_digest(stored, secret_digest):
                return None
            if token.holds_at(self._platform.now()):
                await connection.execute(NOTE_USE, {"id": token.id})
            return token


class AccessGate:
    """ASGI middleware: puts the `Caller` (or None) into `scope["state"]`, answers 429 where too much is asked."""

    def __init__(self, app: ASGIApp, platform: Platform, database: ServiceDatabase) -> None:
        """`database`: must be open before the first request."""
        self._app = app
        self._database = database
        self._tokens = TokenFinder(database, platform)
        self._tokens_required = tokens_required(platform.settings)
        self._limit = platform.settings.service_requests_per_minute
        self._counter: RequestLimit | None = None
        self._say_away_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a request, then hand it on."""
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                if self._counter is not None:
                    await self._counter.close()
                    self._counter = None
            return
        path: str = scope["path"]
        if scope["type"] == "http" and not _is_under(path, UNJUDGED):
            try:
                await self._judge(scope, counted=not _is_under(path, UNCOUNTED))
            except Problem as problem:
                # Before any page was looked for.
                scope["state"]["refused"] = True
                await problem.response(scope["state"]["request_id"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _judge(self, scope: Scope, counted: bool) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        address = scope["client"][0] if scope.get("client") else None
        try:
            caller = await self._identify(headers, address)
            if counted:
                await self._count(caller.key if caller else address_key(address))
        except UNAVAILABLE_ERRORS as error:
            self._say_away(error)
            raise unavailable() from None
        scope["state"]["caller"] = caller

    def _say_away(self, error: Exception) -> None:
        # Each request would say it.
        if time.monotonic() >= self._say_away_at:
            self._say_away_at = time.monotonic() + SAY_AWAY_SECONDS
            LOGGER.warning("the database cannot be reached: %s", type(error).__name__)

    async def _identify(self, headers: "Mapping[str, str]", address: str | None) -> Caller | None:
        secret_digest = bearer_of(headers.get("authorization"))
        if secret_digest is not None:
            return await self._tokens.caller_of(secret_digest) if secret_digest else None
        return LOCAL if not self._tokens_required and is_local(address, headers) else None

    async def _count(self, key: str) -> None:
        await self._database.require_prepared()
        if self._counter is None:
            self._counter = RequestLimit(self._database.url, self._limit, **connection_arguments(self._database.url))
        try:
            verdict = await self._counter.admit(key)
        except psycopg.Error as error:
            self._say_away(error)
            raise unavailable() from None
        if not verdict.admitted:
            seconds = verdict.wait_seconds
            headers = {"Retry-After": str(seconds)}
            raise Problem(429, None, "Rate limit exceeded", headers=headers, limit=self._limit, retry_after_seconds=seconds)


def _is_under(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)
