"""The vendors that the sandbox stands in for: one module and one line each."""

from typing import Final

from metapulse_assets.sandbox.standin import Vendor
from metapulse_assets.sandbox.vendors import dexscreener, geckoterminal, gemini, goplus, groq, pumpportal, rugcheck, x

VENDORS: Final[tuple[Vendor, ...]] = (
    dexscreener.VENDOR,
    geckoterminal.VENDOR,
    groq.VENDOR,
    gemini.VENDOR,
    rugcheck.VENDOR,
    goplus.VENDOR,
    x.VENDOR,
    pumpportal.VENDOR,
)
