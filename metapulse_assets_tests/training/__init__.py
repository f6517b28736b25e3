"""How the small models of `social/` were made: run `python -m metapulse_assets_tests.training.sentiment` or `…scam`."""
