"""What the doctor looks at outside: vendors' URLs, whether they answer and take our keys, and Redis where one is named."""

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from metapulse_assets.cli.findings import Check
from metapulse_assets.cli.start_report import KEYS

if TYPE_CHECKING:
    import sqlalchemy as sa

    from metapulse_assets.platform.settings import Settings

REQUEST_SECONDS = 5.0
REDIS_SECONDS = 2.0
URLS = {
    **{
        f"{vendor}_api_url": ("http", "https")
        for vendor in ("dexscreener", "geckoterminal", "twitter", "groq", "gemini", "rugcheck", "goplus")
    },
    "pumpportal_ws_url": ("ws", "wss"),
    "dagster_url": ("http", "https"),
}
KEY_OF_VENDOR = {"x": "TWITTER_BEARER_TOKEN", "groq": "GROQ_API_KEY", "gemini": "GEMINI_API_KEY"}
UNAUTHORISED = (401, 403)
TOO_MANY = 429


def url_checks(settings: "Settings") -> Iterator[Check]:
    """Vendors' URLs that are none, and those that are not used."""
    from metapulse_assets.platform.redaction import redact_url
    from metapulse_assets.platform.settings import variables_of
    from metapulse_assets.platform.vendor_settings import Mode, is_loopback

    for field, schemes in URLS.items():
        given = getattr(settings, field)
        if given is None:
            continue
        name = variables_of(field)[0]
        try:
            parts = urlsplit(given)
            is_url = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            is_url = False
        if not is_url:
            cure = f"{schemes[-1]}://host/path, or unset it for the usual one"
            yield Check(name, "wrong", f"{redact_url(given)} is no URL", cure)
        elif settings.mode is Mode.SANDBOX and field != "dagster_url" and not is_loopback(given):
            yield Check(name, "note", "not used: in the sandbox nothing leaves this machine", "METAPULSE_MODE=live uses it")


def chain_checks(settings: "Settings") -> Iterator[Check]:
    """Chains that the settings name and nobody here knows: nothing would ever come of them."""
    from metapulse_assets.platform.settings import variables_of
    from metapulse_assets.vendors.chains import CHAINS

    named = {
        "tracked_chains": settings.tracked_chains,
        "watched_tokens": [entry.partition(":")[0] for entry in settings.watched_tokens],
    }
    for field, chains in named.items():
        for chain in dict.fromkeys(chains):
            if chain not in CHAINS:
                cure = f"as DexScreener names them: {', '.join(CHAINS)}"
                yield Check(variables_of(field)[0], "wrong", f"{chain!r} is no chain that is known here", cure)


def vendor_checks(settings: "Settings") -> Iterator[Check]:
    """Whether the sandbox and the vendors answer, and take our keys where asking that is free."""
    from metapulse_assets.sandbox.on_demand import is_answering

    if settings.needs_sandbox:
        if is_answering(settings):
            yield Check("sandbox", "ok", f"answers at {settings.sandbox_url}")
        else:
            yield Check("sandbox", "note", "does not run; runs start it when they need it")
    for vendor, url, path, name in (
        ("dexscreener", settings.dexscreener_url, "/token-profiles/latest/v1", "DEXSCREENER_API_URL"),
        ("geckoterminal", settings.geckoterminal_url, "/networks?page=1", "GECKOTERMINAL_API_URL"),
    ):
        if settings.mode != "replay" and not settings.is_in_sandbox(url):
            yield _asked(vendor, url + path, {}, f"check this machine's way to the internet, and {name} if you set it")


def key_checks(settings: "Settings") -> Iterator[Check]:
    """Which keys are there; those of the language models are tried, since their lists of models cost nothing.

    X is not asked: a question costs money, or counts against the day's quota.
    """
    for name, use in KEYS.items():
        key = getattr(settings, name.lower())
        if settings.mode != "live":
            yield Check(name, "note", f"{'set' if key else 'not set'}; {use}: only live mode uses it")
        elif key is None:
            yield Check(name, "note", f"not set: {use} switched off", f"set {name} in .env to switch it on")
        elif name == "GROQ_API_KEY":
            headers = {"Authorization": f"Bearer {key.get_secret_value()}"}
            yield _tried(name, f"{settings.groq_url}/openai/v1/models", headers, use)
        elif name == "GEMINI_API_KEY":
            yield _tried(name, f"{settings.gemini_url}/v1beta/models", {"x-goog-api-key": key.get_secret_value()}, use)
        else:
            yield Check(name, "ok", f"set; {use}")


def _tried(name: str, url: str, headers: dict[str, str], use: str) -> Check:
    found = _asked(name, url, headers, "check this machine's way to the internet, and the vendor's URL if you set it")
    if any(f"HTTP {status}" in found.finding for status in (400, *UNAUTHORISED)):
        return Check(name, "wrong", f"the vendor refuses it: {found.finding}", f"put a valid key into .env, or unset {name}")
    return Check(name, "ok", f"set, and the vendor takes it; {use}") if found.state == "ok" else found


def _asked(vendor: str, url: str, headers: dict[str, str], cure: str) -> Check:
    import httpx2

    from metapulse_assets import __version__
    from metapulse_assets.platform.json_logs import known_secrets
    from metapulse_assets.platform.redaction import redact, redact_url

    try:
        answer = httpx2.get(url, timeout=REQUEST_SECONDS, headers={"User-Agent": f"metapulse/{__version__}", **headers})
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        return Check(vendor, "wrong", redact(f"{redact_url(url)}: {error or type(error).__name__}", known_secrets()), cure)
    if answer.status_code == TOO_MANY:
        return Check(vendor, "note", "answers that it is asked too often (429)", "wait a minute, or lower its …_RATE_LIMIT")
    if answer.is_success:
        return Check(vendor, "ok", f"answers at {redact_url(url)}")
    return Check(vendor, "wrong", f"{redact_url(url)}: HTTP {answer.status_code}", cure)


def answer_checks(connection: "sa.Connection") -> Iterator[Check]:
    """Vendors that lately said that they are asked too often, or refused our key."""
    rows = connection.exec_driver_sql(
        "SELECT vendor, status, count(*) FROM raw_payloads "
        "WHERE recorded_at > now() - interval '1 hour' AND status IN (401, 403, 429) GROUP BY 1, 2 ORDER BY 1, 2"
    )
    for vendor, status, count in rows:
        if status == TOO_MANY:
            cure = f"lower {vendor.upper()}_RATE_LIMIT, or give the key a larger plan"
            yield Check(f"{vendor}: rate limit", "note", f"{count} answers of the last hour: asked too often (429)", cure)
        else:
            key = KEY_OF_VENDOR.get(vendor)
            cure = f"put a valid {key} into .env" if key else "it takes no key: look whether its URL is right"
            yield Check(f"{vendor}: access", "wrong", f"{count} answers of the last hour: refused (HTTP {status})", cure)


def redis_checks(settings: "Settings") -> Iterator[Check]:
    """Redis, if one is named: whether it answers. Nothing here needs it."""
    from metapulse_assets.platform.redaction import redact_url

    fields = settings.model_fields_set
    if settings.redis_url is None and not fields & {"redis_host", "redis_port"}:
        yield Check("redis", "ok", "not given, not needed")
        return
    host, port, name = settings.redis_host, settings.redis_port, "REDIS_HOST"
    is_encrypted = False
    if settings.redis_url is not None:
        name, url = "REDIS_URL", settings.redis_url.get_secret_value()
        try:
            parts = urlsplit(url)
            host, port, is_encrypted = parts.hostname or "", parts.port or 6379, parts.scheme == "rediss"
            if parts.scheme not in ("redis", "rediss") or not host:
                raise ValueError
        except ValueError:
            cure = "redis://:password@host:6379, or unset it: it is not needed"
            yield Check("redis", "wrong", f"REDIS_URL: {redact_url(url)} is no Redis URL", cure)
            return
    problem = _ping(host, port, is_encrypted)
    if problem is None:
        yield Check("redis", "ok", f"answers at {host}:{port}; nothing here needs it")
    else:
        yield Check("redis", "note", f"{host}:{port}: {problem}; nothing here needs it", f"start it, or unset {name}")


def _ping(host: str, port: int, is_encrypted: bool) -> str | None:
    """Why Redis does not answer; None: it does."""
    try:
        with socket.create_connection((host, port), REDIS_SECONDS) as connection:
            if is_encrypted:
                return None
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
    except OSError as error:
        return error.strerror or type(error).__name__
    # Without its password it says so, which is an answer, too.
    return None if answer.startswith((b"+PONG", b"-NOAUTH")) else "what answers there is no Redis"
