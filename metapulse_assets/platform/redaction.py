"""Keeping secrets out of what people read: logs, errors, URLs, reports."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

MASK = "***"
# Names that carry a secret in a query string or a header, at whatever vendor.
_SECRET_PARAMETER = re.compile(
    r"(?i)\b(api[-_]?key|key|token|access_token|secret|password|authorization|signature)=([^&\s\"']+)"
)
_URL_PASSWORD = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^:/@\s]*):(?P<password>[^@/\s]+)@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}")
_SHORTEST_SECRET = 4


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask known secrets, passwords in URLs, bearer tokens and secret-looking query parameters in a text."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    text = _URL_PASSWORD.sub(lambda m: f"{m['scheme']}{m['user']}:{MASK}@", text)
    text = _BEARER.sub(lambda m: f"{m[1]} {MASK}", text)
    return _SECRET_PARAMETER.sub(lambda m: f"{m[1]}={MASK}", text)


def redact_url(url: str) -> str:
    """A URL without its password, for messages; its query keeps only harmless parameters."""
    parts = urlsplit(url)
    if parts.password is not None:
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        parts = parts._replace(netloc=f"{parts.username or ''}:{MASK}@{host}{port}")
    return redact(urlunsplit(parts))
