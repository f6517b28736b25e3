"""The blockchains MetaPulse knows, under the names that each vendor gives them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chain:
    """One chain. `hex_addresses`: addresses are hexadecimal, where upper and lower case mean the same (EIP-55).

    `goplus`: the numeric chain id under which GoPlus scans its contracts; None: it does not.
    """

    dexscreener: str
    geckoterminal: str
    hex_addresses: bool
    goplus: int | None = None


CHAINS: dict[str, Chain] = {
    chain.dexscreener: chain
    for chain in (
        Chain("solana", "solana", hex_addresses=False),
        Chain("ethereum", "eth", hex_addresses=True, goplus=1),
        Chain("base", "base", hex_addresses=True, goplus=8453),
        Chain("bsc", "bsc", hex_addresses=True, goplus=56),
        Chain("arbitrum", "arbitrum", hex_addresses=True, goplus=42161),
        Chain("polygon", "polygon_pos", hex_addresses=True, goplus=137),
        Chain("avalanche", "avax", hex_addresses=True, goplus=43114),
        Chain("optimism", "optimism", hex_addresses=True, goplus=10),
        Chain("blast", "blast", hex_addresses=True, goplus=81457),
        Chain("linea", "linea", hex_addresses=True, goplus=59144),
        Chain("scroll", "scroll", hex_addresses=True, goplus=534352),
        Chain("zksync", "zksync", hex_addresses=True, goplus=324),
        Chain("mantle", "mantle", hex_addresses=True, goplus=5000),
        Chain("sonic", "sonic", hex_addresses=True, goplus=146),
        Chain("berachain", "berachain", hex_addresses=True, goplus=80094),
        Chain("hyperevm", "hyperevm", hex_addresses=True),
        Chain("unichain", "unichain", hex_addresses=True),
        Chain("abstract", "abstract", hex_addresses=True, goplus=2741),
        Chain("worldchain", "world-chain", hex_addresses=True),
        Chain("monad", "monad", hex_addresses=True),
        Chain("cronos", "cro", hex_addresses=True, goplus=25),
        Chain("fantom", "ftm", hex_addresses=True, goplus=250),
        Chain("pulsechain", "pulsechain", hex_addresses=True),
        Chain("ton", "ton", hex_addresses=False),
        Chain("tron", "tron", hex_addresses=False),
        Chain("sui", "sui-network", hex_addresses=False),
        Chain("aptos", "aptos", hex_addresses=False),
        Chain("near", "near", hex_addresses=False),
        Chain("hyperliquid", "hyperliquid", hex_addresses=False),
        Chain("xrpl", "xrpl", hex_addresses=False),
    )
}
BY_GECKOTERMINAL = {chain.geckoterminal: chain for chain in CHAINS.values()}


def canonical_address(chain: str, address: str) -> str:
    """The one spelling under which an address is stored: lower case where case means nothing."""
    known = CHAINS.get(chain)
    return address.lower() if known and known.hex_addresses else address
