"""Every setting of MetaPulse, read from the environment and from `.env` at the project's root.

A name that another service of the family already used keeps its name (`DATABASE_URL`, `TOKEN_DATA_INTERVAL`, …); names of
our own begin with `METAPULSE_`. Nothing here opens a connection.
"""

import functools
from datetime import date
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from metapulse_assets.platform.intervals import cron_for_interval

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

# What the Node services refused to start without; enforced here only when METAPULSE_STRICT_ENV is on.
STRICTLY_REQUIRED = (
    "DATABASE_URL",
    "REDIS_URL",
    "GROQ_API_KEY",
    "GEMINI_API_KEY",
    "TWITTER_BEARER_TOKEN",
    "DEXSCREENER_API_URL",
    "NODE_ENV",
)


class SettingsError(Exception):
    """A setting is missing or wrong; the message names it and never repeats a secret's value."""


class Mode(StrEnum):
    """Where data comes from. Chosen by the user, never guessed. A replay works on imported files alone and asks nobody."""

    SANDBOX = "sandbox"
    LIVE = "live"
    REPLAY = "replay"


def project_root() -> Path:
    """The folder that holds `workspace.yaml`: the checkout, or the working directory of an installed package."""
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "workspace.yaml").is_file() else Path.cwd()


class Settings(BaseSettings):
    """All settings, validated once. Secrets are `SecretStr`, so that printing settings shows none."""

    model_config = SettingsConfigDict(
        # Not by field name: the shell's own HOME would become our home.
        env_file=project_root() / ".env",
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
    )

    # Where and how it runs
    mode: Mode = Field(Mode.SANDBOX, alias="METAPULSE_MODE")
    home: Path = Field(default_factory=lambda: project_root() / ".metapulse", alias="METAPULSE_HOME")
    environment: Literal["development", "production", "test"] = Field(
        "development", validation_alias=AliasChoices("METAPULSE_ENV", "NODE_ENV")
    )
    strict_env: bool = Field(False, alias="METAPULSE_STRICT_ENV")
    enable_scheduled_jobs: bool = Field(False, alias="ENABLE_SCHEDULED_JOBS")
    enable_performance_monitoring: bool = Field(False, alias="ENABLE_PERFORMANCE_MONITORING")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", alias="LOG_LEVEL")
    log_format: Literal["text", "json"] = Field("text", alias="METAPULSE_LOG_FORMAT")
    first_day: date = Field(date(2018, 1, 1), alias="METAPULSE_FIRST_DAY")

    # Stores
    database_url: SecretStr | None = Field(None, alias="DATABASE_URL")
    dagster_database_url: SecretStr | None = Field(None, alias="METAPULSE_DAGSTER_DATABASE_URL")
    database_pool_size: int = Field(5, ge=1, le=100, alias="DATABASE_POOL_SIZE")
    database_pool_max: int = Field(20, ge=1, le=200, alias="DATABASE_POOL_MAX")
    redis_url: SecretStr | None = Field(None, alias="REDIS_URL")

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
    openai_api_key: SecretStr | None = Field(None, alias="OPENAI_API_KEY")
    stripe_secret_key: SecretStr | None = Field(None, alias="STRIPE_SECRET_KEY")
    stripe_webhook_secret: SecretStr | None = Field(None, alias="STRIPE_WEBHOOK_SECRET")
    sendgrid_api_key: SecretStr | None = Field(None, alias="SENDGRID_API_KEY")
    firebase_key: SecretStr | None = Field(None, alias="FIREBASE_KEY")
    supabase_url: str | None = Field(None, alias="SUPABASE_URL")
    supabase_service_role_key: SecretStr | None = Field(None, alias="SUPABASE_SERVICE_ROLE_KEY")
    redis_host: str = Field("localhost", alias="REDIS_HOST")
    redis_port: int = Field(6379, ge=1, le=65535, alias="REDIS_PORT")
    redis_password: SecretStr | None = Field(None, alias="REDIS_PASSWORD")

    # What may be spent, and on which models
    x_budget_usd_per_day: float = Field(5.0, ge=0, alias="METAPULSE_X_BUDGET_USD_PER_DAY")
    x_posts_per_query: int = Field(100, ge=10, le=500, alias="METAPULSE_X_POSTS_PER_QUERY")
    x_watched_accounts: Annotated[tuple[str, ...], NoDecode] = Field((), alias="METAPULSE_X_WATCHED_ACCOUNTS")
    ai_budget_usd_per_day: float = Field(1.0, ge=0, alias="METAPULSE_AI_BUDGET_USD_PER_DAY")
    ai_timeout_seconds: float = Field(60.0, gt=0, alias="METAPULSE_AI_TIMEOUT_SECONDS")
    ai_tokens_per_run: int = Field(8, ge=0, alias="METAPULSE_AI_TOKENS_PER_RUN")
    groq_model: str = Field("openai/gpt-oss-120b", alias="GROQ_MODEL")
    gemini_model: str = Field("gemini-2.5-flash", alias="GEMINI_MODEL")

    # Cadence, in milliseconds as the Node services had it
    token_data_interval: int = Field(300_000, alias="TOKEN_DATA_INTERVAL")
    social_data_interval: int = Field(600_000, alias="SOCIAL_DATA_INTERVAL")
    ai_analysis_interval: int = Field(900_000, alias="AI_ANALYSIS_INTERVAL")
    signal_generation_interval: int = Field(300_000, alias="SIGNAL_GENERATION_INTERVAL")
    cleanup_interval: int = Field(3_600_000, alias="CLEANUP_INTERVAL")

    # How long what is stored is kept, in days, and what the process may take
    metrics_retention_days: int = Field(90, ge=1, alias="METAPULSE_METRICS_RETENTION_DAYS")
    social_retention_days: int = Field(60, ge=1, alias="METAPULSE_SOCIAL_RETENTION_DAYS")
    analyses_retention_days: int = Field(90, ge=1, alias="METAPULSE_ANALYSES_RETENTION_DAYS")
    candles_retention_days: int = Field(130, ge=1, alias="METAPULSE_CANDLES_RETENTION_DAYS")
    trades_retention_days: int = Field(14, ge=1, alias="METAPULSE_TRADES_RETENTION_DAYS")
    signals_retention_days: int = Field(30, ge=1, alias="METAPULSE_SIGNALS_RETENTION_DAYS")
    raw_payloads_retention_days: int = Field(14, ge=1, alias="METAPULSE_RAW_PAYLOADS_RETENTION_DAYS")
    dead_letters_retention_days: int = Field(30, ge=1, alias="METAPULSE_DEAD_LETTERS_RETENTION_DAYS")
    job_logs_retention_days: int = Field(7, ge=1, alias="METAPULSE_JOB_LOGS_RETENTION_DAYS")
    operations_retention_days: int = Field(7, ge=1, alias="METAPULSE_OPERATIONS_RETENTION_DAYS")
    alarms_retention_days: int = Field(90, ge=1, alias="METAPULSE_ALARMS_RETENTION_DAYS")
    dagster_retention_days: int = Field(7, ge=1, alias="METAPULSE_DAGSTER_RETENTION_DAYS")
    memory_limit_mb: int = Field(512, ge=1, alias="METAPULSE_MEMORY_LIMIT_MB")

    # Workers
    port: int = Field(3001, ge=1, le=65535, alias="PORT")
    worker_concurrency: int = Field(10, ge=1, le=50, alias="WORKER_CONCURRENCY")
    worker_max_jobs: int = Field(100, ge=1, alias="WORKER_MAX_JOBS")
    worker_max_attempts: int = Field(3, ge=1, alias="WORKER_MAX_ATTEMPTS")
    worker_backoff_delay: int = Field(2000, ge=0, alias="WORKER_BACKOFF_DELAY")
    cluster_mode: bool = Field(False, alias="CLUSTER_MODE")
    cluster_workers: int = Field(4, ge=1, alias="CLUSTER_WORKERS")
    worker_lease_seconds: float = Field(30.0, gt=0, alias="METAPULSE_WORKER_LEASE_SECONDS")
    worker_stop_seconds: float = Field(25.0, ge=0, le=26, alias="METAPULSE_WORKER_STOP_SECONDS")
    job_modules: Annotated[tuple[str, ...], NoDecode] = Field((), alias="METAPULSE_JOB_MODULES")
    debug_scoring: bool = Field(False, alias="DEBUG_SCORING")

    # Which tokens are tracked
    tracked_chains: Annotated[tuple[str, ...], NoDecode] = Field(
        ("solana", "ethereum", "base", "bsc"), alias="METAPULSE_CHAINS"
    )
    watched_tokens: Annotated[tuple[str, ...], NoDecode] = Field((), alias="METAPULSE_WATCHED_TOKENS")
    max_tracked_tokens: int = Field(100, ge=1, alias="METAPULSE_MAX_TRACKED_TOKENS")
    min_volume_h24_usd: float = Field(1_000.0, ge=0, alias="METAPULSE_MIN_VOLUME_H24_USD")
    min_liquidity_usd: float = Field(5_000.0, ge=0, alias="METAPULSE_MIN_LIQUIDITY_USD")
    history_requests_per_run: int | None = Field(None, ge=0, alias="METAPULSE_HISTORY_REQUESTS_PER_RUN")

    # The stream
    stream_mints: Annotated[tuple[str, ...], NoDecode] = Field((), alias="METAPULSE_STREAM_MINTS")
    stream_silence_seconds: float = Field(600.0, gt=0, alias="METAPULSE_STREAM_SILENCE_SECONDS")
    stream_ping_seconds: float = Field(20.0, gt=0, alias="METAPULSE_STREAM_PING_SECONDS")
    stream_reconnect_seconds: float = Field(1.0, gt=0, le=60, alias="METAPULSE_STREAM_RECONNECT_SECONDS")
    stream_batch_seconds: float = Field(0.1, gt=0, le=0.5, alias="METAPULSE_STREAM_BATCH_SECONDS")
    stream_spool_mb: int = Field(2_000, ge=10, alias="METAPULSE_STREAM_SPOOL_MB")

    # The sandbox
    sandbox_port: int = Field(8899, ge=1, le=65535, alias="METAPULSE_SANDBOX_PORT")
    recordings: Path | None = Field(None, alias="METAPULSE_RECORDINGS")
    replay_name: str = Field("default", pattern=r"^[a-z0-9_]{1,40}$", alias="METAPULSE_REPLAY")
    webserver_port: int = Field(3000, ge=1, le=65535, alias="METAPULSE_WEBSERVER_PORT")

    @field_validator("tracked_chains", "watched_tokens", "x_watched_accounts", "stream_mints", "job_modules", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("watched_tokens")
    @classmethod
    def _check_watched(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for position, entry in enumerate(value, 1):
            chain, _, address = entry.partition(":")
            if not chain or not address:
                raise ValueError(f"entry {position} is not of the form chain:address")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _level(cls, value: object) -> object:
        # The Node services' loggers say "warn".
        return {"warn": "warning"}.get(value.lower(), value.lower()) if isinstance(value, str) else value

    @field_validator("home", "recordings")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        try:
            return value.expanduser().resolve() if value else None
        except RuntimeError:
            raise ValueError("the home folder that ~ stands for is not known") from None

    @field_validator(
        "token_data_interval",
        "social_data_interval",
        "ai_analysis_interval",
        "signal_generation_interval",
        "cleanup_interval",
    )
    @classmethod
    def _check_interval(cls, value: int) -> int:
        cron_for_interval(value)
        return value

    @model_validator(mode="after")
    def _check_strict(self) -> "Settings":
        if self.strict_env:
            given = self.model_fields_set
            missing = [
                name for name in STRICTLY_REQUIRED if ("environment" if name == "NODE_ENV" else name.lower()) not in given
            ]
            if missing:
                raise ValueError(f"METAPULSE_STRICT_ENV is on and these are not set: {', '.join(missing)}")
        return self

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
    def history_budget(self) -> int:
        """Candle-history requests that one run may spend: live, what a minute allows without waiting."""
        if self.history_requests_per_run is not None:
            return self.history_requests_per_run
        return 25 if self.mode is Mode.LIVE else 600

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

    @property
    def database_label(self) -> str:
        """What the embedded server calls this mode's database; sandbox, recordings and live never share one."""
        if self.mode is Mode.SANDBOX and self.recordings:
            return "metapulse_recordings"
        if self.mode is Mode.REPLAY:
            return f"metapulse_replay_{self.replay_name}"
        return f"metapulse_{self.mode.value}"

    def key_of(self, key: SecretStr | None) -> str | None:
        """A vendor's key: the one given; in the sandbox, where no real key may be sent, a word that says so."""
        if self.mode is Mode.SANDBOX:
            return SANDBOX_KEY
        return key.get_secret_value() if key else None

    def secrets(self) -> list[str]:
        """The values that must never be shown, longest first."""
        found = [value.get_secret_value() for value in self.__dict__.values() if isinstance(value, SecretStr)]
        return sorted((value for value in found if value), key=len, reverse=True)

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


@functools.cache
def get_settings() -> Settings:
    """The settings of this process; a wrong one raises `SettingsError` with every name at fault."""
    return load_settings()


def load_settings(**overrides: object) -> Settings:
    """Read settings afresh, with overrides by field name; raises `SettingsError`."""
    try:
        return Settings(**{variables_of(name)[0]: value for name, value in overrides.items()})  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(describe_validation_error(error)) from None


def variables_of(field_name: str) -> list[str]:
    """The environment variables that set a field, the preferred one first."""
    field = Settings.model_fields[field_name]
    aliases = field.validation_alias
    return [str(choice) for choice in aliases.choices] if isinstance(aliases, AliasChoices) else [str(field.alias)]


def describe_validation_error(error: ValidationError) -> str:
    """One line per setting at fault, without the values (one of them may be a secret)."""
    lines = []
    all_names = {names[0]: " or ".join(names) for names in map(variables_of, Settings.model_fields)}
    for problem in error.errors(include_input=False, include_url=False):
        place = str(problem["loc"][0]) if problem["loc"] else "settings"
        name = all_names.get(place, place)
        lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)
