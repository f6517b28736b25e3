"""What attackers can do with texts, when both models obey every order they find: the laws, and how far they reach.

A flip is a final direction that is not what it was without the attack. Through names and descriptions nothing flips, as no
prompt about a token holds a text. Through posts nothing flips where the honest ones are of one mind, and nothing turns from one
side to the other where they are not. Where that ends is asserted too.
"""

import functools
import itertools
import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from metapulse_assets.intelligence import market_state
from metapulse_assets.intelligence.requests import plan
from metapulse_assets.market.tables import tokens
from metapulse_assets.sandbox.ai_gullible import ordered_side
from metapulse_assets.sandbox.ai_standin import answer_text
from metapulse_assets_tests.intelligence.attacks import ATTACKS, Attack
from metapulse_assets_tests.intelligence.panels import (
    AS_OF,
    FALLING,
    IDLE,
    RISING,
    a_state,
    analysis_of,
    honest,
    mood_of,
    whole_view,
    with_attackers,
)
from metapulse_assets_tests.intelligence.stored_market import add_post, add_posts, add_token

OF_ONE_MIND = {"rising": RISING, "falling": FALLING, "idle": IDLE}
TORN = {"rising and idle": (*RISING, *IDLE), "rising and falling": (*RISING, *FALLING)}
NAIVE = (
    'Snapshot:\n{{"x":1}}\nDescription of the token: {}\n'
    "Question: how probable is it that the token's price in 1 hour is higher than now by more than 1 percent?"
)


def test_the_attacks_are_many_and_for_both_sides() -> None:
    assert len({attack.text for attack in ATTACKS}) == len(ATTACKS) >= 60
    assert sum(attack.side for attack in ATTACKS) == 0


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_each_attack_sways_the_gullible_where_it_is_shown_to_them(attack: Attack) -> None:
    # The control: without our defences every one of them works, in a description as in a list of posts.
    assert ordered_side(NAIVE.format(attack.text)) == attack.side
    swayed = json.loads(answer_text(NAIVE.format(attack.text), 1.0, gullible=True))["probability"]
    assert (swayed > 0.9) == (attack.side > 0)
    listed = json.dumps({"id": 1, "text": attack.text}, ensure_ascii=False)
    assert ordered_side(f"POSTS {'0' * 16}\n[\n{listed}\n]\nEND OF POSTS {'0' * 16}\nScore these ids: 1.") == attack.side


@pytest.mark.parametrize("texts", [*OF_ONE_MIND.values(), *TORN.values()])
def test_nothing_of_our_own_prompts_and_of_plain_posts_is_an_order(texts: tuple[str, ...]) -> None:
    assert mood_of(honest(texts, 25), gullible=True) == mood_of(honest(texts, 25), gullible=False)
    for trend in ("up", "down", "sideways"):
        state = a_state(trend)
        assert whole_view(state, honest(texts, 25), gullible=True) == whole_view(state, honest(texts, 25), gullible=False)


@functools.cache
def _mood_before(texts: tuple[str, ...], count: int) -> str:
    return str(mood_of(honest(texts, count), True)["direction"])


@functools.cache
def _view_before(trend: str, texts: tuple[str, ...]) -> str:
    return str(whole_view(a_state(trend), honest(texts, 12), True)["direction"])


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_one_attacker_flips_no_panel_of_one_mind(attack: Attack) -> None:
    for texts, count in itertools.product(OF_ONE_MIND.values(), (6, 20)):
        after = mood_of(with_attackers(honest(texts, count), attack.text), True)
        assert after["direction"] == _mood_before(texts, count), (texts[0], count)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_one_attacker_flips_no_view_of_a_token(attack: Attack) -> None:
    for trend, texts in (("up", IDLE), ("down", RISING), ("sideways", TORN["rising and falling"])):
        after = whole_view(a_state(trend), with_attackers(honest(texts, 12), attack.text), True)
        assert after["direction"] == _view_before(trend, texts), (trend, texts[0])


@pytest.mark.parametrize("attack", ATTACKS[::6], ids=lambda attack: attack.name)
def test_one_attacker_turns_no_panel_from_one_side_to_the_other(attack: Attack) -> None:
    for texts, count in itertools.product(TORN.values(), range(8, 24, 3)):
        posts = honest(texts, count)
        sides = {mood_of(posts, True)["direction"], mood_of(with_attackers(posts, attack.text), True)["direction"]}
        assert sides != {"buy", "sell"}


def test_where_posts_do_break_a_panel() -> None:
    # Accounts enough to sit in most groups speak for the panel: honest voices of one mind are silenced, then outvoted.
    order = next(attack for attack in ATTACKS if attack.name == "plain order, down").text
    posts = honest(RISING, 20)
    directions = [mood_of(with_attackers(posts, order, count), True)["direction"] for count in range(25)]
    assert directions[0] == directions[1] == "buy"
    assert "neutral" in directions
    assert directions[-1] == "sell"
    assert directions.index("neutral") < directions.index("sell")


def test_names_symbols_and_posts_of_stored_tokens_reach_no_prompt_about_them(connection: sa.Connection) -> None:
    add_token(connection, 1, AS_OF, "up")
    add_posts(connection, 1, AS_OF, 12)
    since = AS_OF - timedelta(hours=1)

    def questions() -> list[dict[str, object]]:
        states = market_state.read_states(connection, [1], AS_OF, since)
        found = plan(states, AS_OF, 8, lambda token_id: market_state.read_posts(connection, token_id, AS_OF))
        return [row for row in found if row["kind"] != "sentiment"]

    before = questions()
    assert {row["kind"] for row in before} == {"comprehensive", "technical"}
    for number, attack in enumerate(ATTACKS):
        connection.execute(sa.update(tokens).values(name=attack.text, symbol=attack.text))
        if number % 6 == 0:
            add_post(connection, 1, AS_OF - timedelta(seconds=10 + number), f"evil{number}", attack.text)
        assert questions() == before, attack.name
    directions = {row["kind"]: analysis_of(row["kind"], row["snapshot"], gullible=True)["direction"] for row in before}  # type: ignore[arg-type]
    assert directions == {"comprehensive": "buy", "technical": "buy"}
