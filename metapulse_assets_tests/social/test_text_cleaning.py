"""Cleaning hostile text: what is hidden goes, look-alikes become what they look like, and every place is remembered."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.social.text_cleaning import LONGEST_TEXT, clean, clean_text

ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("pu\u200bm\u202ep\u2060", "pump"),
        ("$\u0420\u0415\u0420\u0415", "$PEPE"),
        ("\u0441laim now", "claim now"),
        ("\U0001d405\U0001d42b\U0001d41e\U0001d41e \U0001d482\U0001d48a\U0001d493", "Free air"),
        ("\uff34\uff2f\uff2b\uff25\uff2e", "TOKEN"),
        ("ᴄʟᴀɪᴍ 🅰🅱", "claim ab"),
        ("z\u0335\u0328a\u0321lgo", "zalgo"),
        ("a\nb\tc\x00d", "a b c d"),
        ("don\u2019t \u2212 5%", "don't - 5%"),
        ("naïve café", "naive cafe"),
        ("\u043f\u0440\u0438\u0432\u0435\u0442", "\u043f\u0440\u0438\u0432\u0435\u0442"),
        ("❤\ufe0f🚀", "❤🚀"),
        ("\u0928\u093f\u0930\u094d\u0926\u0947\u0936", "\u0928\u093f\u0930\u094d\u0926\u0947\u0936"),
        ("\u0939\u093f\u0336\u0928\u094d\u0926\u0940 b\u0947uy", "\u0939\u093f\u0928\u094d\u0926\u0940 buy"),
        ("\u0e0b\u0e37\u0e49\u0e2d", "\u0e0b\u0e37\u0e49\u0e2d"),
    ],
)
def test_what_is_seen_is_what_is_read(raw: str, plain: str) -> None:
    assert clean_text(raw) == plain


@given(ANY_TEXT)
def test_each_character_knows_where_it_came_from(raw: str) -> None:
    cleaned = clean(raw)
    if cleaned.origins is not None:
        assert len(cleaned.origins) == len(cleaned.text)
        assert list(cleaned.origins) == sorted(cleaned.origins)
    for place in range(len(cleaned.text)):
        start, end = cleaned.span(place, place + 1)
        assert 0 <= start < end <= len(raw)


@given(ANY_TEXT)
def test_nothing_hidden_is_left_and_cleaning_twice_changes_nothing(raw: str) -> None:
    plain = clean_text(raw)
    assert not any(unicodedata.category(sign) in ("Cf", "Cc", "Cs") for sign in plain)
    assert clean_text(plain) == plain


def test_a_span_points_into_the_text_as_it_was_given() -> None:
    raw = "buy \u200b$\u200bPE\u200bPE now"
    cleaned = clean(raw)
    start = cleaned.text.index("$")
    assert raw[slice(*cleaned.span(start, start + 5))] == "$\u200bPE\u200bPE"


def test_a_text_is_read_to_a_length() -> None:
    assert len(clean_text("a" * 10 * LONGEST_TEXT)) == LONGEST_TEXT
    assert len(clean_text("\ufdfa" * LONGEST_TEXT)) <= 4 * LONGEST_TEXT
