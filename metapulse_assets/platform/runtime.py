"""What an asset needs to work: settings, database, clock. One object, given to every asset as the resource `platform`."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import sqlalchemy as sa

from metapulse_assets.platform.clock import Clock, system_clock
from metapulse_assets.platform.database import ensure_ready, get_engine
from metapulse_assets.platform.settings import Settings


@dataclass
class Platform:
    """Settings, the migrated database and the time of day. Opens nothing until used."""

    settings: Settings
    clock: Clock = field(default=system_clock)

    @cached_property
    def engine(self) -> sa.Engine:
        """The engine on a database that is there, migrated, and of this mode."""
        ensure_ready(self.settings)
        return get_engine(self.settings)

    def now(self) -> datetime:
        """The time of day, UTC."""
        return self.clock()
