"""What the small linear models see of a text: tokens, and numbers of buckets that words and their neighbours fall into.

Nothing here knows what a text is judged for.
"""

import functools
import re
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from metapulse_assets.social.text_cleaning import clean_text

# Beyond this a post repeats itself. Own choice.
MOST_TOKENS = 160
# Parts of words of these lengths let a model know "surged" by "surge".
_PART_LENGTHS = (3, 4, 5)
_TOKEN = re.compile(
    r"https?://\s*\S+|www\.\S+|\b[a-z0-9-]{1,63}\.(?:com|io|org|net|xyz|fun|lol|app|finance|gg|me|cc|link|money|co|us)\b(?:/\S*)?"
    r"|[$][a-z][a-z0-9_]{0,15}(?![\w])"
    r"|[@#]\w+"
    r"|[+-]?[$€£]?\d[\d,.]*\s?%"
    r"|\b\d+(?:\.\d+)?x\b"
    r"|[+-]?[$€£]\d[\d,.]*[kmb]?(?:n|illion)?\b"
    r"|[+-]?\d[\d,.]*[kmb]?\b"
    r"|[^\W\d_]+(?:['-][^\W\d_]+)*"
    r"|[!?]+|\.\.\.|/s\b"
    r"|[\u2190-\u2bff\U0001f000-\U0001faff]"
)


def tokens_of(text: str) -> list[str]:
    """The tokens of a raw text, lower case; links, tickers, handles, figures and moves as one word each kind."""
    return [_normal(token) for token in _TOKEN.findall(clean_text(text).lower())[:MOST_TOKENS]]


@functools.lru_cache(maxsize=100_000)
def _normal(token: str) -> str:
    first = token[0]
    if first.isalpha():
        if token.startswith(("http", "www.")) or ("." in token):
            return "<link>"
        return token.removesuffix("'s")
    if first == "@":
        return "<handle>"
    if first == "$" and token[1].isalpha():
        return "<ticker>"
    if token.endswith("%"):
        return {"+": "<up%>", "-": "<down%>"}.get(first, "<%>")
    if first in "!?":
        return first if len(token) == 1 else first * 2
    if first in "+-" and len(token) > 1:
        return "<up>" if first == "+" else "<down>"
    if first in "$€£":
        return "<money>"
    if first.isdigit():
        if "." in token and token[-1].isalpha() and not token.endswith(("x", "k", "m", "b")):
            return "<link>"
        return "<times>" if token.endswith("x") else "<number>"
    return token


class Buckets:
    """The hashing of tokens, pairs of neighbours and parts of words into a fixed number of buckets."""

    def __init__(self, bits: int, parts: bool = True, pairs: bool = True) -> None:
        """2**bits buckets."""
        self.count = 1 << bits
        self._mask = self.count - 1
        self._parts, self._pairs = parts, pairs
        self._known: dict[str, tuple[int, ...]] = {}

    def of_tokens(self, tokens: Sequence[str]) -> list[int]:
        """The buckets of a text; a bucket may come more than once."""
        found: list[int] = []
        known = self._known
        for token in tokens:
            buckets = known.get(token)
            if buckets is None:
                if len(known) > 200_000:
                    known.clear()
                buckets = known[token] = self._of_word(token)
            found.extend(buckets)
        if self._pairs:
            mask, crc32 = self._mask, zlib.crc32
            marked = ["^", *tokens]
            found.extend([crc32(f"{first} {second}".encode()) & mask for first, second in zip(marked, tokens, strict=False)])
        return found

    def _of_word(self, token: str) -> tuple[int, ...]:
        names = [f"w:{token}"]
        if self._parts and token[0] not in "<!?":
            edged = f"[{token[:24]}]"
            names += [edged[at : at + n] for n in _PART_LENGTHS for at in range(len(edged) - n + 1)]
        return tuple(zlib.crc32(name.encode()) & self._mask for name in names)


def flat(texts: Iterable[list[int]]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Buckets of many texts in one array, and where each text's end lies."""
    lists = list(texts)
    ends = np.cumsum([len(buckets) for buckets in lists], dtype=np.int64) if lists else np.zeros(0, np.int64)
    return np.fromiter((bucket for buckets in lists for bucket in buckets), np.int32, int(ends[-1]) if lists else 0), ends
