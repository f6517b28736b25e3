"""Sentiment, scam and signs of automation of single texts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.social import automation_signs, lexicon_reading, text_model
from metapulse_assets.social.automation_signs import BOT_CUT, Author, Seen, bot_likeness, text_key
from metapulse_assets.social.mention_finding import MOST_MENTIONS, read_post
from metapulse_assets.social.scam import SCAM_CUT, scam_probabilities
from metapulse_assets.social.sentiment import judge_sentiment
from metapulse_assets.social.text_features import tokens_of
from metapulse_assets_tests.benchmarks.sentiment import macro_f1, vader_labels
from metapulse_assets_tests.training.fitting import folds, part
from metapulse_assets_tests.training.scam import fit_scam
from metapulse_assets_tests.training.softmax import Texts, chances, fit
from metapulse_assets_tests.training.text_sets import scam_set, sentiment_sets


@pytest.mark.parametrize(
    "text",
    [
        "$PEPE to the moon 🚀🚀 diamond hands",
        "$BTC +5% breakout",
        "Upgraded to Overweight at MS",
        "price target raised, buy the dip",
    ],
)
def test_bullish(text: str) -> None:
    assert judge_sentiment([text]).label == ("positive",)


@pytest.mark.parametrize(
    "text",
    [
        "rugged again. rekt",
        "$SOL down -12% today",
        "dev dumped his bag, stay away",
        "downgraded, price target cut",
        "$ABC crashes 📉",
    ],
)
def test_bearish(text: str) -> None:
    assert judge_sentiment([text]).label == ("negative",)


@pytest.mark.parametrize("text", ["gm", "hello world", "", "🙂", "\u043f\u0440\u0438\u0432\u0435\u0442", "is this the bottom?"])
def test_takes_no_side(text: str) -> None:
    assert judge_sentiment([text]).label == ("neutral",)


def test_a_negation_turns_a_word() -> None:
    balance = lexicon_reading.FEATURES.index("balance")
    assert lexicon_reading.read(tokens_of("bullish"))[balance] > 0 > lexicon_reading.read(tokens_of("not bullish"))[balance]
    scores = judge_sentiment(["bullish", "not bullish", "I will buy", "I won't buy"]).score
    assert scores[0] > scores[1]
    assert scores[2] > scores[3]


def test_figures_take_the_side_of_their_sign() -> None:
    up, down = (lexicon_reading.FEATURES.index(name) for name in ("moves_up", "moves_down"))
    assert lexicon_reading.read(tokens_of("+5% today"))[up] == 1
    assert lexicon_reading.read(tokens_of("down 7.5% today"))[down] == 1
    assert lexicon_reading.read(tokens_of("up 3%, -2% before"))[up : down + 1] == [1, 1]


@settings(max_examples=25)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=5), st.text(max_size=200))
def test_a_post_sways_only_its_own_score(texts: list[str], other: str) -> None:
    alone, beside = judge_sentiment(texts), judge_sentiment([*texts, other])
    assert alone.score.tolist() == beside.score[:-1].tolist()
    assert scam_probabilities(texts).tolist() == scam_probabilities([*texts, other])[:-1].tolist()
    for figures in (alone.strength, alone.coverage, np.abs(alone.score)):
        assert ((figures >= 0) & (figures <= 1)).all()


def test_hidden_characters_change_no_score() -> None:
    plain, hidden = judge_sentiment(["huge rug pull", "hu\u200bge rug \u0440\u202eull"]).score
    assert plain == hidden


def test_scams_are_told_from_talk() -> None:
    scams = ["Claim your $ARB airdrop now at claim-arb.xyz connect wallet", "Lost funds? DM our recovery experts on WhatsApp"]
    talk = ["$ARB looks strong into the close", "reading about wallets today", "gm"]
    found = scam_probabilities([*scams, *talk]) >= SCAM_CUT
    assert found.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("name", ["sentiment", "scam"])
def test_a_model_survives_its_file_and_is_small(name: str) -> None:
    model = text_model.load(name)
    again = text_model.decode(text_model.encode(model))
    np.testing.assert_allclose(again.buckets, model.buckets, rtol=1e-5, atol=1e-7)
    assert (again.vocabulary == model.vocabulary).all()
    assert len(text_model.encode(model)) < 300_000
    assert model.dense.shape == (len(lexicon_reading.FEATURES) if name == "sentiment" else 21, len(model.classes))


def test_judging_many_is_judging_each() -> None:
    texts = [f"$T{n} pumps {n}%" for n in range(text_model.AT_ONCE + 3)]
    assert judge_sentiment(texts).score[-1] == judge_sentiment(texts[-1:]).score[0]


@pytest.mark.parametrize(
    "piece",
    [
        "rt ",
        "claim",
        "a-",
        "1-",
        "a.",
        "recover ",
        "$",
        "#",
        "@",
        "dot",
        "http://",
        "ticker name ",
        "\u0430a",
        "\ufdfa",
        "0x",
        "+1%",
    ],
)
def test_no_post_takes_long_to_read(piece: str) -> None:
    # The suite's timeout is what a text that takes forever would meet.
    text = piece * 4_000
    assert abs(judge_sentiment([text]).score[0]) <= 1
    assert 0 <= scam_probabilities([text])[0] <= 1
    assert len(read_post(text).found) <= MOST_MENTIONS


def test_softmax_learns_what_separates() -> None:
    buckets = np.array([0, 2, 1, 2, 0, 1], np.int32)
    texts = Texts(buckets, np.array([2, 4, 5, 6]), np.zeros((4, 1)))
    weights = fit(texts, np.array([0, 1, 0, 1]), np.ones(4), 4, 2, l2_buckets=0.01)
    assert chances(texts, weights).argmax(axis=1).tolist() == [0, 1, 0, 1]
    assert chances(texts.take(np.array([3, 0])), weights).argmax(axis=1).tolist() == [1, 0]


def test_unseen_posts_are_judged_better_than_by_vader(recordings: Path) -> None:
    sets = sentiment_sets(recordings)
    for name in ("surge_stock", "fiqa_task1"):
        labelled = sets[name]
        own = np.array([["negative", "neutral", "positive"].index(label) for label in judge_sentiment(labelled.texts).label])
        # The shipped model knows these texts; this holds the wiring, the benchmark holds the figures on unseen ones.
        assert macro_f1(labelled.labels, own) > macro_f1(labelled.labels, vader_labels(labelled.texts)) + 0.1


def test_unseen_scams_are_found(recordings: Path) -> None:
    train, valid = scam_set(recordings, "train"), scam_set(recordings, "valid")
    found = scam_probabilities(valid.texts) >= SCAM_CUT
    right = (found & (valid.labels == 1)).sum()
    assert right / found.sum() > 0.8
    assert right / valid.labels.sum() > 0.8
    few = part(train, folds(len(train.texts)) == 0)
    first, second = fit_scam(few), fit_scam(few)
    assert text_model.encode(first) == text_model.encode(second)


def seen(rows: list[tuple[int, str, int]]) -> Seen:
    """Posts of (author, text, minute), usable at once."""
    tokens = [tokens_of(text) for _, text, _ in rows]
    minutes = np.array([minute for _, _, minute in rows], np.int64) * 60_000_000
    return Seen(
        author=np.array([author for author, _, _ in rows], np.int64),
        text=np.array([text_key(words) for words in tokens], np.int64),
        observed=minutes,
        available=minutes,
        long_enough=np.array([automation_signs.is_long_enough(words) for words in tokens]),
        is_repost=np.zeros(len(rows), np.bool_),
    )


NOBODY = Author(None, None, None)


def likeness(rows: list[tuple[int, str, int]], place: int, author: Author = NOBODY, tickers: int = 0) -> float:
    """The likeness of one of some posts."""
    return float(bot_likeness(seen(rows), np.array([place]), [author], [tickers])[0])


def test_repetition_copies_and_haste_look_automated() -> None:
    same = [(1, f"alert: $T{n} pumps {n}% join the group now", n) for n in range(6)]
    assert likeness(same, 0) == 0.0  # nothing came before it
    assert likeness(same, 5) >= BOT_CUT
    swarm = [(n, "this gem will make you rich today", n) for n in range(8)]
    assert likeness(swarm, 7) >= BOT_CUT
    haste = [(1, f"note {'abcdefghij'[n % 10]} {chr(97 + n // 10)} on something else", n) for n in range(160)]
    assert likeness(haste, 159) >= BOT_CUT
    assert likeness([(n, "gm", n) for n in range(30)], 29) == 0.0


def test_young_accounts_without_followers_and_odd_names_add_up() -> None:
    row = [(1, "some thoughts about the market", 0)]
    ordinary = likeness(row, 0, Author("satoshi", 400 * automation_signs.DAY, 500))
    odd = likeness(row, 0, Author("Maria83746512", automation_signs.DAY, 1), tickers=9)
    assert ordinary == 0.0
    assert odd >= BOT_CUT
    assert likeness(row, 0, Author("Maria83746512", None, None)) < BOT_CUT


def test_what_was_not_known_then_is_no_sign() -> None:
    rows = seen([(1, "this gem will make you rich today", n) for n in range(6)])
    late = Seen(**{**vars(rows), "available": rows.available + np.array([10**12] * 5 + [0])})
    assert bot_likeness(late, np.array([5]), [NOBODY], [0])[0] == 0.0
