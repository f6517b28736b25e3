"""What scams and phishing in posts have in common, as figures that a model weighs: own list of signs, no probability yet."""

import re
from collections.abc import Sequence

# What lies between two words is bounded, so that no post, however made, takes long to read.
_CALLS = re.compile(
    r"\b(?:claim|eligible|eligibility|allocation|whitelist|wl|drop your|connect (?:your )?wallet|"
    r"check (?:your )?wallet|mint now|free mint)\b"
)
_AIRDROP = re.compile(r"\bair-?\s?drops?\b|エアドロ|에어드랍|空投")
_GIVEAWAY = re.compile(
    r"\bgive\s?aways?\b|\bwinners?\b|\btag \w+ friends?\b|\b(?:rt|repost|retweet)\b.{0,200}\bfollow\b|"
    r"\bfollow\b.{0,200}\b(?:rt|repost|retweet)\b"
)
_CONTACT = re.compile(
    r"whats\s?app|wa\.me|telegram|\bt\.me\b|\bdm\b|\binbox\b|message me|\bvip\b|\bsignals? group\b|discord\.gg"
)
_RECOVERY = re.compile(
    r"recover(?:y|ed|ing)?\b.{0,200}\b(?:funds?|wallet|crypto|account|assets?|expert|specialist|service)|"
    r"(?:lost|stolen|frozen|hacked) (?:funds?|crypto|account|wallet|assets?)"
)
_PROMISE = re.compile(
    r"guaranteed|risk[- ]free|double your|\d+x (?:in|today|soon|gem|potential)|passive income|"
    r"daily (?:profit|return|roi)|roi\b|earn \$?\d|profits? daily|financial freedom|free \$?\d"
)
_URGENCY = re.compile(
    r"\bnow live\b|\bis live\b|\blive now\b|hurry|limited|last chance|ends? (?:soon|in)|only \d+|"
    r"\b\d+ ?h(?:ou)?rs?\b|before it|don'?t miss|act (?:fast|now|quickly)|first \d+"
)
_DEPLOY = re.compile(
    r"\bdeploy\b|\blaunch (?:a )?(?:token|coin)\b|\bticker\b.{0,200}\bname\b|\bname\b.{0,200}\bticker\b|@bankrbot|@clanker"
)
_SUPPORT = re.compile(
    r"support (?:team|desk|agent)|help ?desk|seed phrase|recovery phrase|private key|validate|"
    r"synchroni[sz]e|restore|migration portal|verify your"
)
_LINK = re.compile(
    r"https?://\s*\S+|\b[a-z0-9-]{1,63}\.(?:com|io|org|net|xyz|fun|lol|app|finance|gg|me|cc|"
    r"link|money|co|us|live|site|online|top|claims?|pro|vip|click|network|foundation)\b"
)
# Domains that cost next to nothing, and words in them that lure.
_ODD_DOMAIN = re.compile(
    r"\.(?:lol|xyz|fun|cc|live|site|online|top|claims?|pro|vip|click|link|money|us|app)\b|(?:claim|"
    r"airdrop|reward|drop|token|bonus|gift)[\w-]{0,40}\.\w{2,}|\bclaim\.\S{1,60}\.\w{2,}"
)
_BROKEN_LINK = re.compile(r"https?://\s+\S|\w\s?\[?\(?dot\)?\]?\s?\w{1,60}/|\bhxxp")

FEATURES = (
    *("calls", "airdrop", "giveaway", "contact", "recovery", "promise", "urgency", "deploy", "support", "link", "odd_domain"),
    *(
        "broken_link",
        "airdrop_and_link",
        "calls_and_link",
        "tickers",
        "handles",
        "hashtags",
        "shouting",
        "emoji",
        "short",
        "long",
    ),
)


def read(text: str, tokens: Sequence[str]) -> list[float]:
    """The `FEATURES` of a cleaned text in lower case and its tokens, each 0 to 3."""
    link = bool(_LINK.search(text))
    calls, airdrop = bool(_CALLS.search(text)), bool(_AIRDROP.search(text))
    emoji = sum(not token.isascii() and len(token) == 1 for token in tokens)
    return [
        float(calls),
        float(airdrop),
        *(float(bool(sign.search(text))) for sign in (_GIVEAWAY, _CONTACT, _RECOVERY, _PROMISE, _URGENCY, _DEPLOY, _SUPPORT)),
        float(link),
        float(bool(_ODD_DOMAIN.search(text))),
        float(bool(_BROKEN_LINK.search(text))),
        float(airdrop and link),
        float(calls and link),
        min(tokens.count("<ticker>"), 6) / 2,
        min(tokens.count("<handle>"), 6) / 2,
        min(sum(token[0] == "#" for token in tokens), 9) / 3,
        float("!!" in tokens or tokens.count("!") > 2),
        min(emoji, 9) / 3,
        float(len(tokens) < 8),
        float(len(tokens) > 50),
    ]
