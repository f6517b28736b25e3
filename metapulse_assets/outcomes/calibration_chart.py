"""A picture of how far shown confidences can be believed: the share of hits against the confidence, one line a horizon."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metapulse_assets.outcomes.rows import HORIZONS
from metapulse_assets.platform.display import picture_text

COLOURS = ("#4575b4", "#74add1", "#1a9850", "#fdae61", "#d73027")


@dataclass(frozen=True)
class ReliabilityLine:
    """One horizon's bins that are not empty: mean confidence, hit rate and number of outcomes of each; and its base rate.

    `points`: of the calibrated confidence that signals were shown with; `raw`: of the raw one, for the same signals.
    """

    horizon: str
    points: Sequence[tuple[float, float, int]]
    raw: Sequence[tuple[float, float, int]]
    base_rate: float | None

    @classmethod
    def of(cls, row: Any) -> "ReliabilityLine":
        """The line of a row of `signal_calibration`."""
        points, raw = (
            [(part["mean_confidence"], part["hit_rate"], part["n"]) for part in bins if part["n"]]
            for bins in (row.reliability, row.reliability_raw)
        )
        return cls(row.horizon, points, raw, row.base_rate)


def draw_png(title: str, lines: Sequence[ReliabilityLine]) -> bytes:
    """The picture as PNG: lines above, counts below. On the diagonal a confidence says what it means; faint: the raw one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 5.5), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    rates, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    rates.set_title(picture_text(title), fontsize=10)
    rates.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--", label="as told")
    for line in lines:
        colour = COLOURS[list(HORIZONS).index(line.horizon)]
        rates.plot(*([point[part] for point in line.raw] for part in (0, 1)), color=colour, linewidth=0.8, alpha=0.35)
        told, came, n = ([point[part] for point in line.points] for part in range(3))
        rates.plot(told, came, color=colour, marker="o", markersize=4, linewidth=1.1, label=line.horizon)
        if line.base_rate is not None:
            rates.axhline(line.base_rate, color=colour, linewidth=0.6, linestyle=":")
        counts.plot(told, n, color=colour, marker="o", markersize=3, linewidth=0.8)
    rates.set_ylim(0, 1)
    rates.set_xlim(0, 1)
    rates.set_ylabel("share of hits (dotted: base rate; faint: raw)", fontsize=8)
    rates.legend(fontsize=7, loc="upper left", ncols=6)
    counts.set_yscale("symlog")
    counts.set_ylim(bottom=0)
    counts.set_ylabel("outcomes", fontsize=8)
    counts.set_xlabel("calibrated confidence when emitted", fontsize=8)
    for axes in (rates, counts):
        axes.tick_params(labelsize=7)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
