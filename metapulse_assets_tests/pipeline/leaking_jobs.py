"""A handler that lets out every secret it can reach. Worker processes load it by METAPULSE_JOB_MODULES."""

import logging

from metapulse_assets.platform.work_queue.job import Job
from metapulse_assets.platform.work_queue.policies import Policy
from metapulse_assets.platform.work_queue.registry import handler

NAME = __name__
LOGGER = logging.getLogger("metapulse.leaks")


@handler("t-leak", Policy(attempts=2, backoff=(0.0,)))
async def leak(job: Job) -> None:
    """Logs the secrets of the settings, and fails with them."""
    secrets = " ".join(job.platform.settings.secrets())
    LOGGER.error("these are: %s", secrets)
    try:
        raise ValueError(f"with {secrets}")
    except ValueError:
        LOGGER.exception("and so is this")
    raise ConnectionError(f"refused: {secrets}")
