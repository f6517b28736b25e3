"""The assets of what posts say: mentions, sentiments, social metrics, trending topics. That of posts: `post_assets.py`."""

from collections.abc import Callable
from datetime import date, datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.market.tables import tokens
from metapulse_assets.platform.asset_policy import days_to_recompute, is_tick, span_of_run, table_asset
from metapulse_assets.platform.display import markdown_picture, markdown_table
from metapulse_assets.platform.runtime import Platform
from metapulse_assets.platform.settings import get_settings
from metapulse_assets.social import metrics_chart, metrics_store, reading_store, tables

GROUP = "social"
SHOWN_ROWS = 15
TICK = timedelta(milliseconds=get_settings().social_data_interval)


@table_asset(tables.mentions, group=GROUP, deps=["social_posts", "token_metrics"], tick=TICK)
def mentions(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Find what new posts name and which tokens that means, or do whole days again."""
    changed = _carry_on(context, platform, reading_store.find_new_mentions, reading_store.find_mentions_again)
    with platform.engine.connect() as connection:
        start, end = span_of_run(context)
        m = tables.mentions.c
        counts = connection.execute(
            sa.select(m.kind, m.resolution, sa.func.count().label("mentions"), sa.func.count(m.token_id.distinct()))
            .where(m.observed_at >= start, m.observed_at < end)
            .group_by(m.kind, m.resolution)
            .order_by(sa.desc("mentions"), m.kind, m.resolution)
        ).all()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(row.mentions for row in counts),
            "rows changed": changed,
            "by resolution": dg.MetadataValue.md(markdown_table(("kind", "resolution", "mentions", "tokens"), counts)),
        }
    )


@table_asset(tables.post_sentiments, group=GROUP, deps=["social_posts"], kinds={"numpy"}, tick=TICK)
def post_sentiments(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Judge new posts by themselves: sentiment, scam, signs of automation; or whole days again."""
    changed = _carry_on(context, platform, reading_store.judge_new_posts, reading_store.judge_again)
    with platform.engine.connect() as connection:
        start, end = span_of_run(context)
        s = tables.post_sentiments.c
        counts = connection.execute(
            sa.select(
                s.label,
                sa.func.count().label("posts"),
                sa.func.avg(s.score),
                sa.func.avg(s.scam_probability),
                sa.func.avg(s.bot_likeness),
            )
            .where(s.observed_at >= start, s.observed_at < end)
            .group_by(s.label)
            .order_by(s.label)
        ).all()
    headers = ("label", "posts", "mean score", "mean scam probability", "mean bot-likeness")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(row.posts for row in counts),
            "rows changed": changed,
            "by label": dg.MetadataValue.md(markdown_table(headers, counts)),
        }
    )


@table_asset(
    tables.social_metrics, group=GROUP, deps=["social_posts", "mentions", "post_sentiments"], kinds={"numpy"}, tick=TICK
)
def social_metrics(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Volume, its speed, sentiment and reception of each token at the end of each pass, or of whole days again."""
    changed = _carry_on(context, platform, metrics_store.add_metrics, _with_now(metrics_store.make_metrics_again, platform))
    with platform.engine.connect() as connection:
        start, end = span_of_run(context)
        table = tables.social_metrics
        m = table.c
        rows = connection.execute(sa.select(sa.func.count()).where(m.as_of >= start, m.as_of < end)).scalar_one()
        newest = sa.select(sa.func.max(m.as_of)).where(m.as_of >= start, m.as_of < end).scalar_subquery()
        shown = connection.execute(
            sa.select(
                *(tokens.c.symbol, tokens.c.chain, m.mentions_1h, m.authors_1h, m.velocity, m.velocity_z, m.sentiment),
                *(m.dominance, m.bot_share, m.scam_share),
            )
            .join(tokens, tokens.c.token_id == m.token_id)
            .where(m.as_of == newest)
            .order_by(m.unique_posts_1h.desc(), m.mentions_24h.desc(), m.token_id)
            .limit(SHOWN_ROWS)
        ).all()
        chart = metrics_chart.read_chart(connection, start, end, platform.settings.mode.value)
    headers = ("token", "chain", "mentions 1 h", "authors", "velocity", "z", "sentiment", "dominance", "bots", "scams")
    picture = {"chart": dg.MetadataValue.md(markdown_picture(metrics_chart.draw_png(chart), "volume and sentiment"))}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "rows changed": changed,
            "most spoken of": dg.MetadataValue.md(markdown_table(headers, shown)),
            **(picture if chart.lines else {}),
        }
    )


@table_asset(
    tables.trending_topics, group=GROUP, deps=["social_posts", "mentions", "post_sentiments"], kinds={"numpy"}, tick=TICK
)
def trending_topics(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """The topics most authors spoke of at the end of each pass, or of whole days again."""
    changed = _carry_on(context, platform, metrics_store.add_topics, _with_now(metrics_store.make_topics_again, platform))
    with platform.engine.connect() as connection:
        start, end = span_of_run(context)
        t = tables.trending_topics.c
        rows = connection.execute(sa.select(sa.func.count()).where(t.as_of >= start, t.as_of < end)).scalar_one()
        newest = sa.select(sa.func.max(t.as_of)).where(t.as_of >= start, t.as_of < end).scalar_subquery()
        shown = connection.execute(
            sa.select(t.rank, t.topic, t.authors, t.mentions_1h, t.sentiment, t.volume_24h, t.volume_change, t.z)
            .where(t.as_of == newest)
            .order_by(t.rank)
            .limit(SHOWN_ROWS)
        ).all()
    headers = ("rank", "topic", "authors", "mentions 1 h", "sentiment", "volume 24 h", "change", "z")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "rows changed": changed,
            "newest": dg.MetadataValue.md(markdown_table(headers, shown)),
        }
    )


def _carry_on(
    context: dg.AssetExecutionContext,
    platform: Platform,
    tick: Callable[[sa.Connection, datetime], int],
    again: Callable[[sa.Connection, date], int],
) -> int:
    """Do what the run is for; rows and progress in one transaction a day. Returns how many rows changed."""
    changed = 0
    if is_tick(context, platform):
        with platform.engine.begin() as connection:
            changed += tick(connection, platform.now())
    for day in days_to_recompute(context, platform):
        with platform.engine.begin() as connection:
            changed += again(connection, day)
    return changed


def _with_now(
    again: Callable[[sa.Connection, date, datetime], int], platform: Platform
) -> Callable[[sa.Connection, date], int]:
    return lambda connection, day: again(connection, day, platform.now())
