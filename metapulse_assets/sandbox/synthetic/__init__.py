"""The parts of the simulated market: hashed noise, addresses, names, characters and bars. No HTTP, no clock."""
