"""Makes the scam model anew: `METAPULSE_RECORDINGS=… python -m metapulse_assets_tests.training.scam`."""

import os
import sys
from pathlib import Path

import numpy as np

from metapulse_assets.social.scam import CLASSES, MODEL, read_signs
from metapulse_assets.social.text_model import TextModel
from metapulse_assets_tests.training.fitting import fitted, write
from metapulse_assets_tests.training.text_sets import Labelled, scam_set

VERSION = "scam-1"
BITS, L2 = 14, 0.3


def fit_scam(labelled: Labelled, version: str = "trial") -> TextModel:
    """A model fitted on these posts."""
    return fitted(labelled, np.ones(len(labelled.texts)), CLASSES, BITS, read_signs, L2, version)


def main() -> None:
    """Fit on the training split and write the package's file."""
    folder = os.environ.get("METAPULSE_RECORDINGS")
    if not folder:
        sys.exit("METAPULSE_RECORDINGS is not set: it names the folder of recorded data")
    path = write(fit_scam(scam_set(Path(folder), "train"), VERSION), MODEL)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
