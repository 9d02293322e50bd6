"""Bar charts as inline SVG; see ``charts`` for what they share with plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Literal

from api.pages.charts import svg, svg_text
from api.pages.page import percent_text

Series = Literal["default", "recommended"]

LETTER = 7.0
"""User units that a letter of a label takes, about."""

STYLE = """
svg .value, svg .group { fill: var(--ink); }
svg .group { font-weight: 600; }
svg .bar { fill: var(--soft); }
svg .bar.of-recommended, svg .bar.share { fill: var(--good); }
svg .bar.p95, svg .bar.rest { opacity: .4; }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """p50 and p95 in ms of one series in one group; None when it did not run."""

    group: str
    series: Series
    times: tuple[float, float] | None


def stage_bars(bars: Sequence[Bar], *, name: str, width: int) -> str:
    """Horizontal bars, p50 solid over p95 pale, with both numbers behind them."""
    left, tail = 112.0, 112.0
    longest = max((b.times[1] for b in bars if b.times), default=0.0) or 1.0
    scale = (width - left - tail) / longest
    parts, at = [], 0.0
    for group, series in groupby(bars, key=lambda b: b.group):
        parts.append(svg_text(0, at + 14, group, "group"))
        for bar in series:
            at += 22
            parts.append(_times(bar, left, at, scale))
        at += 34
    return svg(name, width, at, parts)


def share_bars(
    shares: Mapping[str, float], rest: Mapping[str, float], *, name: str, width: int
) -> str:
    """A horizontal bar a share, and pale ones for the rest."""
    rows = [*shares.items(), *rest.items()]
    left = LETTER * max(len(label) for label, _ in rows) + 8
    scale = (width - left - 52) / max(share for _, share in rows)
    parts = []
    for i, (label, share) in enumerate(rows):
        top, css = i * 24.0, "share" if i < len(shares) else "rest"
        parts.append(svg_text(left - 8, top + 14, label, anchor="end"))
        size = f'y="{top + 2:.1f}" width="{share * scale:.1f}" height="16" rx="2"'
        parts.append(f'<rect class="bar {css}" x="{left:.1f}" {size}></rect>')
        parts.append(svg_text(left + share * scale + 8, top + 14, percent_text(share), "value"))
    return svg(name, width, 24 * len(rows), parts)


def _times(bar: Bar, left: float, top: float, scale: float) -> str:
    parts = [svg_text(left - 8, top + 14, bar.series, anchor="end")]
    if bar.times is None:
        return parts[0] + svg_text(left + 4, top + 14, "not run")
    for quantile, ms in zip(("p95", "p50"), reversed(bar.times), strict=True):
        size = f'x="{left:.1f}" y="{top + 2:.1f}" width="{ms * scale:.1f}" height="16" rx="2"'
        tip = f"{bar.group}, {bar.series}: {quantile} {ms:.3g} ms"
        css = f"bar of-{bar.series} {quantile}"
        parts.append(f'<rect class="{css}" {size}><title>{escape(tip)}</title></rect>')
    p50, p95 = bar.times
    end = left + p95 * scale + 8
    return "".join([*parts, svg_text(end, top + 14, f"{p50:.3g} / {p95:.3g} ms", "value")])
