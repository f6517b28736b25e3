"""What became of each signal, and what that says about its source: outcomes, base rates, calibration."""
