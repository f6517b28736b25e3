"""Reading answers: whatever one entry looks like, it is either an item or one dead letter, and the others are not touched."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.vendors.answers import Batch, first_of_each, read_items
from metapulse_assets.vendors.dexscreener import LISTED_TOKENS, PAIRS, Pair, listed_key, pair_key, pairs_of
from metapulse_assets.vendors.geckoterminal import CANDLES_PER_CALL, interval_of, read_history
from metapulse_assets_tests.vendors.recorded import URL, a_pair, payload_of

junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


@st.composite
def spoiled(draw: st.DrawFn, good: Any) -> Any:
    """A good value with junk, or nothing, at some places."""
    value = copy.deepcopy(good)
    for path in draw(st.lists(st.sampled_from(places(good)), min_size=1, max_size=3)):
        if not path:
            return draw(junk)
        holder = value
        try:
            for key in path[:-1]:
                holder = holder[key]
            if draw(st.booleans()):
                holder[path[-1]] = draw(junk)
            else:
                del holder[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    return value


def read(body: Any) -> Batch[Pair]:
    """The pairs of an answer."""
    return read_items(payload_of(body), PAIRS, "dexscreener", pair_key, pairs_of)


@given(entries=st.lists(st.one_of(st.just(a_pair()), spoiled(a_pair()), junk), max_size=6), wrapped=st.booleans())
def test_every_entry_is_an_item_or_a_dead_letter(entries: list[Any], wrapped: bool) -> None:
    batch = read({"schemaVersion": "1.0.0", "pairs": entries} if wrapped else entries)
    assert len(batch.items) + len(batch.refused) == len(entries)
    assert [payload.url for payload in batch.payloads] == [URL]
    good = read([a_pair()]).items[0][0]
    assert sum(pair == good for pair, _ in batch.items) >= sum(entry == a_pair() for entry in entries)
    for letter in batch.refused:
        assert letter.kind == "item"
        assert letter.payload is not None or None in entries
        assert letter.reason.count(":") >= 1


@given(entries=st.lists(spoiled([300 * 5_000_000, 2.0, 3.0, 1.0, 2.5, 10.0]) | junk, max_size=8))
def test_every_candle_is_a_row_a_repetition_or_a_dead_letter(entries: list[Any]) -> None:
    history = read_history(payload_of({"data": {"attributes": {"ohlcv_list": entries}}}), "solana:p:5m", interval_of("5m"))
    assert history.answered
    assert len(history.rows) + len(history.refused) <= len(entries) <= CANDLES_PER_CALL
    assert len(history.rows) == len({row[0] for row in history.rows})
    assert bool(history.rows) == (len(history.refused) < len(entries))
    assert all(row[0] % 300 == 0 and 0 < row[3] <= row[4] <= row[2] for row in history.rows)


@given(body=junk)
def test_a_body_of_any_shape_breaks_nothing(body: Any) -> None:
    batch = read(body)
    entries = body["pairs"] if isinstance(body, dict) and "pairs" in body else body
    if isinstance(entries, list):
        assert len(batch.items) + len(batch.refused) == len(entries)
    else:
        assert batch.items == []
        assert [letter.kind for letter in batch.refused] == ([] if entries is None else ["request"])
    history = read_history(payload_of(body), "key", interval_of("1h"))
    assert history.answered == (not history.refused)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "overloaded"}, "dict where a list was expected"),
        ("busy", "str where a list was expected"),
        ({"pairs": {"0": a_pair()}}, "dict where a list was expected"),
        (17, "int where a list was expected"),
    ],
)
def test_a_body_that_is_no_list_is_one_dead_letter(body: Any, said: str) -> None:
    batch = read(body)
    (letter,) = batch.refused
    assert (letter.kind, letter.item_key, letter.reason) == ("request", URL, said)


@pytest.mark.parametrize("body", [None, [], {"schemaVersion": "1.0.0", "pairs": None}, {"pairs": []}])
def test_an_empty_answer_is_no_error(body: Any) -> None:
    batch = read(body)
    assert (batch.items, batch.refused, len(batch.payloads)) == ([], [], 1)


@pytest.mark.parametrize(
    ("entry", "key", "reason"),
    [
        (
            a_pair(priceUsd="n/a"),
            "solana:Pool1",
            "priceUsd: Input should be a valid number, unable to parse string as a number",
        ),
        (a_pair(priceUsd=...), "solana:Pool1", "priceUsd: Field required"),
        (a_pair(chainId="atlantis"), "atlantis:Pool1", "chainId: unknown chain 'atlantis'"),
        (
            a_pair(volume={"h24": -1}, fdv="x"),
            "solana:Pool1",
            "fdv: Input should be a valid number, unable to parse string as a number; "
            "volume.h24: Input should be greater than or equal to 0",
        ),
        (None, f"{URL}#1", "item: Input should be a valid dictionary or instance of Pair"),
        ({}, f"{URL}#1", None),
    ],
)
def test_a_dead_letter_names_entry_field_and_place(entry: Any, key: str, reason: str | None) -> None:
    batch = read([a_pair(), entry, a_pair()])
    assert len(batch.items) == 2
    (letter,) = batch.refused
    assert (letter.source, letter.item_key, letter.payload) == ("dexscreener", key, entry)
    assert reason is None or letter.reason == reason


def test_lists_of_tokens_are_read_the_same_way() -> None:
    entries = [
        {"chainId": "base", "tokenAddress": "0xA", "amount": 10},
        {"chainId": "base"},
        {"chainId": "base", "tokenAddress": ""},
    ]
    batch = read_items(payload_of(entries), LISTED_TOKENS, "dexscreener", listed_key)
    assert [(token.chain, token.address) for token, _ in batch.items] == [("base", "0xA")]
    assert [letter.reason.split(":")[0] for letter in batch.refused] == ["tokenAddress", "tokenAddress"]


def test_of_repetitions_the_first_stays() -> None:
    first, second = payload_of([1]), payload_of([2])
    pairs = [(read([a_pair(priceUsd=price)]).items[0][0], source) for price, source in (("1", first), ("2", second))]
    assert first_of_each(pairs, lambda pair: pair.address) == pairs[:1]
    assert first_of_each(pairs, lambda pair: pair.price_usd) == pairs


def test_batches_add_up() -> None:
    batch: Batch[Pair] = Batch()
    batch.extend(read([a_pair(), None]))
    batch.extend(read([a_pair()]))
    assert (len(batch.items), len(batch.refused), len(batch.payloads)) == (2, 1, 2)
