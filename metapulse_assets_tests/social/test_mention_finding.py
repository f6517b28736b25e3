"""What a post names, and where."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.social.mention_finding import MOST_MENTIONS, address_in_link, name_index, read_post, ticker_of, words_of

MINT = "7GCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYmW2hr"
EVM = "0x6982508145454Ce325dDbE47a25d4ec3d2311933"


def named(text: str, **options: object) -> list[tuple[str, str]]:
    """Kind and key of what is found."""
    return [(found.kind, found.key) for found in read_post(text, **options).found]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$pepe and $WIF", [("cashtag", "$PEPE"), ("cashtag", "$WIF")]),
        ("made $5 and $10k, $1.2M, US$ABC", []),
        ("$1INCH is a ticker", [("cashtag", "$1INCH")]),
        ("#pepe #1 #2024 a#b", [("hashtag", "#pepe")]),
        ("$\u0420\u0415\u0420\u0415 copied", [("cashtag", "$PEPE")]),
        ("$P\u200bEPE hidden", [("cashtag", "$PEPE")]),
        (f"ca: {MINT}", [("address", MINT)]),
        (f"ca:{EVM}!", [("address", EVM.lower())]),
        ("Donaudampfschifffahrtsgesellschaftskapitaen", []),
        (f"https://dexscreener.com/solana/{MINT}?x=1", [("link", MINT)]),
        (f"https://evil.example/solana/{MINT}x", []),
        ("nothing at all", []),
    ],
)
def test_found(text: str, found: list[tuple[str, str]]) -> None:
    assert named(text) == found


def test_an_address_in_a_strange_link_is_still_an_address() -> None:
    assert named(f"https://example.org/{EVM}") == [("address", EVM.lower())]
    assert address_in_link(f"https://example.org/{EVM}") is None
    assert address_in_link(f"https://notdexscreener.com/{EVM}") is None


def test_unshortened_links_count_and_are_placed_at_the_short_one() -> None:
    text = "chart https://t.co/abc here"
    [found] = read_post(text, urls=[f"https://dexscreener.com/ethereum/{EVM}"]).found
    assert (found.kind, found.key) == ("link", EVM.lower())
    assert text[found.start : found.end] == "https://t.co/abc"


def test_names_of_several_words_are_found_longest_first_and_not_inside_others() -> None:
    names = name_index([("shiba",), ("shiba", "inu"), ("dogwifhat",)])
    assert named("Shiba Inu and dogwifhat, shiba", names=names) == [
        *(("name", "shiba inu"), ("name", "dogwifhat"), ("name", "shiba"))
    ]
    assert named("@dogwifhat #shiba dogwifhats", names=names) == [("hashtag", "#shiba")]


@given(st.text(max_size=80))
def test_places_lie_in_the_text_in_order_and_never_overlap(text: str) -> None:
    found = read_post(f"$AB {text} #cd $EF").found
    assert all(0 <= one.start < one.end for one in found)
    assert all(first.end <= second.start for first, second in pairwise(found))


def test_a_list_without_end_is_cut() -> None:
    assert len(read_post(" ".join(f"$AB{n}C" for n in range(500))).found) == MOST_MENTIONS


def test_symbols_and_names_are_compared_as_posts_are() -> None:
    assert ticker_of(" $p\u0435pe ") == "PEPE"
    assert words_of("Dog-Wif  Hat\u200b!") == ("dog-wif", "hat")
    assert words_of("a very long name of a token indeed") == ()
