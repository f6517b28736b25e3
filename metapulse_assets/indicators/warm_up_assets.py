"""The warm-up report as an asset, with a picture."""

import io
from typing import Any

import dagster as dg
import sqlalchemy as sa

from metapulse_assets.indicators import warm_up_measuring
from metapulse_assets.indicators.warm_up_tables import warm_up_report as table
from metapulse_assets.platform.asset_policy import table_asset
from metapulse_assets.platform.display import markdown_picture, markdown_table
from metapulse_assets.platform.runtime import Platform

GROUP = "indicators"
DRAWN = ("rsi_14", "adx_14", "macd", "ema_50", "ema_200", "atr_14")


@table_asset(table, group=GROUP, deps=["candles"], kinds={"numpy"}, partitioned=False, tick=warm_up_measuring.KEPT)
def warm_up_report(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
    """Measure how many candles each indicator needs, on the histories stored; once a day."""
    with platform.engine.begin() as connection:
        now = platform.now()
        lately = warm_up_measuring.computed_lately(connection, now)
        if lately is not None:
            rows = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            why = "It is made once a day."
            return dg.MaterializeResult(metadata={"dagster/row_count": rows, "changed": 0, "why": why})
        rows = warm_up_measuring.measure(connection, now)
        shown = connection.execute(sa.select(table).order_by(table.c.indicator, table.c.bars)).all()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "95 % of last values are within": dg.MetadataValue.md(_pivot(shown)),
            **({"picture": dg.MetadataValue.md(markdown_picture(_draw(shown), "error by length of history"))} if rows else {}),
        }
    )


def _pivot(rows: Any) -> str:
    lengths = sorted({row.bars for row in rows})
    names = list(dict.fromkeys(row.indicator for row in rows))
    by_key = {(row.indicator, row.bars): row for row in rows}
    lines = []
    for name in names:
        first = next(row for row in rows if row.indicator == name)
        errors = [getattr(by_key.get((name, length)), "p95_error", None) for length in lengths]
        lines.append((name, first.required_bars, first.error_unit, *errors))
    return markdown_table(("indicator", "needs", "unit", *(f"{length} candles" for length in lengths)), lines)


def _draw(rows: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title("how far the last value is from that on a long history (95 %)", fontsize=10)
    for name in DRAWN:
        points = [(row.bars, row.p95_error) for row in rows if row.indicator == name and row.p95_error]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("candles", fontsize=8)
    axes.set_ylabel("points, or % of the price", fontsize=8)
    axes.legend(fontsize=7)
    axes.tick_params(labelsize=7)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
