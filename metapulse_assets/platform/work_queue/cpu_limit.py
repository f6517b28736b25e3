"""A worker begins nothing while the machine's processors are busier than it is to make them."""

from dataclasses import dataclass, field

import psutil

from metapulse_assets.platform.work_queue.logs import LOGGER


@dataclass
class CpuLimit:
    """`percent`: of all processors together; None: no limit. What runs already goes on."""

    percent: float | None
    is_exceeded: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """The first look has no time before it that it could be about."""
        if self.percent is not None:
            psutil.cpu_percent(None)

    def look(self) -> None:
        """Measure the time since the last look; to be called every second or so."""
        if self.percent is None:
            return
        busy = psutil.cpu_percent(None)
        before, self.is_exceeded = self.is_exceeded, busy > self.percent
        if self.is_exceeded and not before:
            LOGGER.warning("the processors are busy (%.0f %%, the limit is %.0f %%): nothing is begun", busy, self.percent)
        elif before and not self.is_exceeded:
            LOGGER.info("the processors are free enough again: jobs are begun")
