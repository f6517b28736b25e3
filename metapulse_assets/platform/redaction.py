"""Keeping secrets out of what people read: logs, errors, URLs, reports."""

import functools
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

MASK = "***"
# Names that carry a secret in a query string or a header, at whatever vendor.
_SECRET_PARAMETER = re.compile(r"(?i)([\w-]{0,40}(?:key|token|secret|password|passwd|authorization|signature))=([^&\s\"']+)")
# Up to the last @, since a password may hold one.
_URL_PASSWORD = re.compile(r"(?i)(?P<scheme>[a-z][a-z0-9+.-]{0,20}://)(?P<user>[^:/@\s]*):(?P<password>[^/\s]+)@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}")
_SHORTEST_SECRET = 4
_SHORTEST_PASSWORD = 8


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask known secrets, passwords in URLs, bearer tokens and secret-looking query parameters in a text."""
    # Longest first: a secret that begins with another must not keep its tail.
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        text = text.replace(form, MASK)
    text = _URL_PASSWORD.sub(lambda m: f"{m['scheme']}{m['user']}:{MASK}@", text)
    text = _BEARER.sub(lambda m: f"{m[1]} {MASK}", text)
    return _SECRET_PARAMETER.sub(lambda m: f"{m[1]}={MASK}", text)


@functools.lru_cache(maxsize=64)
def _forms(secret: str) -> frozenset[str]:
    """A secret as it is, and as a repr, a JSON text or a URL writes it."""
    if len(secret) < _SHORTEST_SECRET:
        return frozenset()
    return frozenset((secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, "", errors="replace")))


def passwords_in(url: str) -> set[str]:
    """The password of a URL, as it stands there and as it is meant; not one so plain that masking it would mask words."""
    credentials, at, _ = url.partition("://")[2].rpartition("@")
    user, _, password = credentials.partition(":")
    return {form for form in (password, unquote(password)) if at and len(form) >= _SHORTEST_PASSWORD and form != user}


def redact_url(url: str) -> str:
    """A URL without its password, for messages; its query keeps only harmless parameters.

    It need not be a valid one: whatever stands between the first colon and the last @ is taken for the password.
    """
    scheme, separator, rest = url.partition("://")
    credentials, at, address = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    if at and colon:
        url = f"{scheme}{separator}{user}:{MASK}@{address}"
    return redact(url)
