"""Tokens: made, listed, revoked, found. The secret is shown once and never stored."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from metapulse_assets.service.access.callers import SCOPES, digest
from metapulse_assets.service.tables import api_tokens

# Tells people and scanners of leaked secrets what it is.
PREFIX = "mp_"
SECRET_BYTES = 32
LONGEST_NAME = 100
LONGEST_DAYS = 3650


class TokenError(Exception):
    """A token cannot be made as asked, or there is none of this number."""


@dataclass(frozen=True)
class ApiToken:
    """A token without its secret. Times are UTC."""

    id: int
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def holds_at(self, moment: datetime) -> bool:
        """Whether it lets anybody in."""
        return self.revoked_at is None and (self.expires_at is None or moment < self.expires_at)


_COLUMNS = [api_tokens.c[name] for name in ("id", "name", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")]


def create_token(
    connection: sa.Connection, name: str, scopes: Sequence[str], now: datetime, days: float | None = None
) -> tuple[ApiToken, str]:
    """Make a token for a user; returns it with its secret. Raises `TokenError` for a name or scope that is none."""
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise TokenError(f"name: is empty, has unprintable signs, or more than {LONGEST_NAME} characters")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise TokenError(f"scopes: {', '.join(map(repr, unknown)) or 'none is given'}; known are: {', '.join(SCOPES)}")
    if days is not None and not 0 < days <= LONGEST_DAYS:
        raise TokenError(f"days: {days:g} is not above 0 and at most {LONGEST_DAYS}")
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    values = {
        "name": name,
        "scopes": sorted(set(scopes)),
        "secret_sha256": digest(secret),
        "created_at": now,
        "expires_at": None if days is None else now + timedelta(days=days),
    }
    row = connection.execute(insert(api_tokens).values(values).returning(*_COLUMNS)).one()
    return ApiToken(**row._mapping), secret


def list_tokens(connection: sa.Connection) -> list[ApiToken]:
    """Every token, in the order they were made."""
    return [ApiToken(**row._mapping) for row in connection.execute(sa.select(*_COLUMNS).order_by(api_tokens.c.id))]


def revoke_token(connection: sa.Connection, token_id: int, now: datetime) -> bool:
    """Let a token open nothing any more; False if it was revoked before. Raises `TokenError` if there is none."""
    # As text: a number that no column holds names no token either.
    named = sa.cast(api_tokens.c.id, sa.Text) == str(token_id)
    row = connection.execute(sa.select(api_tokens.c.revoked_at).where(named).with_for_update()).one_or_none()
    if row is None:
        raise TokenError(f"there is no token {token_id}")
    if row.revoked_at is None:
        connection.execute(sa.update(api_tokens).where(api_tokens.c.id == token_id).values(revoked_at=now))
    return row.revoked_at is None


FIND = """
SELECT id, name, scopes, created_at, expires_at, revoked_at, last_used_at, secret_sha256
FROM api_tokens WHERE secret_sha256 = %(digest)s
"""
NOTE_USE = """
UPDATE api_tokens SET last_used_at = now()
WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""


def as_found(row: Sequence[Any]) -> tuple[ApiToken, bytes]:
    """A row of `FIND`: the token, and the digest that it was stored with."""
    return ApiToken(*row[:-1]), bytes(row[-1])
