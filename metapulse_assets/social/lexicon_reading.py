"""Reading a post by the lexicon: how much speaks for either side, with negations, intensifiers, moves, emoji and doubt."""

from collections.abc import Sequence

from metapulse_assets.social.lexicon import (
    CONTRASTS,
    DAMPENERS,
    EMOJI,
    FALLING,
    INTENSIFIERS,
    NEGATIONS,
    PHRASES,
    RISING,
    SARCASM,
    WORDS,
)

# How many words before one may turn or strengthen it. Own choice, as VADER's three.
REACH = 3
NEGATED, STRENGTHENED, DAMPENED, AFTER_CONTRAST, BEFORE_CONTRAST = -0.7, 1.3, 0.6, 1.3, 0.7
MOVE = 2.5

FEATURES = (
    *("bullish", "bearish", "balance", "bullish_emoji", "bearish_emoji", "moves_up", "moves_down"),
    *("question", "exclamation", "sarcasm", "negation", "puts", "calls", "has_ticker", "first_side", "last_side"),
)
_PHRASE_STARTS = {phrase[0] for phrase in PHRASES}
_LONGEST_PHRASE = max(map(len, PHRASES))
_SARCASM_STARTS = {cue[0] for cue in SARCASM}


def read(tokens: Sequence[str]) -> list[float]:
    """The `FEATURES` of a post's tokens, each roughly 0 to 3; `balance` and the sides -1 to 1."""
    hits = _sides(tokens)
    up, down = _moves(tokens)
    bullish = sum(weight for weight in hits if weight > 0)
    bearish = -sum(weight for weight in hits if weight < 0)
    emoji = [EMOJI[token] for token in tokens if token in EMOJI]
    good_emoji = sum(weight for weight in emoji if weight > 0)
    bad_emoji = -sum(weight for weight in emoji if weight < 0)
    speaks_for, speaks_against = bullish + good_emoji + MOVE * up, bearish + bad_emoji + MOVE * down
    present = set(tokens)
    sides = [weight for weight in hits if weight]
    return [
        _squashed(bullish),
        _squashed(bearish),
        (speaks_for - speaks_against) / (speaks_for + speaks_against + 2.0),
        _squashed(good_emoji),
        _squashed(bad_emoji),
        float(min(up, 2)),
        float(min(down, 2)),
        float("?" in present or "??" in present),
        float("!" in present or "!!" in present),
        float(_is_sarcastic(tokens)),
        float(not NEGATIONS.isdisjoint(present)),
        float("puts" in present or "put" in present),
        float("calls" in present or "call" in present),
        float("<ticker>" in present),
        (sides[0] > 0) - (sides[0] < 0) if sides else 0.0,
        (sides[-1] > 0) - (sides[-1] < 0) if sides else 0.0,
    ]


def _squashed(weight: float) -> float:
    """Ten words of a side say little more than five."""
    return float(min(weight, 12.0) / 4.0)


def _sides(tokens: Sequence[str]) -> list[float]:
    """The weights of the words and phrases that take a side, in order, as their neighbours leave them."""
    hits: list[float] = []
    contrast_at = next((place for place, token in enumerate(tokens) if token in CONTRASTS and place), None)
    place = 0
    while place < len(tokens):
        weight, length = _weight_at(tokens, place)
        if weight:
            for before in tokens[max(place - REACH, 0) : place]:
                if before in NEGATIONS:
                    weight *= NEGATED
                elif before in INTENSIFIERS:
                    weight *= STRENGTHENED
                elif before in DAMPENERS:
                    weight *= DAMPENED
            if contrast_at is not None:
                weight *= AFTER_CONTRAST if place > contrast_at else BEFORE_CONTRAST
            hits.append(weight)
        place += length
    return hits


def _weight_at(tokens: Sequence[str], place: int) -> tuple[float, int]:
    """The weight of the longest phrase, or of the word, that begins here, and how many tokens it has."""
    token = tokens[place]
    if token in _PHRASE_STARTS:
        for length in range(_LONGEST_PHRASE, 1, -1):
            weight = PHRASES.get(tuple(tokens[place : place + length]))
            if weight is not None:
                return weight, length
    return WORDS.get(token.removeprefix("#"), 0.0), 1


def _moves(tokens: Sequence[str]) -> tuple[int, int]:
    """How many moves of a price up, and down, are told in figures."""
    up = down = 0
    for place, token in enumerate(tokens):
        if token[0] != "<":
            continue
        unsigned = token.startswith("<%")
        before = tokens[max(place - 2, 0) : place]
        if token in ("<up%>", "<up>") or (unsigned and not RISING.isdisjoint(before)):
            up += 1
        elif token in ("<down%>", "<down>") or (unsigned and not FALLING.isdisjoint(before)):
            down += 1
    return up, down


def _is_sarcastic(tokens: Sequence[str]) -> bool:
    return any(
        tuple(tokens[place : place + len(cue)]) == cue
        for place, token in enumerate(tokens)
        if token in _SARCASM_STARTS
        for cue in SARCASM
        if cue[0] == token
    )
