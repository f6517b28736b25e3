"""Where the vendors are, how often they may be asked, and with which keys; the sandbox in their place."""

from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

LIVE_DEXSCREENER_URL = "https://api.dexscreener.com"
LIVE_GECKOTERMINAL_URL = "https://api.geckoterminal.com/api/v2"
LIVE_TWITTER_URL = "https://api.twitter.com"
LIVE_GROQ_URL = "https://api.groq.com"
LIVE_GEMINI_URL = "https://generativelanguage.googleapis.com"
LIVE_RUGCHECK_URL = "https://api.rugcheck.xyz"
LIVE_GOPLUS_URL = "https://api.gopluslabs.io"
LIVE_PUMPPORTAL_URL = "wss://pumpportal.fun/api/data"

# Sent to the stand-ins in place of a key.
SANDBOX_KEY = "sandbox-key"


class Mode(StrEnum):
    """Where data comes from. Chosen by the user, never guessed. A replay works on imported files alone and asks nobody."""

    SANDBOX = "sandbox"
    LIVE = "live"
    REPLAY = "replay"


class VendorSettings(BaseSettings):
    """The part of the settings that is about vendors."""

    mode: Mode = Field(Mode.SANDBOX, alias="METAPULSE_MODE")
    sandbox_port: int = Field(8899, ge=1, le=65535, alias="METAPULSE_SANDBOX_PORT")

    # Vendors: where they are, and how often they may be asked
    dexscreener_api_url: str | None = Field(None, alias="DEXSCREENER_API_URL")
    dexscreener_rate_limit: int = Field(10, ge=1, alias="DEXSCREENER_RATE_LIMIT")
    dexscreener_pairs_per_minute: int = Field(300, ge=1, alias="DEXSCREENER_PAIRS_PER_MINUTE")
    dexscreener_profiles_per_minute: int = Field(60, ge=1, alias="DEXSCREENER_PROFILES_PER_MINUTE")
    geckoterminal_api_url: str | None = Field(None, alias="GECKOTERMINAL_API_URL")
    geckoterminal_rate_limit: int | None = Field(None, ge=1, alias="GECKOTERMINAL_RATE_LIMIT")
    twitter_api_url: str | None = Field(None, alias="TWITTER_API_URL")
    twitter_rate_limit: int = Field(300, ge=1, alias="TWITTER_RATE_LIMIT")
    groq_api_url: str | None = Field(None, alias="GROQ_API_URL")
    groq_rate_limit: int = Field(30, ge=1, alias="GROQ_RATE_LIMIT")
    gemini_api_url: str | None = Field(None, alias="GEMINI_API_URL")
    gemini_rate_limit: int = Field(60, ge=1, alias="GEMINI_RATE_LIMIT")
    rugcheck_api_url: str | None = Field(None, alias="RUGCHECK_API_URL")
    rugcheck_rate_limit: int = Field(30, ge=1, alias="RUGCHECK_RATE_LIMIT")
    goplus_api_url: str | None = Field(None, alias="GOPLUS_API_URL")
    goplus_rate_limit: int = Field(30, ge=1, alias="GOPLUS_RATE_LIMIT")
    pumpportal_ws_url: str | None = Field(None, alias="PUMPPORTAL_WS_URL")
    vendor_timeout_seconds: float = Field(10.0, gt=0, alias="METAPULSE_VENDOR_TIMEOUT_SECONDS")
    vendor_attempts: int = Field(3, ge=1, le=10, alias="METAPULSE_VENDOR_ATTEMPTS")
    vendor_backoff_seconds: float = Field(2.0, ge=0, alias="METAPULSE_VENDOR_BACKOFF_SECONDS")
    breaker_failures: int = Field(5, ge=1, alias="METAPULSE_BREAKER_FAILURES")
    breaker_open_seconds: float = Field(60.0, gt=0, alias="METAPULSE_BREAKER_OPEN_SECONDS")

    # Keys: a missing one switches off what needs it
    groq_api_key: SecretStr | None = Field(None, alias="GROQ_API_KEY")
    gemini_api_key: SecretStr | None = Field(None, alias="GEMINI_API_KEY")
    twitter_bearer_token: SecretStr | None = Field(None, alias="TWITTER_BEARER_TOKEN")
    pumpportal_api_key: SecretStr | None = Field(None, alias="PUMPPORTAL_API_KEY")

    @property
    def sandbox_url(self) -> str:
        """Where the stand-ins listen."""
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def dexscreener_url(self) -> str:
        """Base URL of DexScreener, or of what stands in for it."""
        return self._vendor_url(self.dexscreener_api_url, "/dexscreener", LIVE_DEXSCREENER_URL)

    @property
    def geckoterminal_url(self) -> str:
        """Base URL of GeckoTerminal, or of what stands in for it."""
        return self._vendor_url(self.geckoterminal_api_url, "/geckoterminal/api/v2", LIVE_GECKOTERMINAL_URL)

    @property
    def twitter_url(self) -> str:
        """Base URL of X's API, or of what stands in for it."""
        return self._vendor_url(self.twitter_api_url, "/x", LIVE_TWITTER_URL)

    @property
    def groq_url(self) -> str:
        """Base URL of Groq, of any server that speaks its protocol, or of what stands in for it."""
        return self._vendor_url(self.groq_api_url, "/groq", LIVE_GROQ_URL)

    @property
    def gemini_url(self) -> str:
        """Base URL of Gemini, or of what stands in for it."""
        return self._vendor_url(self.gemini_api_url, "/gemini", LIVE_GEMINI_URL)

    @property
    def rugcheck_url(self) -> str:
        """Base URL of RugCheck, or of what stands in for it."""
        return self._vendor_url(self.rugcheck_api_url, "/rugcheck", LIVE_RUGCHECK_URL)

    @property
    def goplus_url(self) -> str:
        """Base URL of GoPlus, or of what stands in for it."""
        return self._vendor_url(self.goplus_api_url, "/goplus", LIVE_GOPLUS_URL)

    @property
    def pumpportal_url(self) -> str:
        """The WebSocket of PumpPortal, or of what stands in for it; without a key."""
        url = self._vendor_url(self.pumpportal_ws_url, "/pumpportal/api/data", LIVE_PUMPPORTAL_URL)
        return url.replace("http", "ws", 1) if url.startswith("http") else url

    @property
    def geckoterminal_per_minute(self) -> int:
        """GeckoTerminal's public plan allows 30 calls a minute; the sandbox answers as its paid plan's ceiling would."""
        if self.geckoterminal_rate_limit is not None:
            return self.geckoterminal_rate_limit
        return 30 if self.mode is Mode.LIVE else 3_000

    @property
    def needs_sandbox(self) -> bool:
        """Whether some vendor is to be answered by the sandbox of this machine."""
        return self.is_in_sandbox(
            *(self.dexscreener_url, self.geckoterminal_url, self.twitter_url),
            *(self.groq_url, self.gemini_url, self.rugcheck_url, self.goplus_url, self.pumpportal_url),
        )

    def is_in_sandbox(self, *urls: str) -> bool:
        """Whether one of these vendors' URLs leads to the sandbox of this machine."""
        http = (f"http{url[2:]}" if url.startswith("ws") else url for url in urls)
        return self.mode is Mode.SANDBOX and any(f"{url}/".startswith(f"{self.sandbox_url}/") for url in http)

    def key_of(self, key: SecretStr | None) -> str | None:
        """A vendor's key: the one given; in the sandbox, where no real key may be sent, a word that says so."""
        if self.mode is Mode.SANDBOX:
            return SANDBOX_KEY
        return key.get_secret_value() if key else None

    def _vendor_url(self, given: str | None, sandbox_path: str, live: str) -> str:
        if self.mode is Mode.LIVE:
            return (given or live).rstrip("/")
        # In the sandbox nothing may leave this machine, whatever an old .env says.
        if given and is_loopback(given):
            return given.rstrip("/")
        return self.sandbox_url + sandbox_path


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
