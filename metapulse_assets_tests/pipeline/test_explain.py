"""A signal's chain holds down to the bytes; a link that is taken out or altered is named."""

from datetime import timedelta

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


# What is altered, and in which words the chain of a signal of the models says so.
ALTERED = {
    "UPDATE token_metrics SET price_usd = price_usd * 1.01": "price_usd is",
    "UPDATE token_metrics SET volume_h1_usd = 3 * volume_h1_usd": "market: volume_h1_to_hourly_mean is",
    "UPDATE technical_analyses SET rsi_14 = 100 - rsi_14": "rsi_14 is",
    "UPDATE candles SET high = high * 1.5 WHERE payload_id IS NOT NULL": "high is",
    "UPDATE ai_requests SET prompt = prompt || 'x'": "the prompt is not what its snapshot gives",
    "UPDATE ai_requests SET snapshot = '{}'": "the snapshot does not match its hash",
    "UPDATE ai_answers SET raw = replace(raw, '0', '1')": "its payload holds another text",
    "UPDATE ai_answers SET parsed = jsonb_set(parsed, '{probability_up}', '0.123')": "its text says something else",
    "DELETE FROM ai_answers WHERE provider = 'groq'": "the answer of groq is not stored (any more)",
    "UPDATE ai_answers SET reused_from = 'nowhere'": "answer groq to nowhere: not stored (any more)",
    "UPDATE ai_analyses SET summary = 'another'": "summary is another",
    "DELETE FROM ai_analyses": "AI analysis",
    "DELETE FROM raw_payloads WHERE vendor IN ('groq', 'gemini')": "raw payload",
    "DELETE FROM raw_payloads WHERE vendor = 'dexscreener'": "raw payload",
    "UPDATE risk_assessments SET level = 'unknown'": "level is unknown",
    "UPDATE token_security SET top10_holder_share = 0.123": "top10_holder_share is 0.123",
    "DELETE FROM token_security": "security report before",
    "UPDATE social_posts SET text = text || ' moon'": "text is",
    "UPDATE social_posts SET author_id = '1'": "author_id is 1",
    "DELETE FROM social_posts": "posts that are mentioned are not stored",
    "DELETE FROM raw_payloads WHERE vendor = 'x'": "raw payload",
}


def test_whatever_is_altered_or_taken_out_of_the_chain_of_the_models_is_named(new_world: World) -> None:
    for job in ("market_tick", "social_tick", "ai_tick", "signals_tick"):
        new_world.tick(job_name=job)
        new_world.move(timedelta(minutes=1))
    with new_world.platform.engine.connect() as connection:
        signal_ids = connection.execute(
            sa.text("SELECT signal_id FROM signals WHERE kind IN ('ai', 'combined') ORDER BY kind DESC, signal_id LIMIT 9")
        ).scalars()
        chains = {signal_id: explain(connection, signal_id) for signal_id in signal_ids.all()}
        assert [problem for chain in chains.values() for problem in chain.problems()] == []
        # The one that rests on most.
        signal_id = max(chains, key=lambda name: (len(kinds(chains[name])), name))
        assert {"question", "answer", "posts", "security report", "snapshot", "candle"} <= kinds(chains[signal_id])
        connection.rollback()
        for statement, words in ALTERED.items():
            with connection.begin() as transaction:
                assert connection.execute(sa.text(statement)).rowcount > 0, statement
                problems = explain(connection, signal_id).problems()
                transaction.rollback()
            assert any(words in problem for problem in problems), (statement, problems[:5])
