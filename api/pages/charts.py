"""Charts as inline SVG for a page that loads nothing: no script, no font, no style from elsewhere.

A chart is drawn for a width in user units and scales down with its column; tooltips are ``<title>``
elements. Colours are the page's custom properties, so that a chart follows it into dark mode; a
point's kind is also told by its shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Literal

Point = tuple[float, float]
Kind = Literal["trial", "default", "recommended", "failed", "skipped"]

LOG_FROM = 10.0  # the factor that values must span for a logarithmic axis
ROOM = 0.07  # the share of the range left free at both ends of an axis

STYLE = """
svg.chart { display: block; width: 100%; height: auto; font-size: 12.5px; fill: var(--soft); }
svg .grid { stroke: var(--line); }
svg .label { fill: var(--ink); font-weight: 600; }
svg .label, svg .bound-label { paint-order: stroke; stroke: var(--bg); stroke-width: 4px; }
svg .path { fill: none; stroke: var(--good); stroke-width: 1.5; opacity: .7; }
svg .bound { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 5 4; }
svg .bound-label { fill: var(--bad); }
svg .mark { stroke-width: 1.8; stroke-linejoin: round; pointer-events: all; fill: none; }
svg .trial.ok { fill: var(--good); fill-opacity: .55; stroke: var(--good); }
svg .default.ok { fill: var(--ink); stroke: var(--ink); }
svg .recommended.ok { fill: var(--good); stroke: var(--ink); stroke-width: 1.2; }
svg .bad { fill: var(--bg); stroke: var(--bad); }
svg .mark.skipped { stroke: var(--soft); }
"""


@dataclass(frozen=True, slots=True)
class Axis:
    """A titled range of values, linear or logarithmic, ``low < high``; ``whole``: ticks are."""

    title: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def at(self, value: float) -> float:
        """Where a value lies between ``low`` (0) and ``high`` (1)."""
        low, high, v = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return (v - low) / (high - low)

    def ticks(self, most: int) -> list[float]:
        """Round values inside the range, about ``most`` of them."""
        return _log_ticks(self, most) if self.log else _linear_ticks(self, most)


@dataclass(frozen=True, slots=True)
class Mark:
    """One point of a plot. ``y`` None pins it to the floor; ``ok`` False draws it hollow."""

    x: float
    y: float | None
    kind: Kind
    tip: str
    ok: bool = True
    label: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """A dashed line across the plot at a value of one axis."""

    axis: Literal["x", "y"]
    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Beside:
    """A second reading of the y axis, on the right: at which of its values stands what."""

    title: str
    labels: Sequence[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Plot:
    """The frame of a plot: user units from axis values; ``margin`` is what it leaves free on the
    right."""

    x: Axis
    y: Axis
    width: int
    height: int
    left: float = 56.0
    top: float = 28.0
    margin: float = 14.0

    @property
    def right(self) -> float:
        return self.width - self.margin

    @property
    def floor(self) -> float:
        return self.height - 46.0

    def px(self, value: float) -> float:
        return self.left + self.x.at(value) * (self.right - self.left)

    def py(self, value: float | None) -> float:
        if value is None:
            return self.floor - 11
        return self.floor - self.y.at(value) * (self.floor - self.top)


def axis_over(title: str, values: Iterable[float], *, may_log: bool = False) -> Axis:
    """An axis that holds these values with room at both ends; equal values get some too."""
    found = [v for v in values if math.isfinite(v)] or [0.0]
    low, high = min(found), max(found)
    if may_log and low > 0 and high / low > LOG_FROM:
        room = (high / low) ** ROOM
        return Axis(title, low / room, high * room, log=True)
    room = (high - low) * ROOM or abs(high) * 0.1 or 1.0
    return Axis(title, low - room, high + room)


def staircase(points: Sequence[Point], end: float | None = None) -> list[Point]:
    """The line that keeps each point's height until the next point, and the last one to ``end``."""
    corners = list(points[:1])
    for (_, before), (x, y) in pairwise(points):
        corners += [(x, before), (x, y)]
    if corners and end is not None:
        corners.append((end, corners[-1][1]))
    return corners


def scatter(
    x: Axis,
    y: Axis,
    marks: Sequence[Mark],
    *,
    name: str,
    width: int,
    line: Sequence[Point] = (),
    bounds: Sequence[Bound] = (),
    beside: Beside | None = None,
) -> str:
    """Points over two axes with a line through some and bounds across."""
    plot = Plot(x, y, width, 380 if width > 500 else 320, margin=56.0 if beside else 14.0)
    last = sorted(marks, key=lambda m: m.kind in ("default", "recommended"))
    shapes = [_shape(m.kind, m.ok, plot.px(m.x), plot.py(m.y), m.tip) for m in last]
    labels = [_label(plot, m) for m in last if m.label]
    drawn = [_bound(plot, b) for b in bounds]
    frame = [*grid(plot), *(_beside(plot, beside) if beside else ())]
    return svg(name, width, plot.height, [*frame, *drawn, _path(plot, line), *shapes, *labels])


def legend(entries: Iterable[tuple[Kind, bool, str]]) -> str:
    """The marks with their meaning, as a list."""
    items = (
        f'<li><svg width="20" height="20" aria-hidden="true">{_shape(kind, ok, 10, 10, "")}</svg>'
        f"{escape(text)}</li>"
        for kind, ok, text in entries
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def svg(name: str, width: float, height: float, parts: Iterable[str]) -> str:
    """A drawing of these parts that scales down with its column."""
    box = f"0 0 {width:g} {height:g}"
    head = f'<svg class="chart" viewBox="{box}" role="img" aria-label="{escape(name)}">'
    return head + "".join(parts) + "</svg>"


def svg_text(x: float, y: float, text: str, css: str = "", anchor: str = "start") -> str:
    """A line of text."""
    style = f'class="{css}" text-anchor="{anchor}"'
    return f'<text {style} x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def svg_line(start: Point, end: Point, css: str) -> str:
    """A straight line."""
    (x1, y1), (x2, y2) = start, end
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def grid(plot: Plot) -> list[str]:
    """Grid lines, tick labels and axis titles."""
    parts = [svg_text(0, 14, plot.y.title)]
    for value in plot.y.ticks(6):
        y = plot.py(value)
        parts.append(svg_line((plot.left, y), (plot.right, y), "grid"))
        parts.append(svg_text(plot.left - 8, y + 4, f"{value:.6g}", "", "end"))
    for value in plot.x.ticks(plot.width // 80):
        x = plot.px(value)
        parts.append(svg_line((x, plot.floor), (x, plot.top), "grid"))
        parts.append(svg_text(x, plot.floor + 18, f"{value:.6g}", "", "middle"))
    title = plot.x.title + (", log scale" if plot.x.log else "")
    return [*parts, svg_text(plot.right, plot.floor + 38, title, "", "end")]


def _beside(plot: Plot, beside: Beside) -> list[str]:
    ticks = [svg_text(plot.right + 8, plot.py(value) + 4, label) for value, label in beside.labels]
    return [svg_text(plot.width, 14, beside.title, "", "end"), *ticks]


def _path(plot: Plot, points: Sequence[Point]) -> str:
    corners = " ".join(f"{plot.px(x):.1f},{plot.py(y):.1f}" for x, y in points)
    return f'<polyline class="path" points="{corners}"/>' if points else ""


def _bound(plot: Plot, bound: Bound) -> str:
    if bound.axis == "y":
        y = plot.py(bound.value)
        label = svg_text(plot.left + 4, y - 5, bound.label, "bound-label")
        return svg_line((plot.left, y), (plot.right, y), "bound") + label
    x = plot.px(bound.value)
    anchor, shift = ("end", -6) if plot.x.at(bound.value) > 0.5 else ("start", 6)
    label = svg_text(x + shift, plot.floor - 8, bound.label, "bound-label", anchor)
    return svg_line((x, plot.floor), (x, plot.top), "bound") + label


def _label(plot: Plot, mark: Mark) -> str:
    """The recommended one's above its point, the default's below, so that they never collide."""
    at = plot.x.at(mark.x)
    anchor = "start" if at < 0.15 else "end" if at > 0.85 else "middle"
    lift = 20 if mark.kind == "default" else -12
    return svg_text(plot.px(mark.x), plot.py(mark.y) + lift, mark.label, "label", anchor)


def _shape(kind: Kind, ok: bool, x: float, y: float, tip: str) -> str:
    css = f'class="mark {kind} {"ok" if ok else "bad"}"'
    title = f"<title>{escape(tip)}</title>" if tip else ""
    if kind == "trial":
        return f'<circle {css} cx="{x:.1f}" cy="{y:.1f}" r="4.5">{title}</circle>'
    corners = " ".join(f"{a} {x + dx:.1f} {y + dy:.1f}" for a, dx, dy in _OUTLINES[kind])
    closed = "" if kind in ("failed", "skipped") else " Z"
    return f'<path {css} d="{corners}{closed}">{title}</path>'


def _star(points: int, outer: float, inner: float) -> list[tuple[str, float, float]]:
    polar = [((outer, inner)[i % 2], math.pi * i / points) for i in range(2 * points)]
    return [
        ("L" if i else "M", r * math.sin(a), -r * math.cos(a)) for i, (r, a) in enumerate(polar)
    ]


_OUTLINES: dict[Kind, list[tuple[str, float, float]]] = {
    "default": [("M", 0, -7), ("L", 7, 0), ("L", 0, 7), ("L", -7, 0)],
    "recommended": _star(5, 9.0, 4.2),
    "failed": [("M", -4, -4), ("L", 4, 4), ("M", 4, -4), ("L", -4, 4)],
    "skipped": [("M", -5, 0), ("L", 5, 0)],
}


def _linear_ticks(axis: Axis, most: int) -> list[float]:
    span = axis.high - axis.low
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= most)
    step = max(step, 1.0) if axis.whole else step
    first, last = math.ceil(axis.low / step), math.floor(axis.high / step)
    return [i * step for i in range(first, last + 1)]


def _log_ticks(axis: Axis, most: int) -> list[float]:
    low, high = math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high))
    for multiples in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**power for power in range(low, high + 1) for m in multiples]
        inside = [t for t in ticks if axis.low <= t <= axis.high]
        if len(inside) <= most:
            break
    return inside
