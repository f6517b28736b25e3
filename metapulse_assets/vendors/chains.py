"""The blockchains MetaPulse knows, under the names that each vendor gives them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chain:
    """One chain. `hex_addresses`: addresses are hexadecimal, where upper and lower case mean the same (EIP-55)."""

    dexscreener: str
    geckoterminal: str
    hex_addresses: bool


CHAINS: dict[str, Chain] = {
    chain.dexscreener: chain
    for chain in (
        Chain("solana", "solana", hex_addresses=False),
        Chain("ethereum", "eth", hex_addresses=True),
        Chain("base", "base", hex_addresses=True),
        Chain("bsc", "bsc", hex_addresses=True),
        Chain("arbitrum", "arbitrum", hex_addresses=True),
        Chain("polygon", "polygon_pos", hex_addresses=True),
        Chain("avalanche", "avax", hex_addresses=True),
        Chain("optimism", "optimism", hex_addresses=True),
        Chain("blast", "blast", hex_addresses=True),
        Chain("linea", "linea", hex_addresses=True),
        Chain("scroll", "scroll", hex_addresses=True),
        Chain("zksync", "zksync", hex_addresses=True),
        Chain("mantle", "mantle", hex_addresses=True),
        Chain("sonic", "sonic", hex_addresses=True),
        Chain("berachain", "berachain", hex_addresses=True),
        Chain("hyperevm", "hyperevm", hex_addresses=True),
        Chain("unichain", "unichain", hex_addresses=True),
        Chain("abstract", "abstract", hex_addresses=True),
        Chain("worldchain", "world-chain", hex_addresses=True),
        Chain("monad", "monad", hex_addresses=True),
        Chain("cronos", "cro", hex_addresses=True),
        Chain("fantom", "ftm", hex_addresses=True),
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
