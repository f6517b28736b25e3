"""Who asks, and what they may: bearer tokens with scopes; in development, this machine's own user without one."""

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from fastapi import Request

from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.vendor_settings import is_loopback
from metapulse_assets.service.problems import Problem

Scope = Literal["signals:read", "jobs:read", "jobs:write", "operations", "metrics:read"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
LOCAL_USER = "local"
# Only a proxy sends these, and then the address that we see is the proxy's.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
# A subscriber has at least so much of IPv6 for himself.
_IPV6_PREFIX = 64


@dataclass(frozen=True)
class Caller:
    """Who asks, and with which scopes."""

    user: str
    scopes: frozenset[str]

    @property
    def key(self) -> str:
        """Under which the requests are counted."""
        return LOCAL_USER if self is LOCAL else f"user:{self.user}"


LOCAL = Caller(LOCAL_USER, frozenset(SCOPES))


class Require:
    """A dependency of a route: lets in whoever has a scope. Raises `Problem`: 401 for nobody known, 403 without the scope."""

    def __init__(self, scope: Scope) -> None:
        """`scope`: what the token must allow."""
        self.scope = scope

    async def __call__(self, request: Request) -> Caller:
        """Judge what `gate.py` found."""
        caller: Caller | None = request.scope.get("state", {}).get("caller")
        if caller is None:
            # Wrong, expired, revoked and missing look alike: whoever tries tokens learns nothing.
            raise Problem(
                401,
                None,
                "This page needs a valid token: Authorization: Bearer mp_…  (metapulse token create)",
                headers={"WWW-Authenticate": 'Bearer realm="metapulse"'},
            )
        if self.scope not in caller.scopes:
            raise Problem(403, None, f"The token lacks the scope {self.scope}.", scope=self.scope)
        return caller


def require(scope: Scope) -> Require:
    """What a route that needs a scope depends on: `dependencies=[Depends(require("jobs:read"))]`."""
    return Require(scope)


def tokens_required(settings: Settings) -> bool:
    """Whether nobody is let in without a token: as set; else in production, and where others than this machine can reach us."""
    if settings.service_tokens_required is not None:
        return settings.service_tokens_required
    return settings.environment == "production" or not is_loopback(f"http://{bracketed(settings.service_host)}")


def bracketed(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def is_local(address: str | None, headers: Mapping[str, str]) -> bool:
    """Whether a request comes from a program of this machine, and no web page of somebody else's had a browser send it.

    `headers`: names in lower case.
    """
    if address is None or not _is_loopback_address(address) or any(name in headers for name in _FORWARDED):
        return False
    host = headers.get("host", "")
    # A page may have its own name point at 127.0.0.1 (DNS rebinding); then the browser sends that name.
    if not is_loopback(f"http://{host}"):
        return False
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = headers.get("origin")
    return origin is None or _origin_of(origin) in (("http", host.lower()), ("https", host.lower()))


def address_key(address: str | None) -> str:
    """Under which the requests of somebody unknown are counted."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return "address:unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return f"address:{ipaddress.ip_network((int(found), _IPV6_PREFIX), strict=False)}"
        found = found.ipv4_mapped
    return f"address:{found}"


def bearer_of(authorization: str | None) -> bytes | None:
    """The SHA-256 of the secret that an `Authorization` header holds; None if there is no such header.

    Anything that is no bearer token has a digest that no token has.
    """
    if authorization is None:
        return None
    kind, _, secret = authorization.partition(" ")
    return digest(secret.strip()) if kind.lower() == "bearer" else b""


def digest(secret: str) -> bytes:
    """What of a secret is stored."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _is_loopback_address(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _origin_of(origin: str) -> tuple[str, str]:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc.lower()
