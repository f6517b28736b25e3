"""A signal's chain holds down to the bytes; a link that is taken out or altered is named."""

import sqlalchemy as sa

from metapulse_assets.proof.lineage.links import Link
from metapulse_assets.proof.lineage.runs import note_runs
from metapulse_assets.proof.lineage.whole import explain
from metapulse_assets_tests.pipeline.conftest import World


def chain_of(world: World, where: str = "kind = 'technical' AND timeframe = '5m'") -> Link:
    with world.platform.engine.connect() as connection:
        signal_id = connection.execute(
            sa.text(f"SELECT signal_id FROM signals WHERE {where} ORDER BY emitted_at DESC, signal_id LIMIT 1")
        ).scalar_one()
        return explain(connection, signal_id)


def alter(world: World, statement: str) -> None:
    with world.platform.engine.begin() as connection:
        assert connection.execute(sa.text(statement)).rowcount > 0


def kinds(chain: Link) -> set[str]:
    return {link.what for link in chain.walk()}


def test_the_whole_chain_down_to_bytes_and_runs(new_world: World) -> None:
    new_world.ticks(3)
    chain = chain_of(new_world)
    note_runs(new_world.instance, chain)
    assert chain.problems() == []
    assert {"signal", "technical hit", "technical analysis", "candles", "candle", "raw payload"} <= kinds(chain)
    assert all(len(link.values["sha256"]) == 64 for link in chain.walk() if link.what == "raw payload")
    runs = {run.run_id for run in new_world.instance.get_runs()}
    told = {link.values["run"] for link in chain.walk() if "run" in link.values}
    assert told
    assert told <= runs


def test_risk_leads_to_the_snapshot_it_was_judged_by(world: World) -> None:
    world.ticks(2)
    chain = chain_of(world, "risk <> 'unknown'")
    assert chain.problems() == []
    assert {"risk assessment", "snapshot"} <= kinds(chain)


def test_an_altered_analysis_is_named(world: World) -> None:
    alter(world, "UPDATE technical_analyses SET close = close * 1.01")
    problems = chain_of(world).problems()
    assert any(problem.startswith("technical analysis 5m") and "close is" in problem for problem in problems)


def test_a_payload_that_is_gone_is_named(world: World) -> None:
    alter(world, "DELETE FROM raw_payloads")
    assert any(problem.endswith("not stored (any more)") for problem in chain_of(world).problems())


def test_bytes_that_do_not_match_their_hash_are_named(world: World) -> None:
    alter(world, "UPDATE raw_payloads SET sha256 = decode(md5('x') || md5('y'), 'hex')")
    assert any("does not match its SHA-256" in problem for problem in chain_of(world).problems())


def test_a_hit_that_says_something_else_is_named(world: World) -> None:
    alter(world, "UPDATE technical_signals SET strength = 1 - strength / 2")
    assert any(problem.startswith("signal ") and "strength is" in problem for problem in chain_of(world).problems())


def test_candles_that_are_gone_are_named(world: World) -> None:
    alter(world, "DELETE FROM candles")
    assert any(problem.startswith("candles ") for problem in chain_of(world).problems())
