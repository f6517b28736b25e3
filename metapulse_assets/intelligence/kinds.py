"""The kinds of analyses, and the time that each is about."""

from collections.abc import Mapping
from typing import Literal

Kind = Literal["technical", "sentiment", "comprehensive", "market_overview"]

HORIZON_SECONDS: Mapping[Kind, int] = {
    "technical": 3_600,
    "sentiment": 24 * 3_600,
    "comprehensive": 4 * 3_600,
    "market_overview": 24 * 3_600,
}
"""Own choice among the horizons of the outcomes, so that every answer about a token can be judged. Those about a token have one
each, so that a model is calibrated for each kind of question by itself."""

HORIZON_WORDS: Mapping[int, str] = {3_600: "1 hour", 4 * 3_600: "4 hours", 24 * 3_600: "24 hours"}
HORIZON_NAMES: Mapping[int, str] = {3_600: "1h", 4 * 3_600: "4h", 24 * 3_600: "24h"}
"""The horizons' names among the outcomes."""
