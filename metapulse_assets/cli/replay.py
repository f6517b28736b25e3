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
POSTS_BEFORE_DAYS = 9


def replay(
    recordings: Annotated[Path, typer.Argument(help="Folder of recorded data, each set in a folder of its own.")],
    candles: Annotated[str, typer.Option(help="Set of candle files, as ohlcv_binance_1h.")],
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First UTC day.")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last UTC day.")],
    quote: Annotated[str | None, typer.Option(help="Take the files priced in this currency; not given: dollars.")] = None,
    quote_usd: Annotated[
        float, typer.Option(min=0.0, help="Dollars that a unit of the quote currency was worth: makes volumes dollars.")
    ] = 1.0,
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
        _import_candles(engine, recordings, candles, quote, quote_usd, tokens, span)
        if posts is not None:
            _import_posts(engine, recordings, posts, span)
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


def _import_candles(
    engine: "sa.Engine",
    recordings: Path,
    folder: str,
    quote: str | None,
    quote_usd: float,
    tokens: str,
    span: tuple[date, date],
) -> None:
    from metapulse_assets.platform.day_partitions import day_bounds
    from metapulse_assets.replay.candle_import import NothingToImportError, choose_files, import_candles

    start, end = day_bounds(*span)
    tickers = [ticker.strip().upper() for ticker in tokens.split(",") if ticker.strip()]
    try:
        files = choose_files(recordings, folder, quote, tickers)
    except NothingToImportError as error:
        raise CommandError(str(error), 2) from None
    with engine.begin() as connection:
        from_then = start - timedelta(days=WARM_UP_DAYS)
        brought = import_candles(connection, files, from_then, end, datetime.now(UTC), quote_usd)
    say(f"candles: {brought.candles} new, of {len(brought.token_ids)} tokens ({', '.join(sorted(brought.token_ids))})")


def _import_posts(engine: "sa.Engine", recordings: Path, posts: str, span: tuple[date, date]) -> None:
    from metapulse_assets.platform.day_partitions import day_bounds
    from metapulse_assets.platform.dead_letters import store_dead_letters
    from metapulse_assets.replay.post_import import import_posts
    from metapulse_assets.social.reading_store import find_mentions_again, judge_again

    start, end = day_bounds(*span)
    paths = sorted(path for pattern in ("*.ndjson", "*.ndjson.gz") for path in (recordings / posts).glob(pattern))
    if not paths:
        raise CommandError(f"{recordings / posts}: no files of posts (*.ndjson, *.ndjson.gz)", 2)
    now = datetime.now(UTC)
    with engine.begin() as connection:
        # The first day's figures are held against the week before, whose posts must have been understood by then.
        read = import_posts(connection, paths, start - timedelta(days=POSTS_BEFORE_DAYS), end, now)
        store_dead_letters(connection, read.refused, now, None)
        for number in range(POSTS_BEFORE_DAYS, 0, -1):
            day = span[0] - timedelta(days=number)
            find_mentions_again(connection, day)
            judge_again(connection, day)
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
