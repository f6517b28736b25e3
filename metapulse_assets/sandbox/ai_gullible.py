"""A model that believes everything: it looks for orders in all of its prompt, through disguises, and says which side they want.

It is worse than any real model, so that what holds with it holds. Nothing of our own prompts is an order to it.
"""

import base64
import binascii
import codecs
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_UNSEEN: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_TAGS: Final = dict(zip(range(0xE0000, 0xE0080), range(0x80), strict=True))
_LOOK_ALIKES: Final = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420"
    "\u0421\u0422\u0425\u0391\u0392\u0395\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf\u03b1"
    "\u03bd\u03c1",
    "aeopcyxijsABEKMHOPCTXABEHIKMNOPTYXoavp",
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2}){10,}")
_LEET: Final = str.maketrans("013457", "oleast")
_JSON_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")

# An order: to forget the instructions, to say something, to be somebody, to take a value. Never what our own prompts say.
_ORDERS: Final = re.compile(
    r"""ignor|disregard|forget|overrid|overrul|supersed|replac|instead\s+of|never\s*mind|instruction|new\s+(?:task|rule|polic)
    |system\s*(?:\]|>|:|prompt|message|note|update|notice)|assistant\s*(?:\]|>|:)|developer\s*(?:\]|>|:|mode|message)|<\|?\w+\|?>
    |(?:answer|repl|respond|output|return|print|say|write|emit|report|set|give|assign|mark|rate|classif|predict|conclud|put)\w*
      \s.{0,60}?(?:prob|score|confiden|1\.0|0?\.9|0?\.0|100|-1|\bbuy\b|\bsell\b|bull|bear|up\b|down\b|pos|neg|max|min|every|all\b)
    |(?:score|rate|label|grade)\s+(?:this|every|each|all|it|them|post|me|the\b)
    |you\s+(?:are|must|will|shall|should|have)|act\s+as|pretend|role-?play|imagine|suppose|as\s+an?\s+(?:ai|model)|admin|operator
    |jailbreak|\bdan\b|tool[_ ](?:call|result|output)|function[_ ](?:call|result)|end\s+of\s+posts
    |"?(?:probability|score)"?\s*[:=]
    |correct\s+(?:answer|score)|ground\s+truth|important\s*:|attention\s*:|note\s+to\s+(?:the\s+)?(?:ai|model|analyst|scorer)
    |do\s+not\s+(?:follow|score|read)|stop\s+(?:scoring|reading)|from\s+now\s+on|example\s*\d|->\s*(?:1|-1|0?\.9)
    |ignora|olvida|ignorez|oublie|ignorier|vergiss|antworte|r[eé]pond|responde|rispond|ignor[aiey]|esque[cç]a
    |игнорир|забуд|ответ|поставь|忽略|无视|無視|忘记|回答|输出|答え|出力|무시|답|تجاهل|أجب|अनदेखा|उत्तर|yok\s+say|cevap|b[oỏ]\s+qua|abaikan
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_UP: Final = re.compile(
    r"""\bbuy|\bbull|\bup\b|\brise|\brising|\bmoon|\blong\b|\bmax|positiv|\bhigher\s+score|\bgo(?:es)?\s+up|\bhighest|optimis
    |(?<![\d.])(?:\+?1\.0+|\+1|0?\.9\d*|9\d\s*%|9\d\s*percent|100)(?!\.?\d)|(?:score|probability)"?\s*(?:[:=]|is|of|to)\s*"?\+?1\b|->\s*\+?1\b
    |compr|kauf|achet|alcista|hauss|steig|sube|купи|рост|расти|вверх|买|買|涨|上涨|上昇|매수|상승|شراء|صعود|खरीद|ऊपर|\bal\b|y[uü]ksel|mua|t[aă]ng|beli|naik
    """,
    re.IGNORECASE | re.VERBOSE,
)
_DOWN: Final = re.compile(
    r"""\bsell|\bbear|\bdown\b|\bfall|\bcrash|\bdump|\bshort\b|\bmin\b|minimum|negativ|\blowest|pessimis|worthless|\bzero\b
    |(?<![\d.])(?:-1(?:\.0+)?|0\.0\d*|\.0\d+)(?!\.?\d)|(?:score|probability)"?\s*(?:[:=]|is|of|to)\s*"?0\b
    |vend|verkauf|bajista|baiss|f[aä]ll|baja|прода|паден|вниз|卖|賣|跌|下落|売|매도|하락|بيع|هبوط|बेच|नीचे|\bsat\b|d[uü][sş]|b[aá]n\b|gi[aả]m|jual|turun
    """,
    re.IGNORECASE | re.VERBOSE,
)


def ordered_side(prompt: str) -> int | None:
    """1 or -1, as the orders in a prompt want it; None where there is none, or none that takes a side."""
    for text in _readings(prompt):
        if _ORDERS.search(text):
            up, down = len(_UP.findall(text)), len(_DOWN.findall(text))
            if up != down:
                return 1 if up > down else -1
    return None


def _readings(prompt: str) -> Iterator[str]:
    """The prompt's texts as somebody eager would read them: as they are, undisguised, decoded, backwards."""
    texts = _strangers_texts(prompt)
    for text in texts:
        yield text
        plain = unicodedata.normalize("NFKC", _UNSEEN.sub("", text.translate(_TAGS))).translate(_LOOK_ALIKES)
        plain = "".join(sign for sign in unicodedata.normalize("NFD", plain) if not unicodedata.combining(sign))
        yield plain
        yield from _decoded(plain)
        for other in (
            plain[::-1],
            codecs.encode(plain, "rot13"),
            plain.translate(_LEET),
            re.sub(r"(?<=\b\w)[\s.\-_*](?=\w\b)", "", plain),
        ):
            # Only outright orders: read backwards, many an innocent word becomes one by accident.
            if re.search(r"ignor|instruct|overrid|disregard", other, re.IGNORECASE):
                yield other


def _strangers_texts(prompt: str) -> list[str]:
    """What is not ours: the posts' texts each; else all that stands before, in or after a snapshot's lines."""
    lines = prompt.splitlines()
    if prompt.startswith("POSTS "):
        own = re.compile(r"(?:POSTS|END OF POSTS) [0-9a-f]{16}|\[|\]|Score these ids: [\d, ]+\.")
        return [_post_text(line) for line in lines if not own.fullmatch(line)]
    own = re.compile(r"Snapshot:|Question: how probable is it that .* is (?:NOT )?higher than now by more than .*\?")
    strange = "\n".join(line for line in lines if not own.fullmatch(line))
    return [re.sub(r'"(?:reading|direction|trend|rule|level|timeframe|score)":(?:"\w+"|[\d.]+|null)', "", strange)]


def _post_text(line: str) -> str:
    try:
        return str(json.loads(line)["text"])
    except (ValueError, KeyError, TypeError):
        return line


def _decoded(text: str) -> Iterator[str]:
    for found in _BASE64.findall(text):
        try:
            yield base64.b64decode(found + "=" * (-len(found) % 4), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    for found in _HEX.findall(text):
        try:
            yield bytes.fromhex(found).decode()
        except ValueError:
            continue
    if _JSON_ESCAPE.search(text):
        yield _JSON_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
