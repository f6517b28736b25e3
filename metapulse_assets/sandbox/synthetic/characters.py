"""The cast of the simulated market: how many tokens of each character there are and within what bounds they move.

Only the table belongs here; ``slots`` hands the parts out and ``casting`` turns them into numbers.
"""

from dataclasses import dataclass
from typing import Final

from metapulse_assets.sandbox.synthetic.curves import DAY

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Character:
    """Bounds of one kind of token; a token draws its own values between them.

    ``price`` and ``liquidity`` (USD) are drawn on a log scale. ``turnover`` is the daily volume as a multiple of the
    liquidity, ``activity`` the share of 5-minute bars with a trade. ``lifetime`` (seconds) is how long one generation
    of a slot lasts before a new token takes its place; 0 is a token that stays. ``cycle`` (seconds) is how often its
    story repeats.
    """

    name: str
    share: int
    volatility: Bounds  # standard deviation of the daily log return
    price: Bounds
    liquidity: Bounds
    turnover: Bounds
    activity: Bounds = (1.0, 1.0)
    trade_size: Bounds = (60.0, 900.0)
    lifetime: float = 0.0
    cycle: Bounds = (0.0, 0.0)


# Shares are slots out of 116 in each pattern; the natives come once, before the first.
CHARACTERS: Final = (
    Character("native", 0, (0.025, 0.035), (1.0, 1.0), (2e7, 8e7), (0.8, 2.0), trade_size=(800.0, 4000.0)),
    Character("major", 10, (0.03, 0.06), (0.5, 400.0), (2e6, 2e7), (0.4, 1.5), trade_size=(300.0, 3000.0)),
    Character("rising", 12, (0.03, 0.07), (0.01, 5.0), (6e4, 2e6), (0.3, 2.0), cycle=(28 * DAY, 44 * DAY)),
    Character("falling", 10, (0.03, 0.07), (0.01, 5.0), (6e4, 2e6), (0.3, 2.0), cycle=(28 * DAY, 44 * DAY)),
    Character("crash", 8, (0.08, 0.12), (0.001, 2.0), (6e4, 8e5), (0.3, 2.0), cycle=(5 * DAY, 5 * DAY)),
    Character("pump", 8, (0.08, 0.14), (1e-4, 1.0), (5e4, 5e5), (0.3, 2.0), cycle=(2.5 * DAY, 2.5 * DAY)),
    Character("meme", 21, (0.14, 0.3), (1e-6, 0.05), (4e4, 9e5), (0.4, 3.0)),
    Character("launch", 16, (0.4, 0.8), (4.5e-6, 6e-6), (1.2e4, 2.2e4), (4.0, 12.0), lifetime=3 * DAY),
    Character("rug", 6, (0.3, 0.5), (1e-6, 1e-4), (1.5e4, 6e4), (1.0, 4.0), lifetime=4 * DAY),
    Character("dead", 5, (0.1, 0.2), (1e-6, 1e-3), (2e3, 3e4), (0.2, 1.0), (0.5, 0.9), lifetime=300 * DAY),
    Character("stable", 3, (0.0004, 0.0008), (1.0, 1.0), (1e6, 2e7), (0.2, 1.0), trade_size=(500.0, 3000.0)),
    Character("thin", 5, (0.08, 0.2), (1e-5, 1.0), (600.0, 9e3), (0.05, 0.4), (0.02, 0.3)),
    Character("hostile", 8, (0.12, 0.25), (1e-5, 0.1), (4e4, 4e5), (0.4, 2.0)),
    Character("impostor", 4, (0.2, 0.4), (1e-6, 1e-3), (300.0, 4e3), (0.1, 0.6), (0.1, 0.5)),
)

CODES: Final = {character.name: code for code, character in enumerate(CHARACTERS)}


@dataclass(frozen=True, slots=True)
class NativeToken:
    """A chain's native token: the quote of most of its pools."""

    symbol: str
    price: float
    volatility: float


NATIVES: Final = (NativeToken("SOL", 160.0, 0.035), NativeToken("ETH", 3200.0, 0.03), NativeToken("BNB", 700.0, 0.025))


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of the simulated market; addresses of the wrapped native and of the dollar token are the chain's real ones."""

    name: str
    weight: float
    native: int
    wrapped: tuple[str, str, str]
    dollar: tuple[str, str, str]
    venues: tuple[tuple[str, tuple[str, ...]], ...]


CHAINS: Final = (
    Chain(
        "solana",
        0.45,
        0,
        ("So11111111111111111111111111111111111111112", "Wrapped SOL", "SOL"),
        ("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "USD Coin", "USDC"),
        (("raydium", ("CPMM",)), ("raydium", ()), ("raydium", ("CLMM",)), ("orca", ("wp",)), ("meteora", ("DLMM",))),
    ),
    Chain(
        "ethereum",
        0.2,
        1,
        ("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "Wrapped Ether", "WETH"),
        ("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USD Coin", "USDC"),
        (("uniswap", ("v3",)), ("uniswap", ("v2",)), ("uniswap", ("v4",))),
    ),
    Chain(
        "base",
        0.2,
        1,
        ("0x4200000000000000000000000000000000000006", "Wrapped Ether", "WETH"),
        ("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin", "USDC"),
        (("aerodrome", ()), ("uniswap", ("v3",)), ("uniswap", ("v4",))),
    ),
    Chain(
        "bsc",
        0.15,
        2,
        ("0xbb4CdB9CBd36B01bD1cBaEBF2De08d9173bc095c", "Wrapped BNB", "WBNB"),
        ("0x55d398326f99059fF775485246999027B3197955", "Tether USD", "USDT"),
        (("pancakeswap", ("v2",)), ("pancakeswap", ("v3",))),
    ),
)
