"""Pages in Prometheus's text format, and what happened between two of them.

Counters and histograms grow since the server started; what counts is how much they grew. When one
of them fell, the server has restarted, and what it counted since then is what there is.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from autorag.errors import InputError
from collectors.model_servers.observations import Durations, Kind

Labels = frozenset[tuple[str, str]]
START_TIME = "process_start_time_seconds"


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was read.

    Attributes:
        at: seconds on a clock that never goes back.
        series: name → labels → value; what is not a number is left out.
        cumulative: names of series that only grow.
    """

    server: Kind
    at: float
    series: Mapping[str, Mapping[Labels, float]]
    cumulative: frozenset[str]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Observations by size.

    Attributes:
        counts: upper bound → observations up to it; several, the last one infinite.
        total: sum of all observations.
    """

    counts: Mapping[float, float]
    total: float

    @property
    def count(self) -> float:
        return self.counts[math.inf]

    def quantile(self, q: float) -> float:
        """As Prometheus's ``histogram_quantile``: observations are spread evenly over their bucket,
        the first of which begins at 0; of the infinite one, its lower bound is all that is known.
        https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
        """
        rank = q * self.count
        low, below = min(0.0, *self.counts), 0.0
        for high, up_to in sorted(self.counts.items()):
            if up_to >= rank and up_to > below and math.isfinite(high):
                return low + (high - low) * (rank - below) / (up_to - below)
            if math.isfinite(high):
                low, below = high, up_to
        return low

    def durations(self) -> Durations | None:
        """Of seconds; None without observations."""
        if self.count <= 0:
            return None
        mean_s, p50_s, p95_s = self.total / self.count, self.quantile(0.5), self.quantile(0.95)
        return Durations(round(self.count), mean_s * 1e3, p50_s * 1e3, p95_s * 1e3)


@dataclass(frozen=True, slots=True)
class Window:
    """What happened between two pages of a server, or since it started."""

    later: Page
    earlier: Page | None

    @classmethod
    def between(cls, later: Page, earlier: Page | None) -> Window:
        """The window; since the start when the server restarted in between."""
        if earlier is not None and earlier.at >= later.at:
            raise InputError("the earlier page is not earlier", key="earlier", value=earlier.at)
        return cls(later, None if earlier is None or restarted(later, earlier) else earlier)

    @property
    def seconds(self) -> float | None:
        return None if self.earlier is None else self.later.at - self.earlier.at

    def gauge(self, *names: str) -> float | None:
        """The sum over the server's engines now, by the first of these names that it knows."""
        found = self._now(names)
        return sum(found.values()) if found else None

    def mean_gauge(self, *names: str) -> float | None:
        """The mean over the server's engines now."""
        found = self._now(names)
        return sum(found.values()) / len(found) if found else None

    def counted(self, *names: str) -> float | None:
        """How much a counter grew, over all its series."""
        for name in names:
            if self.later.series.get(name):
                return sum(self._growth(name).values())
        return None

    def histogram(self, *names: str) -> Histogram | None:
        """The observations of the window, over all series."""
        for name in names:
            counts: dict[float, float] = {}
            for labels, grown in self._growth(f"{name}_bucket").items():
                bound = float(dict(labels)["le"])
                counts[bound] = counts.get(bound, 0.0) + grown
            if len(counts) > 1 and math.inf in counts:
                return Histogram(counts, sum(self._growth(f"{name}_sum").values()))
        return None

    def _now(self, names: tuple[str, ...]) -> Mapping[Labels, float]:
        found = (self.later.series[n] for n in names if self.later.series.get(n))
        return next(found, {})

    def _growth(self, name: str) -> dict[Labels, float]:
        before = self.earlier.series.get(name, {}) if self.earlier is not None else {}
        now = self.later.series.get(name, {})
        return {labels: value - before.get(labels, 0.0) for labels, value in now.items()}


def parse_page(text: str, server: Kind, at: float) -> Page:
    """Read a page.

    Raises:
        ValueError: it is not one.
    """
    from prometheus_client.parser import text_string_to_metric_families

    series: dict[str, dict[Labels, float]] = {}
    cumulative = set()
    try:
        families = list(text_string_to_metric_families(text))
    except IndexError as error:  # the parser's, on some of what is no page
        raise ValueError(str(error)) from error
    for family, sample in ((f, s) for f in families for s in f.samples):
        if math.isfinite(sample.value):
            labels = frozenset(sample.labels.items())
            if sample.name.endswith("_bucket"):
                float(sample.labels.get("le", ""))
            series.setdefault(sample.name, {})[labels] = sample.value
            if family.type in ("counter", "histogram"):
                cumulative.add(sample.name)
    return Page(server, at, series, frozenset(cumulative))


def restarted(later: Page, earlier: Page) -> bool:
    """Whether the server started anew: it says so, or something that only grows fell."""
    starts = [page.series.get(START_TIME, {}) for page in (earlier, later)]
    if all(starts) and starts[0] != starts[1]:
        return True
    return any(
        value < earlier.series.get(name, {}).get(labels, -math.inf)
        for name in later.cumulative
        for labels, value in later.series[name].items()
    )
