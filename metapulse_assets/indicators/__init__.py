"""Technical indicators over many tokens at once, and the analyses made of them."""
