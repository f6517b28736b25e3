"""Trading signals: the rules that find them, the risk of the token, and which of them are emitted."""
