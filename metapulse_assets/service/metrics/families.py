"""Families of Prometheus made of rows: a name, what it means, and (label values, value) each."""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from metapulse_assets.platform.metric_totals import DURATION_BOUNDS

NAMESPACE = "metapulse"

Labels = Sequence[str]
Samples = Iterable[tuple[Labels, float]]


def gauge(name: str, meaning: str, samples: Samples, labels: Labels = ()) -> Metric:
    """A value that goes up and down."""
    family = GaugeMetricFamily(f"{NAMESPACE}_{name}", meaning, labels=list(labels))
    for values, number in samples:
        family.add_metric([str(value) for value in values], float(number))
    return family


def counter(name: str, meaning: str, samples: Samples, labels: Labels = ()) -> Metric:
    """A total since the beginning; `_total` is added to the name."""
    family = CounterMetricFamily(f"{NAMESPACE}_{name}", meaning, labels=list(labels))
    for values, number in samples:
        family.add_metric([str(value) for value in values], float(number))
    return family


def histogram(
    name: str,
    meaning: str,
    ranges: Mapping[tuple[str, ...], Mapping[str, float]],
    sums: Mapping[tuple[str, ...], float],
    labels: Labels = (),
) -> Metric:
    """Durations by range. `ranges`: for each labels' values, how many were in the range below each bound and no lower one."""
    family = HistogramMetricFamily(f"{NAMESPACE}_{name}", meaning, labels=list(labels))
    for values, counts in sorted(ranges.items()):
        family.add_metric(list(values), buckets_of(counts), sum_value=sums.get(values, 0.0))
    return family


def buckets_of(counts: Mapping[str, float]) -> list[tuple[str, float]]:
    """Counts by the upper bound of their range, added up as Prometheus has them; every range is there from the first on."""
    so_far = 0.0
    buckets = []
    every = dict.fromkeys((*map(str, DURATION_BOUNDS), "+Inf"), 0.0)
    for bound, count in sorted({**every, **counts}.items(), key=lambda item: float(item[0])):
        so_far += count
        buckets.append((bound, so_far))
    return buckets
