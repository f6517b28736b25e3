"""Names of the coins that recorded files know by their ticker only: a ticker alone decides nothing, a name beside it does."""

COIN_NAMES = {
    "ADA": "Cardano",
    "APT": "Aptos",
    "AVAX": "Avalanche",
    "BNB": "Binance Coin",
    "BTC": "Bitcoin",
    "DASH": "Dash",
    "DOGE": "Dogecoin",
    "DOT": "Polkadot",
    "ETC": "Ethereum Classic",
    "ETH": "Ethereum",
    "IOTA": "IOTA",
    "LINK": "Chainlink",
    "LTC": "Litecoin",
    "NXT": "Nxt",
    "PEPE": "Pepe",
    "SOL": "Solana",
    "TRX": "TRON",
    "UNI": "Uniswap",
    "XLM": "Stellar",
    "XMR": "Monero",
    "XRP": "Ripple",
    "ZEC": "Zcash",
}


def name_of(ticker: str) -> str:
    """The coin's name, or the ticker where none is known."""
    return COIN_NAMES.get(ticker, ticker)
