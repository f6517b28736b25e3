"""Which token a mention means: never by the ticker alone, never by what was not known, and nothing for those who copy."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.social.mention_finding import read_post
from metapulse_assets.social.mention_resolving import KnownPool, KnownToken, Mention, Size, TokenBook, resolve

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
OLD, NEW = AT - timedelta(days=90), AT - timedelta(hours=2)
LARGE, MIDDLE, SMALL = Size(5e6, 8e6), Size(2e6, 3e6), Size(4e3, 2e3)
REAL = "7GCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYmW2hr"
FAKE = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"
POOL = "5Q544fKrFoe6tsEbD7S8EmxGTJYAKtTVhAW5Q5pge4j1"


def token(token_id: int, ticker: str, name: str, address: str = "", chain: str = "solana", since: datetime = OLD) -> KnownToken:
    """A known token."""
    return KnownToken(token_id, chain, address or f"address{token_id}", ticker, tuple(name.lower().split()), since)


def mentions(
    text: str, tokens: list[KnownToken], sizes: Mapping[int, Size] | None = None, author: str | None = None, at: datetime = AT
) -> list[Mention]:
    """What a post's mentions mean."""
    book = TokenBook(tokens)
    return resolve(read_post(text, book.names), author, at, book, lambda token_id, _: (sizes or {}).get(token_id))


def meant(text: str, tokens: list[KnownToken], sizes: Mapping[int, Size] | None = None, **options: object) -> set[int]:
    """The tokens that a post speaks of."""
    found = mentions(text, tokens, sizes, **options)  # type: ignore[arg-type]
    return {mention.token_id for mention in found if mention.token_id is not None}


WIF = token(1, "WIF", "Dogwifhat", REAL)
WIF_COPY = token(2, "WIF", "dogwifhat official", FAKE, since=NEW)
WIF_OTHER = token(3, "WIF", "Wiffle Coin", chain="base")


def test_a_ticker_alone_means_nobody() -> None:
    [mention] = mentions("$WIF to the moon", [WIF])
    assert (mention.token_id, mention.resolution, mention.candidates, mention.confidence) == (None, "ambiguous", (1,), 0.0)
    [mention] = mentions("$NOPE", [WIF])
    assert (mention.resolution, mention.candidates) == ("unknown", ())


@pytest.mark.parametrize(
    ("text", "token_id", "resolution"),
    [
        (f"$WIF {FAKE}", 2, "address"),
        (f"$WIF {REAL}", 1, "address"),
        (f"$WIF https://dexscreener.com/solana/{REAL}", 1, "link"),
        ("$WIF, I mean Wiffle Coin", 3, "ticker_and_name"),
        ("$WIF by @dogwifhat_official", 1, "ticker_and_handle"),
        ("buy $WIF on Base", 3, "ticker_and_chain"),
    ],
)
def test_what_stands_beside_a_ticker_decides(text: str, token_id: int, resolution: str) -> None:
    tokens = [WIF, token(2, "WIF", "copy", FAKE), WIF_OTHER]
    ticker = next(mention for mention in mentions(text, tokens) if mention.found.kind == "cashtag")
    assert (ticker.token_id, ticker.resolution) == (token_id, resolution)
    assert ticker.confidence >= 0.8


def test_the_market_bears_out_the_one_that_dwarfs_the_others() -> None:
    assert meant("$WIF", [WIF, WIF_OTHER], {1: LARGE, 3: SMALL}) == {1}
    assert meant("$WIF", [WIF, WIF_OTHER], {1: LARGE, 3: MIDDLE}) == set()
    assert meant("$WIF", [WIF, WIF_OTHER], {1: SMALL, 3: SMALL}) == set()
    assert meant("$WIF", [WIF, WIF_OTHER], {1: LARGE}) == {1}
    [mention] = mentions("$WIF", [WIF, WIF_OTHER], {1: LARGE, 3: SMALL})
    assert (mention.resolution, mention.candidates) == ("dominant_ticker", (1, 3))
    assert 0 < mention.confidence < 0.8


def test_a_large_market_that_is_new_bears_nothing_out() -> None:
    assert meant("$WIF", [token(2, "WIF", "x", since=NEW)], {2: LARGE}) == set()
    pool = KnownPool(POOL, known_since=NEW, created_at=OLD)
    assert meant("$WIF", [KnownToken(2, "solana", FAKE, "WIF", ("x",), NEW, (pool,))], {2: LARGE}) == {2}


@pytest.mark.parametrize("text", ["$WIF dogwifhat official", "$WIF by @dogwifhatofficial", "dogwifhat official is live"])
def test_who_copies_an_established_symbol_gets_nothing_but_by_address(text: str) -> None:
    assert 2 not in meant(text, [WIF, WIF_COPY], {1: LARGE, 2: SMALL})
    assert meant(f"$WIF {FAKE}", [WIF, WIF_COPY], {1: LARGE, 2: SMALL}) == {2}


def test_a_contract_that_nobody_knows_lends_no_established_name() -> None:
    assert meant(f"$WIF relaunch {FAKE}", [WIF], {1: LARGE}) == set()


def test_a_name_that_is_a_common_word_needs_more() -> None:
    moon = token(4, "MOON", "Moon")
    assert mentions("to the moon", [moon], {4: LARGE}) == []
    assert meant("$MOON moon", [moon]) == set()
    assert meant("dogwifhat is back", [WIF], {1: LARGE}) == {1}
    assert meant("dogwifhat is back", [WIF], {1: SMALL}) == set()
    assert mentions("#moon", [moon], {4: LARGE})[0].resolution == "ambiguous"


def test_nothing_is_known_before_it_was_known() -> None:
    assert meant(f"{FAKE}", [WIF_COPY], at=NEW - timedelta(seconds=1)) == set()
    assert meant(f"{FAKE}", [WIF_COPY], at=NEW) == {2}
    pool = KnownPool(POOL, known_since=AT, created_at=OLD)
    pooled = KnownToken(5, "solana", FAKE, "ABC", (), OLD, (pool,))
    assert meant(POOL, [pooled], at=AT - timedelta(seconds=1)) == set()
    assert meant(POOL, [pooled], at=AT) == {5}


def test_one_address_on_two_chains_needs_the_chain() -> None:
    address = "0x6982508145454ce325ddbe47a25d4ec3d2311933"
    both = [token(6, "A", "a", address, "ethereum"), token(7, "B", "b", address, "bsc")]
    assert meant(address, both) == set()
    assert meant(f"{address} on bsc", both) == {7}


def test_a_list_of_tickers_is_no_talk_of_any() -> None:
    text = "$WIF " + " ".join(f"$T{n}A" for n in range(12))
    assert meant(text, [WIF], {1: LARGE}) == set()


@given(st.permutations([WIF, WIF_COPY, WIF_OTHER]), st.sampled_from(["$WIF", "$WIF Wiffle Coin", "#wif", f"$WIF {REAL}"]))
def test_the_order_in_which_tokens_became_known_is_of_no_matter(tokens: list[KnownToken], text: str) -> None:
    sizes = {1: LARGE, 2: SMALL, 3: SMALL}
    assert mentions(text, tokens, sizes) == mentions(text, [WIF, WIF_COPY, WIF_OTHER], sizes)
