"""A picture of one token: price with its means, the signals on it, and the RSI below."""

import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from metapulse_assets.indicators.tables import technical_analyses
from metapulse_assets.market.tables import candles, tokens
from metapulse_assets.platform.display import picture_text
from metapulse_assets.signals.tables import signals

SPAN = timedelta(hours=24)
BUY, SELL, PRICE, FAST, SLOW = "#1a9850", "#d73027", "#222222", "#4575b4", "#fdae61"


@dataclass(frozen=True)
class ChartData:
    """What the picture shows, all on one time axis."""

    title: str
    candles: list[tuple[datetime, float]]
    analyses: list[tuple[datetime, float | None, float | None, float | None]]
    signals: list[tuple[datetime, float, str, str]]


def read_chart(connection: sa.Connection, token_id: int, until: datetime, mode: str) -> ChartData:
    """Five-minute closes, SMA 20 and 50, RSI and signals of a token over the last day."""
    since = until - SPAN
    token = connection.execute(sa.select(tokens).where(tokens.c.token_id == token_id)).one()
    c, a = candles.c, technical_analyses.c
    closes = connection.execute(
        sa.select(c.opened_at, c.close)
        .where(c.token_id == token_id, c.timeframe == "5m", c.opened_at >= since, c.opened_at < until)
        .order_by(c.opened_at)
    ).all()
    analyses = connection.execute(
        sa.select(a.opened_at, a.sma_20, a.sma_50, a.rsi_14)
        .where(a.token_id == token_id, a.timeframe == "5m", a.opened_at >= since, a.opened_at < until)
        .order_by(a.opened_at)
    ).all()
    marks = connection.execute(
        sa.select(signals.c.observed_at, signals.c.price_usd, signals.c.direction, signals.c.rule)
        .where(signals.c.token_id == token_id, signals.c.observed_at >= since, signals.c.observed_at <= until)
        .order_by(signals.c.observed_at)
    ).all()
    return ChartData(
        f"{token.symbol[:24]} on {token.chain}, 5-minute closes, USD ({mode})",
        [tuple(row) for row in closes],
        [tuple(row) for row in analyses],
        [tuple(row) for row in marks],
    )


def draw_png(data: ChartData) -> bytes:
    """The picture as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    price, rsi = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    price.set_title(picture_text(data.title), fontsize=10)
    price.plot(*_series(data.candles, 1), color=PRICE, linewidth=1.1, label="close")
    price.plot(*_series(data.analyses, 1), color=FAST, linewidth=0.9, label="SMA 20")
    price.plot(*_series(data.analyses, 2), color=SLOW, linewidth=0.9, label="SMA 50")
    for direction, marker, colour in (("buy", "^", BUY), ("sell", "v", SELL)):
        marks = [mark for mark in data.signals if mark[2] == direction]
        price.scatter(
            [mark[0] for mark in marks], [mark[1] for mark in marks], marker=marker, color=colour, zorder=3, label=direction
        )
    price.legend(fontsize=7, loc="upper left", ncols=5)
    rsi.plot(*_series(data.analyses, 3), color=PRICE, linewidth=0.9)
    rsi.axhspan(30, 70, color="#eeeeee")
    rsi.set_ylim(0, 100)
    rsi.set_ylabel("RSI 14", fontsize=8)
    for axes in (price, rsi):
        axes.tick_params(labelsize=7)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _series(rows: list[Any], column: int) -> tuple[list[datetime], list[float]]:
    shown = [row for row in rows if row[column] is not None]
    return [row[0] for row in shown], [row[column] for row in shown]
