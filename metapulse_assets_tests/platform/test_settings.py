"""Settings: every name is read, a wrong one is named without its value, and the sandbox never leaves this machine."""

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from metapulse_assets.platform.settings import STRICTLY_REQUIRED, Settings, SettingsError, load_settings, variables_of
from metapulse_assets.platform.vendor_settings import LIVE_DEXSCREENER_URL, LIVE_GECKOTERMINAL_URL, Mode, is_loopback

# Every name that the services of the family document: field, text in the environment, what it means.
SEED_NAMES: dict[str, tuple[str, str, object]] = {
    "DATABASE_URL": ("database_url", "postgres://u:p@h/d", "postgres://u:p@h/d"),
    "REDIS_URL": ("redis_url", "redis://h:6379", "redis://h:6379"),
    "REDIS_HOST": ("redis_host", "cache.internal", "cache.internal"),
    "REDIS_PORT": ("redis_port", "6380", 6380),
    "REDIS_PASSWORD": ("redis_password", "pw-redis", "pw-redis"),
    "GROQ_API_KEY": ("groq_api_key", "gsk_x", "gsk_x"),
    "GEMINI_API_KEY": ("gemini_api_key", "AIza", "AIza"),
    "OPENAI_API_KEY": ("openai_api_key", "sk-x", "sk-x"),
    "TWITTER_BEARER_TOKEN": ("twitter_bearer_token", "AAAA", "AAAA"),
    "STRIPE_SECRET_KEY": ("stripe_secret_key", "sk_live", "sk_live"),
    "STRIPE_WEBHOOK_SECRET": ("stripe_webhook_secret", "whsec", "whsec"),
    "SENDGRID_API_KEY": ("sendgrid_api_key", "SG.x", "SG.x"),
    "FIREBASE_KEY": ("firebase_key", "fire", "fire"),
    "SUPABASE_URL": ("supabase_url", "https://x.supabase.co", "https://x.supabase.co"),
    "SUPABASE_SERVICE_ROLE_KEY": ("supabase_service_role_key", "eyJ", "eyJ"),
    "NODE_ENV": ("environment", "production", "production"),
    "LOG_LEVEL": ("log_level", "DEBUG", "debug"),
    "ENABLE_SCHEDULED_JOBS": ("enable_scheduled_jobs", "true", True),
    "ENABLE_PERFORMANCE_MONITORING": ("enable_performance_monitoring", "true", True),
    "DEXSCREENER_API_URL": ("dexscreener_api_url", "http://127.0.0.1:1", "http://127.0.0.1:1"),
    "DEXSCREENER_RATE_LIMIT": ("dexscreener_rate_limit", "7", 7),
    "TWITTER_RATE_LIMIT": ("twitter_rate_limit", "299", 299),
    "GROQ_RATE_LIMIT": ("groq_rate_limit", "29", 29),
    "GEMINI_RATE_LIMIT": ("gemini_rate_limit", "59", 59),
    "TOKEN_DATA_INTERVAL": ("token_data_interval", "600000", 600_000),
    "SOCIAL_DATA_INTERVAL": ("social_data_interval", "300000", 300_000),
    "AI_ANALYSIS_INTERVAL": ("ai_analysis_interval", "1800000", 1_800_000),
    "SIGNAL_GENERATION_INTERVAL": ("signal_generation_interval", "900000", 900_000),
    "CLEANUP_INTERVAL": ("cleanup_interval", "7200000", 7_200_000),
    "PORT": ("port", "5000", 5000),
    "WORKER_CONCURRENCY": ("worker_concurrency", "3", 3),
    "WORKER_MAX_JOBS": ("worker_max_jobs", "9", 9),
    "WORKER_MAX_ATTEMPTS": ("worker_max_attempts", "4", 4),
    "WORKER_BACKOFF_DELAY": ("worker_backoff_delay", "500", 500),
    "CLUSTER_MODE": ("cluster_mode", "true", True),
    "CLUSTER_WORKERS": ("cluster_workers", "2", 2),
    "DEBUG_SCORING": ("debug_scoring", "true", True),
    "DATABASE_POOL_SIZE": ("database_pool_size", "4", 4),
    "DATABASE_POOL_MAX": ("database_pool_max", "8", 8),
}
SECRETS = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]
NUMBERS = [variables_of(name)[0] for name, field in Settings.model_fields.items() if field.annotation in (int, float, bool)]
PLANTED = "planted-value-7f3a"


@pytest.fixture(autouse=True)
def bare_environment() -> Iterator[None]:
    """No `.env` and no variable of ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Settings.model_config, "env_file", None)
        for field in Settings.model_fields:
            for name in variables_of(field):
                patch.delenv(name, raising=False)
        yield


def loaded(**environment: str) -> Settings:
    """Settings under these variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return load_settings()


@pytest.mark.parametrize("name", SEED_NAMES)
def test_every_name_of_the_family_is_read(name: str) -> None:
    field, text, meaning = SEED_NAMES[name]
    before, after = getattr(loaded(), field), getattr(loaded(**{name: text}), field)
    if isinstance(after, SecretStr):
        after = after.get_secret_value()
    assert before != meaning
    assert after == meaning


def test_env_file_is_read_and_the_environment_outweighs_it(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("METAPULSE_MODE=live\nPORT=4000\nREDIS_HOST=\n# LOG_LEVEL=debug\nUNKNOWN=1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Settings.model_config, "env_file", env_file)
        settings = loaded(PORT="4001")
    assert (settings.mode, settings.port, settings.redis_host, settings.log_level) == (Mode.LIVE, 4001, "localhost", "info")


def test_names_of_fields_are_not_names_of_variables() -> None:
    """A shell always has HOME, many have MODE: they are not ours."""
    ours = {name for field in Settings.model_fields for name in variables_of(field)}
    foreign = {field.upper(): "/elsewhere" for field in Settings.model_fields if field.upper() not in ours}
    assert {"HOME", "MODE", "RECORDINGS"} <= set(foreign)
    assert loaded(**foreign) == loaded()


def test_override_outweighs_every_name_of_a_field() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NODE_ENV", "production")
        patch.setenv("METAPULSE_ENV", "development")
        assert load_settings(environment="test").environment == "test"
    with pytest.raises(KeyError):
        load_settings(no_such_field=1)


@pytest.mark.parametrize("name", NUMBERS)
def test_wrong_number_is_named_without_its_value(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(**{name: PLANTED})
    assert str(refused.value).startswith(f"{name}: ")
    assert PLANTED not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("METAPULSE_MODE", PLANTED, "'sandbox', 'live' or 'replay'"),
        ("NODE_ENV", PLANTED, "METAPULSE_ENV or NODE_ENV: "),
        ("LOG_LEVEL", PLANTED, "LOG_LEVEL: "),
        ("METAPULSE_FIRST_DAY", PLANTED, "METAPULSE_FIRST_DAY: "),
        ("METAPULSE_WATCHED_TOKENS", f"solana:ok,{PLANTED}", "entry 2"),
        ("METAPULSE_WATCHED_TOKENS", f"solana:ok, :{PLANTED}", "entry 2"),
        ("METAPULSE_HOME", f"~{PLANTED}/x", "METAPULSE_HOME: "),
    ],
)
def test_other_wrong_values_are_named_too(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(**{name: value})
    assert said in str(refused.value)
    assert PLANTED not in str(refused.value)


def test_every_name_at_fault_is_in_the_one_error() -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(PORT="0", TOKEN_DATA_INTERVAL="420000", METAPULSE_VENDOR_ATTEMPTS="11")
    lines = str(refused.value).splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == ["METAPULSE_VENDOR_ATTEMPTS", "PORT", "TOKEN_DATA_INTERVAL"]
    assert "360000 ms and 600000 ms" in str(refused.value)


@given(given_names=st.sets(st.sampled_from(STRICTLY_REQUIRED)))
def test_strict_environment_names_exactly_what_is_missing(given_names: set[str]) -> None:
    values = {name: SEED_NAMES[name][1] for name in given_names}
    missing = [name for name in STRICTLY_REQUIRED if name not in given_names]
    loaded(**values)
    if not missing:
        assert loaded(METAPULSE_STRICT_ENV="1", **values).strict_env
        return
    with pytest.raises(SettingsError) as refused:
        loaded(METAPULSE_STRICT_ENV="1", **values)
    assert str(refused.value).endswith(f": {', '.join(missing)}")


def test_an_empty_value_counts_as_missing() -> None:
    values = {name: SEED_NAMES[name][1] for name in STRICTLY_REQUIRED}
    with pytest.raises(SettingsError, match=r"not set: REDIS_URL$"):
        loaded(METAPULSE_STRICT_ENV="1", **{**values, "REDIS_URL": ""})


HOSTS = [
    "127.0.0.1",
    "127.8.8.8",
    "localhost",
    "[::1]",
    "api.dexscreener.com",
    "10.0.0.1",
    "127.0.0.1.evil.example",
    "0",
    "[::1",
]
urls = st.one_of(
    st.text(),
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(["http://", "https://", "HTTP://", "//", "", "ftp://"]),
        st.sampled_from(["", "user@", "localhost@", "127.0.0.1:80@", "a\\@", "localhost#@", "localhost/@", "\t"]),
        st.sampled_from(HOSTS),
        st.sampled_from(["", ":80", ":99999", ":x", "."]),
        st.sampled_from(["", "/", "/path", "?q@localhost", "#@127.0.0.1", "\\@localhost"]),
    ),
)


@given(dexscreener=urls, geckoterminal=urls)
def test_sandbox_never_yields_a_url_off_this_machine(dexscreener: str, geckoterminal: str) -> None:
    settings = load_settings(mode=Mode.SANDBOX, dexscreener_api_url=dexscreener, geckoterminal_api_url=geckoterminal)
    for url in (settings.dexscreener_url, settings.geckoterminal_url):
        try:
            host = httpx2.URL(url).host
        except httpx2.InvalidURL:
            continue  # the client sends nothing at all
        assert host in ("localhost", "::1") or host.startswith("127."), url
        assert is_loopback(url)
        assert urlsplit(url).hostname in ("localhost", "::1") or host.startswith("127.")


def test_vendors_by_mode() -> None:
    live, sandbox = load_settings(mode=Mode.LIVE), load_settings(sandbox_port=8123)
    assert (live.dexscreener_url, live.geckoterminal_url) == (LIVE_DEXSCREENER_URL, LIVE_GECKOTERMINAL_URL)
    assert (live.geckoterminal_per_minute, live.history_budget, live.needs_sandbox) == (30, 25, False)
    assert sandbox.dexscreener_url == "http://127.0.0.1:8123/dexscreener"
    assert sandbox.geckoterminal_url == "http://127.0.0.1:8123/geckoterminal/api/v2"
    assert (sandbox.geckoterminal_per_minute, sandbox.history_budget, sandbox.needs_sandbox) == (3_000, 600, True)
    elsewhere = load_settings(sandbox_port=8123, dexscreener_api_url="http://127.0.0.1:81230/")
    assert not elsewhere.is_in_sandbox(elsewhere.dexscreener_url)
    assert elsewhere.is_in_sandbox(elsewhere.dexscreener_url, elsewhere.groq_url)
    stub = load_settings(
        mode=Mode.LIVE, dexscreener_api_url="http://stub:1/", geckoterminal_rate_limit=5, history_requests_per_run=0
    )
    assert (stub.dexscreener_url, stub.geckoterminal_per_minute, stub.history_budget) == ("http://stub:1", 5, 0)


def test_each_kind_of_data_has_a_database_of_its_own(tmp_path: Path) -> None:
    given = {mode: [load_settings(mode=mode, recordings=folder).database_label for folder in (None, tmp_path)] for mode in Mode}
    assert given[Mode.SANDBOX] == ["metapulse_sandbox", "metapulse_recordings"]
    assert given[Mode.LIVE] == ["metapulse_live"] * 2
    assert given[Mode.REPLAY] == ["metapulse_replay_default"] * 2
    assert load_settings(mode=Mode.REPLAY, replay_name="may_2023").database_label == "metapulse_replay_may_2023"


def test_lists_levels_and_folders_are_read_as_people_write_them() -> None:
    settings = loaded(
        METAPULSE_CHAINS=" solana , base,,",
        METAPULSE_WATCHED_TOKENS="solana:So1,base:0xA",
        LOG_LEVEL="warn",
        METAPULSE_HOME="~/pulse",
        METAPULSE_FIRST_DAY="2020-02-29",
    )
    assert settings.tracked_chains == ("solana", "base")
    assert settings.watched_tokens == ("solana:So1", "base:0xA")
    assert settings.log_level == "warning"
    assert settings.home == Path(os.path.expanduser("~/pulse")).resolve()
    assert settings.first_day == date(2020, 2, 29)


def test_no_way_of_printing_settings_shows_a_secret() -> None:
    assert len(SECRETS) >= 12
    planted = {name: f"{PLANTED}-{name}" for name in SECRETS}
    settings = load_settings(**planted)
    shown = " ".join(
        [repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json(), f"{settings.__dict__}"]
    )
    assert PLANTED not in shown
    assert sorted(settings.secrets()) == sorted(planted.values())
    assert [len(value) for value in settings.secrets()] == sorted(map(len, planted.values()), reverse=True)
