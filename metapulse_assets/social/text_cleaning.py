"""Making hostile text plain before anything is matched in it: look-alikes, hidden characters, overlong texts.

Every character of the cleaned text knows where it came from, so that what is found can be pointed at in the post itself.
Nothing here knows about tokens or sentiment.
"""

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

# X's longest posts have 25,000 characters; what a post is about stands at its beginning. Own choice.
LONGEST_TEXT = 4_000
# Format characters (zero-width, bidirectional controls, tags, soft hyphen) and marks piled upon letters.
_HIDDEN_CATEGORIES = {"Cf", "Cc", "Cs", "Co", "Cn", "Mn", "Me"}
# Others that are not seen: variation selectors, fillers, blank Braille.
_VARIATION_SELECTORS = {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0x115F, 0x1160, 0x3164, 0xFFA0, 0x034F, 0x2800}
# Letters of other scripts that are drawn like Latin ones, folded where they stand in a Latin word, cashtag or hashtag.
_LOOK_ALIKES = str.maketrans(
    {
        **dict(zip("\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425", "ABEKMHOPCTYX", strict=True)),
        **dict(zip("\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455", "aeopcyxijs", strict=True)),
        **dict(zip("\u0405\u0406\u0408\u0501\u051b\u051d\u04bb\u04cf\u0440\u043a\u043c\u0442", "SIJdqwhlpkmt", strict=True)),
        **dict(
            zip(
                "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7",
                "ABEZHIKMNOPTYX",
                strict=True,
            )
        ),
        **dict(zip("\u03b1\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7", "aiknoptux", strict=True)),
        **dict(zip("\u0131\u0237\u0251\u0261\u00f8\u00d8\u0142\u0141\u0111\u0110", "ijagoOlLdD", strict=True)),
    }
)
# Signs drawn like those that texts are read by.
_SIGNS = {
    **dict.fromkeys("\u2018\u2019\u201b\u2032\u02bc\u0060\u00b4", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u2033", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63", "-"),
    **dict.fromkeys("\u2028\u2029\u0085\t\r\n\u000b\u000c", " "),
    "\u2024": ".",
    "\u2044": "/",
    "\u2215": "/",
}
# Letters that are decoration in any word: small capitals, and letters in black circles and squares.
_DECORATED = {
    **dict(zip("\u1d00\u0299\u1d04\u1d05\u1d07\ua730\u0262\u029c\u026a\u1d0a\u1d0b\u029f\u1d0d", "abcdefghijklm", strict=True)),
    **dict(zip("\u0274\u1d0f\u1d18\u0280\ua731\u1d1b\u1d1c\u1d20\u1d21\u028f\u1d22", "noprstuvwyz", strict=True)),
    **{chr(first + letter): chr(ord("a") + letter) for first in (0x1F150, 0x1F170) for letter in range(26)},
}
# Marks that are piled upon letters of any script; those of a script itself, as the vowels of Hindi and Thai, are letters to it.
_PILED_MARKS = ((0x0300, 0x0370), (0x0483, 0x048A), (0x1AB0, 0x1B00), (0x1DC0, 0x1E00), (0x20D0, 0x2100), (0xFE20, 0xFE30))
_WORD = re.compile(r"[$#@]?[^\W_]+")
_FOREIGN_LETTER = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True)
class Cleaned:
    """A cleaned text. `origins[i]` is the code point of the given text that character i came from; None: the same i."""

    text: str
    origins: Sequence[int] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """A span of the cleaned text as code points of the given text, end exclusive."""
        if self.origins is None:
            return start, end
        return self.origins[start], self.origins[end - 1] + 1


def clean(text: str) -> Cleaned:
    """The text as it is matched: NFKC, hidden characters out, look-alikes folded, line breaks as spaces, cut to a length."""
    text = text[:LONGEST_TEXT]
    if text.isascii():
        # Control characters have no meaning here; replaced one by one, every place stays where it was.
        return Cleaned(text.translate(_ASCII_CONTROLS), None)
    pieces: list[str] = []
    origins: list[int] = []
    for place, sign in enumerate(text):
        plain = _plain(sign) or (sign if pieces and _belongs_to(sign, pieces[-1]) else "")
        if plain:
            pieces.append(plain)
            origins.extend([place] * len(plain))
    return Cleaned(_fold_words("".join(pieces)), origins)


def clean_text(text: str) -> str:
    """Only the cleaned text."""
    return clean(text).text


_ASCII_CONTROLS = dict.fromkeys((*range(32), 127), " ")


@functools.lru_cache(maxsize=20_000)
def _plain(sign: str) -> str:
    """What one character stands for; empty for one that is not seen."""
    if sign in _SIGNS:
        return _SIGNS[sign]
    if sign in _DECORATED:
        return _DECORATED[sign]
    if sign.isascii():
        return sign.translate(_ASCII_CONTROLS)
    if ord(sign) in _VARIATION_SELECTORS or unicodedata.category(sign) in _HIDDEN_CATEGORIES:
        return ""
    # Signs like the ligature of "Arabic salutation" become whole sentences.
    plain = unicodedata.normalize("NFKC", sign)[:4]
    if not plain.isascii():
        plain = "".join(_plain_letter(part) for part in plain if unicodedata.category(part) not in _HIDDEN_CATEGORIES)
    return plain


def _belongs_to(mark: str, before: str) -> bool:
    """Whether a mark is part of how a script is written, and stands behind a letter of no Latin one, or such a mark."""
    if unicodedata.category(mark) != "Mn" or ord(mark) in _VARIATION_SELECTORS or before.isascii():
        return False
    piled = any(first <= ord(mark) < end for first, end in _PILED_MARKS)
    return not piled and unicodedata.category(before[-1])[0] in "LM"


def _plain_letter(sign: str) -> str:
    """A letter without the marks upon it, if it is a Latin one."""
    if sign in _SIGNS:
        return _SIGNS[sign]
    base = unicodedata.normalize("NFD", sign)
    return base[0] if len(base) > 1 and base[0].isascii() else sign


def _fold_words(text: str) -> str:
    return _WORD.sub(_fold_word, text) if _FOREIGN_LETTER.search(text) else text


def _fold_word(found: re.Match[str]) -> str:
    """A word with look-alikes as Latin letters, if it holds Latin ones too or is marked as ticker, topic or handle."""
    word = found.group()
    if word.isascii():
        return word
    folded = word.translate(_LOOK_ALIKES)
    mixed = any(sign.isascii() and sign.isalpha() for sign in word)
    return folded if mixed or (word[0] in "$#@" and folded.isascii()) else word
