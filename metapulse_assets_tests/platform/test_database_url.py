"""Addresses of databases: every spelling ends as one that libpq reads as meant, and no error repeats a password."""

from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from metapulse_assets.platform.database import DatabaseError, libpq_url, normalise_url, sqlalchemy_url, with_database
from metapulse_assets.platform.settings import load_settings

passwords = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)


def read(url: str) -> dict[str, str]:
    """What libpq takes a normalised URL for."""
    return {name: str(value) for name, value in conninfo_to_dict(normalise_url(url)).items()}


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("postgres://u:p@h:5433/d", {"user": "u", "password": "p", "host": "h", "port": "5433", "dbname": "d"}),
        ("postgresql+psycopg2://u:p@h/d", {"user": "u", "password": "p", "host": "h", "dbname": "d"}),
        ("postgresql+asyncpg://u@h/d", {"user": "u", "host": "h", "dbname": "d"}),
        ("POSTGRES://h", {"host": "h", "dbname": "postgres"}),
        ("postgres://h/ ", {"host": "h", "dbname": "postgres"}),
        ("postgresql:///d?host=/run/pg&port=5433", {"host": "/run/pg", "port": "5433", "dbname": "d"}),
        ("postgresql://u:p@/d?host=%2Frun%2Fpg", {"user": "u", "password": "p", "host": "/run/pg", "dbname": "d"}),
        ("postgresql://%2Frun%2Fpg/d", {"host": "/run/pg", "dbname": "d"}),
        ("postgresql://u@[::1]:5433/d", {"user": "u", "host": "::1", "port": "5433", "dbname": "d"}),
        (
            "postgresql://a:1,b:2/d?target_session_attrs=read-write",
            {"host": "a,b", "port": "1,2", "dbname": "d", "target_session_attrs": "read-write"},
        ),
        (
            "postgresql://h/d?schema=public&connection_limit=5&pool_timeout=0&pgbouncer=true&sslmode=require",
            {"host": "h", "dbname": "d", "sslmode": "require"},
        ),
        ("postgresql://h/d?ssl=true", {"host": "h", "dbname": "d", "sslmode": "require"}),
        ("postgresql://h/d?options=-c%20geqo%3Doff", {"host": "h", "dbname": "d", "options": "-c geqo=off"}),
        ("postgresql://h/my%20db", {"host": "h", "dbname": "my db"}),
        ("postgresql://u:a@b:c%40d[e]@h/d", {"user": "u", "password": "a@b:c@d[e]", "host": "h", "dbname": "d"}),
        ("postgresql://u:100%@h/d", {"user": "u", "password": "100%", "host": "h", "dbname": "d"}),
    ],
)
def test_spellings_of_other_tools_are_read_as_meant(url: str, meant: dict[str, str]) -> None:
    assert read(url) == meant
    assert normalise_url(normalise_url(url)) == normalise_url(url)


@given(password=passwords, user=passwords)
def test_an_encoded_password_arrives_as_it_is(password: str, user: str) -> None:
    url = f"postgres://{quote(user, safe='')}:{quote(password, safe='')}@h:5432/d"
    found = read(url)
    assert (found["user"], found["password"], found["host"], found["dbname"]) == (user, password, "h", "d")
    made = sa.make_url(sqlalchemy_url(normalise_url(url)))
    assert (made.drivername, made.username, made.password, made.host) == ("postgresql+psycopg", user, password, "h")


@given(password=st.text(st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters="%"), min_size=1))
def test_an_unencoded_password_is_read_right_or_refused_without_it(password: str) -> None:
    url = f"postgresql://user:{password}@host/db"
    if set("/?#") & set(password):
        with pytest.raises(DatabaseError, match=r"write / [?] # and @ in its user and password as %2F") as refused:
            normalise_url(url)
        assert len(password) < 3 or password not in str(refused.value)
    else:
        found = read(url)
        assert (found["user"], found["password"], found["host"]) == ("user", password, "host")


PLANTED = "hunter2secret"


@pytest.mark.parametrize(
    "url",
    [
        PLANTED,
        f"mysql://u:{PLANTED}@h/d",
        f"host=h password={PLANTED}",
        f"postgresql://u:{PLANTED}/x@h/d",
        f"postgresql://u:x?{PLANTED}@h/d",
        f"postgresql://u:12#{PLANTED}@h/d",
        f"postgresql://u:12/{PLANTED}@h/d",
        f"postgresql://u:p@12?{PLANTED}@h/d",
        f"postgresql:/u:{PLANTED}@h/d",
        "",
    ],
)
def test_what_libpq_would_misread_is_refused_without_the_password(url: str) -> None:
    with pytest.raises(DatabaseError, match=r"^DATABASE_URL: ") as refused:
        normalise_url(url)
    assert PLANTED not in str(refused.value)
    assert "12" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://u:p%40@h:1/d?sslmode=require", "postgresql://u:p%40@h:1/d_dagster?sslmode=require"),
        ("postgresql:///d?host=/run/pg", "postgresql:///d_dagster?host=/run/pg"),
        ("postgresql://h/my%20db", "postgresql://h/my%20db_dagster"),
    ],
)
def test_another_database_of_the_same_server(url: str, named: str) -> None:
    assert with_database(url, lambda name: f"{name}_dagster") == named


def test_a_given_address_is_taken_without_starting_a_server() -> None:
    assert libpq_url(load_settings(database_url="postgres://u:p@nowhere.invalid/d")) == "postgresql://u:p@nowhere.invalid/d"
