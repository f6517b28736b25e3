"""What people say of tokens: posts, mentions, sentiment, social metrics, trending topics."""
