"""A picture of the tokens that were most spoken of: volume, and sentiment below."""

import io
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from metapulse_assets.market.tables import tokens
from metapulse_assets.platform.display import picture_text
from metapulse_assets.social.tables import social_metrics

SHOWN_TOKENS = 5
COLOURS = ("#4575b4", "#d73027", "#1a9850", "#fdae61", "#762a83")


@dataclass(frozen=True)
class Line:
    """One token: its label, and at each moment volume and sentiment."""

    label: str
    points: list[tuple[datetime, int, float | None]]


@dataclass(frozen=True)
class ChartData:
    """What the picture shows."""

    title: str
    lines: list[Line]


def read_chart(connection: sa.Connection, start: datetime, end: datetime, mode: str) -> ChartData:
    """Volume and sentiment of the tokens with most volume in a span."""
    m = social_metrics.c
    top = connection.execute(
        sa.select(m.token_id, tokens.c.symbol, tokens.c.chain)
        .join(tokens, tokens.c.token_id == m.token_id)
        .where(m.as_of >= start, m.as_of < end)
        .group_by(m.token_id, tokens.c.symbol, tokens.c.chain)
        .order_by(sa.func.sum(m.unique_posts_1h).desc(), m.token_id)
        .limit(SHOWN_TOKENS)
    ).all()
    lines = []
    for token in top:
        rows = connection.execute(
            sa.select(m.as_of, m.unique_posts_1h, m.sentiment)
            .where(m.token_id == token.token_id, m.as_of >= start, m.as_of < end)
            .order_by(m.as_of)
        )
        lines.append(Line(f"{token.symbol[:16]} ({token.chain})", [tuple(row) for row in rows]))
    return ChartData(f"posts an hour and sentiment ({mode})", lines)


def draw_png(data: ChartData) -> bytes:
    """The picture as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    volume, sentiment = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    volume.set_title(data.title, fontsize=10)
    for line, colour in zip(data.lines, COLOURS, strict=False):
        label = picture_text(line.label)
        volume.plot(
            [point[0] for point in line.points], [point[1] for point in line.points], color=colour, linewidth=1.1, label=label
        )
        said = [(point[0], point[2]) for point in line.points if point[2] is not None]
        sentiment.plot(
            [moment for moment, _ in said], [score for _, score in said], color=colour, linewidth=0.9, marker=".", markersize=3
        )
    if data.lines:
        volume.legend(fontsize=7, loc="upper left", ncols=SHOWN_TOKENS)
    volume.set_ylabel("unique posts, 1 h", fontsize=8)
    sentiment.axhline(0, color="#999999", linewidth=0.6)
    sentiment.set_ylim(-1, 1)
    sentiment.set_ylabel("sentiment", fontsize=8)
    for axes in (volume, sentiment):
        axes.tick_params(labelsize=7)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
