"""`metapulse replay`: past days played through from recorded files, in a database of their own."""

import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metapulse_assets.cli import environment
from metapulse_assets.cli.embedded_server import database_server
from metapulse_assets.cli.failures import FAILED, CommandError
from metapulse_assets.cli.run import prepare_database
from metapulse_assets.cli.terminal import say

if TYPE_CHECKING:
    import dagster as dg
    import sqlalchemy as sa

    from metapulse_assets.platform.settings import Settings
    from metapulse_assets.replay.report import Played

# Candles of so many days before the first one are imported too, so that hourly indicators are warm.
WARM_UP_DAYS = 35


def replay(
    recordings: Annotated[Path, typer.Argument(help="Folder of recorded data, each set in a folder of its own.")],
    candles: Annotated[str, typer.Option(help="Set of candle files, as ohlcv_binance_1h.")],
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First UTC day.")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last UTC day.")],
    quote: Annotated[str | None, typer.Option(help="Take the files priced in this currency; not given: dollars.")] = None,
    tokens: Annotated[str, typer.Option(help="Tickers, separated by commas; not given: all.")] = "",
    posts: Annotated[str | None, typer.Option(help="Set of files of posts, as tweets_cryptop12.")] = None,
    name: Annotated[str, typer.Option(help="Name of this replay; each has a database of its own.")] = "default",
    again: Annotated[bool, typer.Option("--again", help="Run the backfill twice, and compare every table.")] = False,
) -> None:
    """Import recorded candles and posts, run one backfill over the days, and report what came of the signals.

    The page and its pictures are written to replays/NAME in METAPULSE_HOME. Exit codes: 0 done, 1 a step failed or a second
    backfill came out different, 2 wrong option.
    """
    settings = _prepare(name)
    say(f"MetaPulse, {environment.describe_mode(settings)}")
    span = first.date(), last.date()
    if span[1] < span[0]:
        raise CommandError(f"--to {span[1]} is before --from {span[0]}", 2)
    with database_server(settings):
        prepare_database(settings)
        from metapulse_assets.platform.database import get_engine

        engine = get_engine(settings)
        _import(engine, recordings, candles, quote, tokens, posts, span)
        played = _play(engine, settings, span, quote or "USD", again)
        _tell(engine, settings, played)
        engine.dispose()
    if played.different:
        raise typer.Exit(FAILED)


def _prepare(name: str) -> "Settings":
    import os

    os.environ["METAPULSE_REPLAY"] = name
    settings = environment.prepare("replay")
    environment.require_dagster_home()
    return settings


def _import(
    engine: "sa.Engine",
    recordings: Path,
    folder: str,
    quote: str | None,
    tokens: str,
    posts: str | None,
    span: tuple[date, date],
) -> None:
    from metapulse_assets.platform.day_partitions import day_bounds
    from metapulse_assets.platform.dead_letters import store_dead_letters
    from metapulse_assets.replay.candle_import import NothingToImportError, choose_files, import_candles
    from metapulse_assets.replay.post_import import import_posts

    start, end = day_bounds(*span)
    now = datetime.now(UTC)
    tickers = [ticker.strip().upper() for ticker in tokens.split(",") if ticker.strip()]
    try:
        files = choose_files(recordings, folder, quote, tickers)
    except NothingToImportError as error:
        raise CommandError(str(error), 2) from None
    with engine.begin() as connection:
        brought = import_candles(connection, files, start - timedelta(days=WARM_UP_DAYS), end, now)
    say(f"candles: {brought.candles} new, of {len(brought.token_ids)} tokens ({', '.join(sorted(brought.token_ids))})")
    if posts is None:
        return
    paths = sorted(path for pattern in ("*.ndjson", "*.ndjson.gz") for path in (recordings / posts).glob(pattern))
    if not paths:
        raise CommandError(f"{recordings / posts}: no files of posts (*.ndjson, *.ndjson.gz)", 2)
    with engine.begin() as connection:
        # A week before the first day: velocity is measured against it.
        read = import_posts(connection, paths, start - timedelta(days=8), end, now)
        store_dead_letters(connection, read.refused, now, None)
    say(f"posts: {read.stored} new of {read.read} read, {len(read.refused)} refused (see dead_letters)")


def _play(engine: "sa.Engine", settings: "Settings", span: tuple[date, date], unit: str, again: bool) -> "Played":
    say("Dagster: loading …")
    import dagster as dg

    from metapulse_assets.definitions import defs
    from metapulse_assets.replay.playing import digests
    from metapulse_assets.replay.report import Played

    definitions = defs()
    with dg.DagsterInstance.get() as instance:
        seconds = [_backfill(definitions, instance, span)]
        with engine.connect() as connection:
            once = digests(connection)
        different = None
        if again:
            seconds.append(_backfill(definitions, instance, span))
            with engine.connect() as connection:
                twice = digests(connection)
            different = [table for table in once if once[table] != twice[table]]
    rows = {table: count for table, (count, _) in once.items()}
    return Played(settings.replay_name, *span, unit, seconds, rows, different)


def _backfill(definitions: "dg.Definitions", instance: "dg.DagsterInstance", span: tuple[date, date]) -> float:
    from metapulse_assets.cli.tick import failed_steps
    from metapulse_assets.replay.playing import backfill

    say(f"backfill of {span[0]} to {span[1]} (UTC) …")
    began = time.monotonic()
    result = backfill(definitions, instance, *span)
    if not result.success:
        for failure in failed_steps(result):
            say(f"FAILED {failure.step}: {failure.reason}")
        raise typer.Exit(FAILED)
    seconds = time.monotonic() - began
    say(f"backfill: {seconds:.1f} s")
    return seconds


def _tell(engine: "sa.Engine", settings: "Settings", played: "Played") -> None:
    from rich.markdown import Markdown

    from metapulse_assets.cli.terminal import console
    from metapulse_assets.replay.report import write_report

    with engine.connect() as connection:
        page = write_report(connection, played, settings.home / "replays" / played.name)
    console().print(Markdown(page.read_text(encoding="utf-8")))
    say(f"report: {page}")
