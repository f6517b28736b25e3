"""Who asks, what they may, and how often: tokens with scopes, and the limit of requests."""
