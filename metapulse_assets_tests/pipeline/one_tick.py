"""One tick in a process of its own, for tests that kill it: settings come from the environment, the clock from an argument."""

import sys
from datetime import datetime

import dagster as dg

from metapulse_assets.definitions import build_defs
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import get_settings


def main() -> int:
    """Run `market_tick` for the moment given as ISO time; exit code 0 if it succeeded."""
    now = datetime.fromisoformat(sys.argv[1])
    definitions = build_defs({"platform": Platform(get_settings(), clock=lambda: now)})
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("market_tick").execute_in_process(
            instance=instance,
            partition_key=f"{now:%Y-%m-%d}",
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {}}}},
        )
    return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(main())
