"""Risk of a token: what its market and the security scanners say of it, when that was known, and what a signal could know."""
