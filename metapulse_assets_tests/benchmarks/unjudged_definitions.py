"""The project's definitions with one difference: signals are made again as always, but what comes out is not judged.

A prepared market has states without a past to make them from, and a tick whose sampled signal cannot be made again would fail.
"""

from collections.abc import Sequence
from datetime import datetime
from unittest import mock

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.definitions import build_defs
from metapulse_assets.proof.checks import recompute_sample
from metapulse_assets.proof.recomputing import Recomputed


def _unjudged(connection: sa.Connection, start: datetime, end: datetime) -> Sequence[Recomputed]:
    recompute_sample(connection, start, end)
    return []


# For as long as the process lives, which is a code server's or a run's.
mock.patch("metapulse_assets.proof.checks.recompute_sample", _unjudged).start()


@dg.definitions
def defs() -> dg.Definitions:
    """What a code server loads in place of `metapulse_assets.definitions`."""
    return build_defs()
