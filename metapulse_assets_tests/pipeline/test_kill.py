"""A run killed with -9 in the middle of a tick: the next tick leaves neither a gap nor a duplicate."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from metapulse_assets_tests.pipeline.conftest import TICK, World

STEPS = ("token_metrics", "candles", "technical_analyses", "technical_signals", "signals")


def environment_of(world: World) -> dict[str, str]:
    """What a process needs to work in the same world."""
    settings = world.platform.settings
    assert settings.database_url is not None
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "DEXSCREENER_API_URL": settings.dexscreener_url,
        "GECKOTERMINAL_API_URL": settings.geckoterminal_url,
        "DEXSCREENER_RATE_LIMIT": "10000",
        "DEXSCREENER_PAIRS_PER_MINUTE": "1000000",
        "DEXSCREENER_PROFILES_PER_MINUTE": "1000000",
        "GECKOTERMINAL_RATE_LIMIT": "1000000",
    }


def kill_a_tick_at(world: World, step: str) -> None:
    """Start a tick in a process of its own and kill it as soon as it says that it has begun a step."""
    process = subprocess.Popen(
        [sys.executable, "-m", "metapulse_assets_tests.pipeline.one_tick", world.now.isoformat()],
        env=environment_of(world),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if f"  {step} " in line and "…" in line:
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL, "the tick ended before it could be killed"


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_after_a_kill_the_next_tick_leaves_no_gap_and_no_duplicate(world: World, step: str) -> None:
    kill_a_tick_at(world, step)
    world.move(timedelta(seconds=20))
    retried = world.tick()
    assert all(evaluation.passed for evaluation in retried.get_asset_check_evaluations())
    world.move(TICK - timedelta(seconds=20))
    result = world.tick()

    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())
    slots = f"timeframe = '5m' AND source = 'snapshots' AND opened_at >= '{world.now - 2 * TICK - timedelta(minutes=1)}'"
    traded = """(SELECT DISTINCT token_id, date_bin('5 minutes', observed_at - interval '60 s', '2026-01-01') AS slot
                 FROM token_metrics WHERE buys_m5 + sells_m5 > 0 AND observed_at >= '{}') AS t"""
    assert world.count("candles", slots) >= world.count(traded.format(world.now - TICK - timedelta(minutes=1)))
    assert world.count("candles", slots) > 0
    doubled = "(SELECT token_id, rule, timeframe, opened_at FROM signals GROUP BY 1, 2, 3, 4 HAVING count(*) > 1) AS t"
    assert world.count(doubled) == 0
    unanalysed = """candles AS c WHERE timeframe = '5m' AND opened_at >= '2026-11-20' AND NOT EXISTS
        (SELECT FROM technical_analyses AS a WHERE a.opened_at = c.opened_at AND a.token_id = c.token_id
         AND a.timeframe = c.timeframe)"""
    assert world.count(f"(SELECT 1 FROM {unanalysed}) AS t") == 0
