"""Redaction: a known secret never survives, whatever surrounds it, and harmless text stays as it is."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from metapulse_assets.platform.redaction import MASK, redact, redact_url

# No secret that the mask itself, or a word that the patterns keep, could contain.
secrets = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*"), min_size=4, max_size=30)
surroundings = st.text(max_size=40)


@given(before=surroundings, secret=secrets, after=surroundings)
def test_a_known_secret_is_masked_wherever_it_stands(before: str, secret: str, after: str) -> None:
    assume(secret not in before + MASK + after)
    shown = redact(f"{before}{secret}{after}", [secret])
    assert secret not in shown or secret in redact(f"{before}{MASK}{after}")


@given(secret=secrets, tail=secrets)
def test_a_secret_that_begins_with_another_is_masked_whole(secret: str, tail: str) -> None:
    assume(tail not in secret)
    for order in ([secret, secret + tail], [secret + tail, secret]):
        assert redact(f"<{secret}{tail}>", order) == f"<{MASK}>"


@given(text=st.text(), known=st.lists(secrets, max_size=3))
def test_masking_twice_changes_nothing_more(text: str, known: list[str]) -> None:
    once = redact(text, known)
    assume(not any(secret in once for secret in known))
    assert redact(once, known) == once


@given(text=st.text(st.characters(categories=["L", "N", "Zs"])))
def test_plain_words_stay(text: str) -> None:
    assume("bearer" not in text.lower() and "basic" not in text.lower())
    assert redact(text, ["", "ab"]) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://x/y?api_key=abc&q=SOL", "https://x/y?api_key=***&q=SOL"),
        ("https://x/y?q=SOL&access_token=abc", "https://x/y?q=SOL&access_token=***"),
        ("client_secret=abc, x-api-key=def", "client_secret=*** x-api-key=***"),
        ("Authorization: Bearer abcdefgh.ij-k", "Authorization: Bearer ***"),
        ("redis://:hunter2@h:6379/0", "redis://:***@h:6379/0"),
        ("postgres://u:p@ss@h/db failed", "postgres://u:***@h/db failed"),
        ("POSTGRES://u:pass@h/db", "POSTGRES://u:***@h/db"),
        ("two postgres://u:a@h/d and redis://v:b@i/1", "two postgres://u:***@h/d and redis://v:***@i/1"),
        ("http://127.0.0.1:8899/tokens/v1/solana/a,b", "http://127.0.0.1:8899/tokens/v1/solana/a,b"),
    ],
)
def test_secrets_that_nobody_told_of(text: str, shown: str) -> None:
    assert redact(text) == shown


@given(password=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1).filter(lambda p: p.strip("*")))
def test_redact_url_hides_any_password_even_an_unescaped_one(password: str) -> None:
    assert (
        redact_url(f"postgresql://user:{password}@h:5432/db?sslmode=require")
        == "postgresql://user:***@h:5432/db?sslmode=require"
    )


@pytest.mark.parametrize(
    "url", ["postgresql://user@h/db", "postgresql:///db?host=/run", "postgresql://h1:1,h2:2/db", "no url", ""]
)
def test_redact_url_leaves_a_url_without_password(url: str) -> None:
    assert redact_url(url) == url
