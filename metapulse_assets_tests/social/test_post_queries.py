"""Questions about tokens: whatever a token's maker writes, a question stays a question, short enough, and about that token."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.sandbox.vendors.x_query import judge_of
from metapulse_assets.social.query_building import OPERATORS, TokenWords, clause_of, fits, pack, question_of
from metapulse_assets.social.query_cursors import Cursor
from metapulse_assets.social.standing_questions import standing_questions
from metapulse_assets.vendors.x import LONGEST_QUERY

ADDRESS = "So1aNaAddre55So1aNaAddre55So1aNaAddre55"
HOSTILE = (
    'x" OR from:whoever OR "',
    "a OR b",
    "-is:retweet",
    "$NULL",
    "(",
    '"',
    "lang:en",
    "\u202eabc\u202c",
    "a\x00b",
    "",
    "   ",
    "🚀MOON",
)
texts = st.text(max_size=60) | st.sampled_from(HOSTILE)
words = st.builds(
    TokenWords,
    token_id=st.integers(1, 10_000),
    chain=st.sampled_from(["solana", "base"]),
    address=st.text(alphabet="ABCDEFabcdef0123456789", min_size=32, max_size=44) | texts,
    symbol=st.text(alphabet="ABCDEFGH", min_size=1, max_size=8) | texts,
    name=st.builds(" ".join, st.lists(st.text(alphabet="abcdefgh", min_size=3, max_size=9), min_size=1, max_size=4)) | texts,
    volume_usd=st.floats(0, 1e9),
)


def token(
    symbol: str = "ONE", name: str = "Token One", address: str = ADDRESS, volume: float = 1.0, token_id: int = 1
) -> TokenWords:
    return TokenWords(token_id, "solana", address, symbol, name, volume)


@pytest.mark.parametrize(
    ("symbol", "name", "clause"),
    [
        ("ONE", "Token One", f'$ONE OR "Token One" OR {ADDRESS}'),
        ("one", "Word", f"$ONE OR {ADDRESS}"),
        ("$ONE", "", f"$ONE OR {ADDRESS}"),
        ("LONGSYMBOL", "A B", f"#LONGSYMBOL OR {ADDRESS}"),
        ("WIF2", "x", f"#WIF2 OR {ADDRESS}"),
        ("🚀MOON", "🚀 To The Moon", ADDRESS),
        ("X", '"; OR from:someone', ADDRESS),
        ("A1", "Dr. Who's Coin", f'"Dr. Who\'s Coin" OR {ADDRESS}'),
    ],
)
def test_what_of_a_token_is_searched_for(symbol: str, name: str, clause: str) -> None:
    assert clause_of(token(symbol, name)) == clause


@given(group=st.lists(words, max_size=25))
def test_no_name_breaks_a_question_or_acts_in_it(group: list[TokenWords]) -> None:
    for packed in pack(group):
        question = question_of([clause_of(member) for member in packed])
        assert len(question) <= LONGEST_QUERY
        judge_of(question)
        outside = re.sub(r'"[^"]*"', "", question.removesuffix(OPERATORS))
        assert question.endswith(OPERATORS)
        assert ":" not in outside
        assert "-" not in outside
        assert outside.count("(") == outside.count(")") == 1


@given(group=st.lists(words, max_size=25, unique_by=lambda member: member.token_id))
def test_packing_loses_nobody_who_can_be_searched_and_asks_for_the_largest_first(group: list[TokenWords]) -> None:
    packed = [member for members in pack(group) for member in members]
    assert sorted(member.token_id for member in packed) == sorted(m.token_id for m in group if clause_of(m))
    assert [m.volume_usd for m in packed] == sorted((m.volume_usd for m in packed), reverse=True)


def test_several_tokens_share_a_question() -> None:
    tokens = [token(f"TK{chr(65 + n)}", f"Number {chr(65 + n)} Coin", volume=n, token_id=n) for n in range(12)]
    groups = pack(tokens)
    assert 1 < len(groups) <= 3
    assert groups[0][0].token_id == 11


tracked = st.lists(words, max_size=20, unique_by=lambda member: member.token_id)


@given(first=tracked, second=tracked)
def test_a_token_stays_in_its_question_and_everybody_has_one(first: list[TokenWords], second: list[TokenWords]) -> None:
    before = standing_questions([], first, []).tokens
    after = standing_questions(before, second, []).tokens
    for cursor in after:
        assert len(cursor.query) <= LONGEST_QUERY
    members = [member for cursor in after for member in cursor.members]
    assert sorted(members) == sorted(str(t.token_id) for t in second if clause_of(t))
    where = {member: cursor.key for cursor in after for member in cursor.members}
    same = {str(t.token_id) for t in first} & {str(t.token_id) for t in second if t in first}
    changed = {str(t.token_id) for t in second if t not in first} & {str(t.token_id) for t in first}
    if not changed:
        for cursor in before:
            for member in cursor.members:
                if member in same:
                    assert where[member] == cursor.key
    # The cursor's state comes along.
    assert standing_questions(after, second, []).tokens == after


def test_a_new_token_takes_free_room_and_keeps_the_cursor_of_the_question() -> None:
    cursor = Cursor("tokens:4", "old", ("1", "2"), newest_id="77")
    questions = standing_questions([cursor], [token(token_id=1), token("TWO", token_id=3, volume=9.0)], [])
    (asked,) = questions.tokens
    assert (asked.key, asked.members, asked.newest_id) == ("tokens:4", ("1", "3"), "77")
    assert "$TWO" in asked.query


def test_the_question_with_the_largest_token_is_asked_first() -> None:
    many = [token(f"T{chr(65 + n)}", f"Name {chr(65 + n)} Long Enough", volume=float(n), token_id=n) for n in range(20)]
    stored = standing_questions([], many, []).tokens
    reversed_volumes = [token(t.symbol, t.name, volume=20.0 - t.volume_usd, token_id=t.token_id) for t in many]
    assert [c.key for c in standing_questions(stored, reversed_volumes, []).tokens] == [c.key for c in reversed(stored)]


def test_accounts_are_asked_for_once_and_odd_names_are_named() -> None:
    known = Cursor("account:someone", "someone", ("42",), newest_id="9")
    questions = standing_questions([known], [], ["@someone", "other_1", "no name!", "someone"])
    assert [cursor.key for cursor in questions.accounts] == ["account:someone", "account:other_1"]
    assert questions.accounts[0] is known
    assert questions.odd_accounts == ["no name!"]


def test_a_token_without_words_is_named() -> None:
    assert standing_questions([], [token("", "", "x")], []).without_words[0].address == "x"
    assert not fits(["x" * LONGEST_QUERY])
