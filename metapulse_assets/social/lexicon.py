"""The words that take a side in posts about markets: own lists with own weights, -4 (bearish) to 4 (bullish).

Only words and phrases live here; `lexicon_reading.py` reads posts by them.
"""

from collections.abc import Mapping
from types import MappingProxyType


def _weighted(groups: Mapping[float, str]) -> Mapping[str, float]:
    return MappingProxyType({word: weight for weight, words in groups.items() for word in words.split()})


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _phrases(groups: Mapping[float, tuple[str, ...]]) -> Mapping[tuple[str, ...], float]:
    return MappingProxyType({tuple(phrase.split()): weight for weight, phrases in groups.items() for phrase in phrases})


WORDS = _weighted(
    {
        4.0: "moon mooning moonshot lambo parabolic skyrocket skyrockets skyrocketed skyrocketing bullish ultrabullish",
        3.5: "soar soars soared soaring surge surges surged surging rocket rockets rocketing outperform outperforms breakout "
        "btfd wagmi gem 100x 1000x",
        3.0: "rally rallies rallied rallying bull bulls boom booming upgrade upgrades upgraded upgrading beats jumps jumped "
        "jumping jump undervalued accumulate accumulating accumulation hodl ath ripping rips profit profits profitable "
        "record-high winner winners winning moonbag giga based lfg send sending pump pumping overweight 10x 20x 50x 5x",
        2.5: "aping ape aped apes degen-buy bullrun gain gains gained gaining rise rises rising rose climb climbs "
        "climbed climbing green rebound rebounds rebounded "
        "recover recovers recovered recovery recovering beat tops topped strong stronger strongest strength boost boosts "
        "boosted boosting growth grow grows growing grew raises raised buy buying buys bought calls long longs longed "
        "great excellent amazing awesome fantastic brilliant incredible huge massive explode explodes exploding",
        2.0: "up higher uptrend upside upward upbeat optimistic positive confident confidence good better best nice love "
        "loving happy glad excited exciting exceed exceeds exceeded improve improves improved improving improvement "
        "approve approves approved approval win wins won success successful succeed accelerates accelerating leader leading "
        "bounce bounces bounced bouncing solid robust healthy impressive bargain cheap discount potential opportunity",
        1.5: "primed deployed shipped burned burn burns hodling hodlers bags support supports adding add added hold "
        "holding holds loaded loading load launch launches launched partnership "
        "partners partner deal award awarded awards wins expand expands expanding expansion invest invests investing "
        "invested "
        "dividend buyback adoption adopts listing listed mainnet halving reward rewards strongly secured secures secure "
        "bottomed bottoming oversold promising easily easy milestone momentum ready flying fly",
        1.0: "hope hopes hopeful interesting innovative innovation steady stable resilient reopen reopens resume resumes "
        "thanks thank welcome congrats congratulations fun cool free safe patience patient upcoming soon new early",
        -1.0: "fud unlock unlocks hopium dilution concern concerns concerned caution cautious careful uncertain "
        "uncertainty volatile volatility delay delays "
        "delayed slow slows slower slowed slowing mixed doubt doubts doubtful risk risks risky expensive wait tired late",
        -1.5: "sell selling sells sold puts put short shorts shorting shorted shortage weak weaker weakness soft trouble "
        "troubled problem problems issue issues pressure pressured worry worries worried fear fears fearful scared tough "
        "resistance overvalued overbought exit exits exited leave leaves step-down steps probe probes lawsuit sues "
        "strike layoffs layoff debt tariff tariffs inflation tumble hurt hurts hurting struggles struggling struggle",
        -2.0: "down lower downside downward downtrend drop drops dropped dropping fall falls falling fell decline declines "
        "declined declining dip dips dipped slip slips slipped slipping slide slides sliding slid red loss losses "
        "lose losing "
        "lost loses bad worse worst negative pessimistic miss misses missed missing cut cuts cutting fail fails "
        "failed failing "
        "failure disappoint disappoints disappointed disappointing disappointment warns warn warning warned recession "
        "bagholder bagholders shrinks shrink shrinking wrong sad hate hates ugly terrible awful horrible poor poorly "
        "underperform "
        "underperforms underweight retreat retreats ban bans banned fine fined halts halted halt suspend suspends suspended",
        -2.5: "jeet jeets jeeted jeeting copium arrested indicted jailed charged sued downgrade downgrades downgraded "
        "downgrading bear bears bearish sink sinks sinking sank tumbles tumbled tumbling "
        "slump slumps slumped slumping plunge plunges plunged plunging crash crashes crashed crashing dump dumps dumped "
        "dumping tank tanks tanked tanking nosedive collapse collapses collapsed collapsing bleed bleeding bleeds bloodbath "
        "selloff sell-off correction crisis panic fraud fraudulent bankruptcy bankrupt default defaults liquidated "
        "liquidation liquidations delisted delisting delist capitulation exploit exploited drained insolvent",
        -3.5: "rug rugged rugpull rugs rekt scam scams scammer scammers scammed ponzi honeypot hacked hack hackers hacks "
        "stolen steal theft worthless garbage trash shitcoin dead dying die ngmi doomed doom bloodbath wrecked obliterated",
    }
)

PHRASES = _phrases(
    {
        4.0: ("to the moon", "all time high", "all time highs", "new high", "new highs", "record high", "diamond hands"),
        3.5: ("price target raised", "raises price target", "pt raised", "target raised", "raised to buy", "next leg up"),
        3.0: (
            *(
                "buy the dip",
                "buying the dip",
                "bought the dip",
                "short squeeze",
                "gamma squeeze",
                "higher highs",
                "higher lows",
            ),
            *("golden cross", "beats estimates", "above estimates", "beats expectations", "raises guidance", "bull run"),
            *("bull flag", "cup and handle", "tops estimates", "raises dividend", "just getting started", "send it", "lets go"),
            *(
                "let's go",
                "paper hands will",
                "still early",
                "squeeze incoming",
                "bottom is in",
                "wen moon",
                "free money",
                "buy calls",
                "calls on",
            ),
        ),
        2.0: (
            "buy rating",
            "strong buy",
            "go up",
            "going up",
            "goes up",
            "went up",
            "long term",
            "not selling",
            "double bottom",
        ),
        -2.0: ("sell rating", "go down", "going down", "goes down", "went down", "lower lows", "lower highs", "double top"),
        -2.5: (
            *(
                "buy puts",
                "buying puts",
                "bought puts",
                "long puts",
                "puts on",
                "sell now",
                "dev dumped",
                "dev sold",
                "funds lost",
            ),
            *("price target cut", "cuts price target", "pt cut", "target cut", "cut to", "cuts to", "lowered to", "pt lowered"),
            *("below estimates", "misses estimates", "cuts guidance", "profit warning", "job cuts", "cuts jobs", "step down"),
            *("steps down", "death cross", "head and shoulders", "bull trap", "dead cat", "dead cat bounce", "paper hands"),
            *(
                "stay away",
                "get out",
                "take profits",
                "exit liquidity",
                "bag holder",
                "bag holders",
                "cut dividend",
                "cuts dividend",
            ),
        ),
        -3.5: (
            "rug pull",
            "rug pulled",
            "pump and dump",
            "going to zero",
            "goes to zero",
            "to zero",
            "to 0",
            "all time low",
            "new lows",
        ),
    }
)

EMOJI: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys("🚀🌕🌙🌝", 3.0),
        **dict.fromkeys("📈🐂💎🤑🟢🔥💰💸🏆", 2.0),
        **dict.fromkeys("💪🙌🎉🥳😍😎👍✅❤💚🤝💯⬆🍾👑😁😃😊🎯👏", 1.5),
        **dict.fromkeys("📉🐻🔴🩸💀☠🪦", -2.5),
        **dict.fromkeys("😭😢😡🤬😱🤮👎⬇😰😨💔🗑🤡🧸🚨⚠😤😪😩😞😬", -1.5),
        **dict.fromkeys("🤔🙄😅😂🤣👀", -0.3),
    }
)

NEGATIONS = _words(
    "not no never none nobody nothing neither nor cannot can't cant don't dont doesn't doesnt didn't didnt won't wont isn't "
    "isnt aren't arent wasn't wasnt weren't ain't aint without hardly barely shouldn't wouldn't couldn't haven't "
    "hasn't stop stops "
    "stopped avoid avoids avoided"
)
INTENSIFIERS = _words(
    "very really so extremely super mega insanely absolutely totally highly strongly sharply significantly heavily hugely "
    "massively fully most much too fucking af hella literally seriously big"
)
DAMPENERS = _words("slightly somewhat bit little fairly maybe perhaps kinda might could may possibly mildly modestly")
# After these words the rest of a sentence weighs more than what stood before.
CONTRASTS = _words("but however although though yet despite")
SARCASM = (
    *(("yeah", "right"), ("sure", "thing"), ("great", "job"), ("nice", "job"), ("good", "luck"), ("thanks", "for", "nothing")),
    *(("what", "could", "go", "wrong"), ("said", "no", "one"), ("/s",), ("lol",), ("lmao",), ("smh",)),
)
# Figures that these words stand before are moves up, or down, even without a sign.
RISING = _words("up gain gains gained rose rises rising climbs climbed jumps jumped surges surged soars rallied adds added")
FALLING = _words("down loss losses lost fell falls falling drops dropped slips slipped sinks tumbles slides plunges off")
