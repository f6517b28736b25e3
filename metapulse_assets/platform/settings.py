"""Every setting of MetaPulse, read from the environment and from `.env` at the project's root.

A name that another service of the family already used keeps its name (`DATABASE_URL`, `TOKEN_DATA_INTERVAL`, …); names of
our own begin with `METAPULSE_`. Nothing here opens a connection.
"""

import functools
from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from metapulse_assets.platform.intervals import cron_for_interval
from metapulse_assets.platform.redaction import passwords_in
from metapulse_assets.platform.vendor_settings import Mode, VendorSettings

# Where containers find secrets as files: one a setting, named as it is in either case, e.g. /run/secrets/groq_api_key.
SECRETS_FOLDER = Path("/run/secrets")

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


def project_root() -> Path:
    """The folder that holds `workspace.yaml`: the checkout, or the working directory of an installed package."""
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "workspace.yaml").is_file() else Path.cwd()


class Settings(VendorSettings):
    """All settings, validated once. Secrets are `SecretStr`, so that printing settings shows none."""

    model_config = SettingsConfigDict(
        # Not by field name: the shell's own HOME would become our home.
        env_file=project_root() / ".env",
        secrets_dir=SECRETS_FOLDER if SECRETS_FOLDER.is_dir() else None,
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
    )

    # Where and how it runs
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
    database_replica_url: SecretStr | None = Field(None, alias="DATABASE_REPLICA_URL")
    dagster_database_url: SecretStr | None = Field(None, alias="METAPULSE_DAGSTER_DATABASE_URL")
    database_pool_size: int = Field(5, ge=1, le=100, alias="DATABASE_POOL_SIZE")
    database_pool_max: int = Field(20, ge=1, le=200, alias="DATABASE_POOL_MAX")
    redis_url: SecretStr | None = Field(None, alias="REDIS_URL")
    redis_host: str = Field("localhost", alias="REDIS_HOST")
    redis_port: int = Field(6379, ge=1, le=65535, alias="REDIS_PORT")
    redis_password: SecretStr | None = Field(None, alias="REDIS_PASSWORD")

    # Of what comes later
    openai_api_key: SecretStr | None = Field(None, alias="OPENAI_API_KEY")
    stripe_secret_key: SecretStr | None = Field(None, alias="STRIPE_SECRET_KEY")
    stripe_webhook_secret: SecretStr | None = Field(None, alias="STRIPE_WEBHOOK_SECRET")
    sendgrid_api_key: SecretStr | None = Field(None, alias="SENDGRID_API_KEY")
    firebase_key: SecretStr | None = Field(None, alias="FIREBASE_KEY")
    supabase_url: str | None = Field(None, alias="SUPABASE_URL")
    supabase_service_role_key: SecretStr | None = Field(None, alias="SUPABASE_SERVICE_ROLE_KEY")

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
    dagster_steps_retention_hours: int = Field(6, ge=0, alias="METAPULSE_DAGSTER_STEPS_RETENTION_HOURS")
    memory_limit_mb: int = Field(512, ge=1, alias="METAPULSE_MEMORY_LIMIT_MB")

    # The HTTP service: three ports with the same pages, so that a firewall can tell them apart
    service_host: str = Field("127.0.0.1", alias="METAPULSE_SERVICE_HOST")
    port: int = Field(3001, ge=1, le=65535, alias="PORT")
    metrics_port: int = Field(3002, ge=1, le=65535, alias="METRICS_PORT")
    health_port: int = Field(3003, ge=1, le=65535, alias="HEALTH_PORT")
    service_more_ports: Annotated[tuple[int, ...], NoDecode] = Field((), alias="METAPULSE_SERVICE_MORE_PORTS")
    service_requests_per_minute: int = Field(100, ge=1, alias="METAPULSE_SERVICE_REQUESTS_PER_MINUTE")
    service_body_kb: int = Field(256, ge=1, le=10_240, alias="METAPULSE_SERVICE_BODY_KB")
    service_cache_seconds: float = Field(1.0, ge=0, alias="METAPULSE_SERVICE_CACHE_SECONDS")
    service_tokens_required: bool | None = Field(None, alias="METAPULSE_SERVICE_TOKENS_REQUIRED")
    dagster_url: str | None = Field(None, alias="METAPULSE_DAGSTER_URL")
    statsd_address: str | None = Field(None, alias="METAPULSE_STATSD_ADDRESS")

    # Workers
    worker_concurrency: int = Field(10, ge=1, le=50, alias="WORKER_CONCURRENCY")
    worker_max_jobs: int = Field(100, ge=1, alias="WORKER_MAX_JOBS")
    worker_max_attempts: int = Field(3, ge=1, alias="WORKER_MAX_ATTEMPTS")
    worker_backoff_delay: int = Field(2000, ge=0, alias="WORKER_BACKOFF_DELAY")
    cluster_mode: bool = Field(False, alias="CLUSTER_MODE")
    cluster_workers: int = Field(4, ge=1, alias="CLUSTER_WORKERS")
    worker_lease_seconds: float = Field(30.0, gt=0, le=86_400, alias="METAPULSE_WORKER_LEASE_SECONDS")
    worker_stop_seconds: float = Field(25.0, ge=0, le=26, alias="METAPULSE_WORKER_STOP_SECONDS")
    worker_cpu_limit: float | None = Field(None, gt=0, le=100, alias="METAPULSE_WORKER_CPU_LIMIT")
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
    recordings: Path | None = Field(None, alias="METAPULSE_RECORDINGS")
    replay_name: str = Field("default", pattern=r"^[a-z0-9_]{1,40}$", alias="METAPULSE_REPLAY")
    webserver_port: int = Field(3000, ge=1, le=65535, alias="METAPULSE_WEBSERVER_PORT")

    @field_validator(
        *("tracked_chains", "watched_tokens", "x_watched_accounts", "stream_mints", "job_modules", "service_more_ports"),
        mode="before",
    )
    @classmethod
    def _split_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("dagster_url")
    @classmethod
    def _check_dagster_url(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parts = urlsplit(value)
                is_page = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            except ValueError:
                is_page = False
            if not is_page:
                raise ValueError("it is not the address of a page, as http://127.0.0.1:3000")
        return value

    @field_validator("statsd_address")
    @classmethod
    def _check_statsd(cls, value: str | None) -> str | None:
        if value is not None:
            host_and_port(value)
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
    def history_budget(self) -> int:
        """Candle-history requests that one run may spend: live, what a minute allows without waiting."""
        if self.history_requests_per_run is not None:
            return self.history_requests_per_run
        return 25 if self.mode is Mode.LIVE else 600

    @property
    def database_label(self) -> str:
        """What the embedded server calls this mode's database; sandbox, recordings and live never share one."""
        if self.mode is Mode.SANDBOX and self.recordings:
            return "metapulse_recordings"
        if self.mode is Mode.REPLAY:
            return f"metapulse_replay_{self.replay_name}"
        return f"metapulse_{self.mode.value}"

    def secrets(self) -> list[str]:
        """The values that must never be shown, longest first."""
        found = {value.get_secret_value() for value in self.__dict__.values() if isinstance(value, SecretStr)}
        found |= {password for value in found for password in passwords_in(value)}
        return sorted((value for value in found if value), key=len, reverse=True)


def host_and_port(text: str) -> tuple[str, int]:
    """Host and port of "host:port"; an IPv6 address stands in brackets. Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError("it is not of the form host:port, as in localhost:8125")
    return host, int(port)


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
