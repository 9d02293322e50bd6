"""The roofline plot: roofs of one core and of all, and the pipeline's stages under them.

Both axes are logarithmic. A stage's mark is what it attains; the thin line above it ends where its
roof is. Labels are placed one after the other, each around its mark where it covers least.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from api.pages.charts import Axis, Plot, Point, grid, svg, svg_line, svg_text
from models.analytic.roofline import Numbers, Roof, Span, StagePoint

WIDTH, HEIGHT = 900, 580
MARGIN = 110
"""Room for the peaks' labels, right of the plot."""

LETTER, LINE = 7.3, 14.0
"""Width of a letter and height of a line of text, in user units."""

FIRM = 10
"""What covering a mark or another stage's label costs, against 1 for a roof's line."""

MOST_STEPS = 9
"""Steps of 0.8 lines that a label may stand above or below its mark."""

CACHE_LINE_BYTES = 64
CORES: Mapping[Span, str] = {"one": "one core", "all": "all cores"}

STYLE = """
:root { --one: #0b63a8; --all: #a3470a; }
@media (prefers-color-scheme: dark) { :root { --one: #6db7f2; --all: #f0a060; } }
svg .roof { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .roof.int8 { stroke-dasharray: 7 4; }
svg .one { stroke: var(--one); } svg .all { stroke: var(--all); }
svg .random { stroke: var(--soft); stroke-width: 1.4; stroke-dasharray: 2 4; }
svg text.roof-label { stroke: none; font-size: 12px; }
svg text.one { fill: var(--one); stroke: none; } svg text.all { fill: var(--all); stroke: none; }
svg .gap { stroke-width: 1.2; opacity: .45; }
svg .stage { stroke-width: 1.5; pointer-events: all; }
svg .stage.one { fill: var(--one); } svg .stage.all { fill: var(--all); }
svg .stage.unknown { fill: var(--bg); }
svg text.stage-label { fill: var(--ink); font-size: 12.5px; paint-order: stroke;
  stroke: var(--bg); stroke-width: 3px; }
"""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle that is taken."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def within(self, plot: Plot) -> bool:
        across = plot.left <= self.left and self.right <= plot.right
        return across and plot.top <= self.top and self.bottom <= plot.floor


def roofline_chart(
    roofs: Iterable[Roof], points: Sequence[StagePoint], random_access_ns: float | None
) -> str:
    """The plot as SVG; there is at least one roof."""
    drawn = list(roofs)
    plot = _plot(drawn, points)
    lowest = min(roof.peak_gops for roof in drawn)
    low = [_random_roof(plot, random_access_ns, lowest)] if random_access_ns else []
    parts = [
        *grid(plot),
        *low,
        *(_roof(plot, roof) for roof in drawn),
        *_peak_labels(plot, drawn),
        *_memory_labels(plot, drawn),
        *_stage_labels(plot, points, drawn),
        *(_stage(plot, p) for p in points),
    ]
    return svg("Roofline with the pipeline's stages", WIDTH, plot.height, parts)


def stage_mark(numbers: Numbers, span: Span, x: float, y: float, tip: str = "") -> str:
    """A disc for float32, a diamond for int8."""
    title = f"<title>{escape(tip)}</title>" if tip else ""
    css = f'class="stage {span}"'
    if numbers == "f32":
        return f'<circle {css} cx="{x:.1f}" cy="{y:.1f}" r="5">{title}</circle>'
    corners = f"M {x:.1f} {y - 6.5:.1f} l 6.5 6.5 l -6.5 6.5 l -6.5 -6.5 Z"
    return f'<path {css} d="{corners}">{title}</path>'


def tip_of(point: StagePoint) -> str:
    """What a mark says when pointed at."""
    work = f"{point.stage}: {point.work.intensity:.3g} operations/byte"
    best = f"{point.attainable_gops:.3g} GOP/s attainable, bound by {point.bound}"
    got = point.attained_gops
    return f"{work}; {best}" + ("; not measured" if got is None else f"; {got:.3g} attained")


def _plot(roofs: Sequence[Roof], points: Sequence[StagePoint]) -> Plot:
    across = [p.work.intensity for p in points] + [2 * r.ridge for r in roofs]
    up = [r.peak_gops for r in roofs] + [_height(p) for p in points]
    x = Axis("operations a byte", min(across) / 2, max(across) * 2.5, log=True)
    y = Axis("GOP/s, log scale", min(up) / 3, max(up) * 2.2, log=True)
    return Plot(x, y, WIDTH - MARGIN, HEIGHT)


def _height(point: StagePoint) -> float:
    """Where the mark stands: what is attained, or the roof where that is unknown."""
    return point.attainable_gops if point.attained_gops is None else point.attained_gops


def _roof(plot: Plot, roof: Roof) -> str:
    return _polyline(plot, _corners(plot, roof), f"roof {roof.numbers} {roof.span}")


def _corners(plot: Plot, roof: Roof) -> list[Point]:
    """From where memory's slope enters the plot, over the ridge, to the right."""
    start = max(plot.x.low, plot.y.low / roof.bandwidth_gb_s)
    return [
        (start, start * roof.bandwidth_gb_s),
        (roof.ridge, roof.peak_gops),
        (plot.x.high, roof.peak_gops),
    ]


def _random_roof(plot: Plot, random_access_ns: float, peak_gops: float) -> str:
    """What one core gets that waits for every cache line it needs, up to the peak."""
    bandwidth = CACHE_LINE_BYTES / random_access_ns
    ends = [max(plot.x.low, plot.y.low / bandwidth), min(plot.x.high, peak_gops / bandwidth)]
    if ends[0] >= ends[1]:
        return ""
    line = _polyline(plot, [(x, x * bandwidth) for x in ends], "roof random")
    text = f"one cache line after the other, {random_access_ns:.0f} ns each"
    at = math.sqrt(ends[0] * ends[1])
    return line + _along_slope(plot, (at, at * bandwidth), text, "roof-label", 16)


def _polyline(plot: Plot, points: Sequence[Point], css: str) -> str:
    corners = " ".join(f"{plot.px(x):.1f},{plot.py(y):.1f}" for x, y in points)
    return f'<polyline class="{css}" points="{corners}"/>'


def _peak_labels(plot: Plot, roofs: Sequence[Roof]) -> Iterator[str]:
    """Right of the plot, two lines each at the height of its roof, moved down where they would
    cover each other."""
    free = 0.0
    for roof in sorted(roofs, key=lambda r: -r.peak_gops):
        y = max(plot.py(roof.peak_gops) - 2, free)
        free = y + 2.1 * LINE
        unit = "GFLOP/s" if roof.numbers == "f32" else "GOP/s"
        lines = (f"{roof.numbers}, {CORES[roof.span]}", f"{roof.peak_gops:.0f} {unit}")
        for number, text in enumerate(lines):
            at = y + number * LINE
            yield svg_text(plot.right + 10, at, text, f"roof-label {roof.span}")


def _memory_labels(plot: Plot, roofs: Sequence[Roof]) -> Iterator[str]:
    """Along the slopes; one core's under its line and that of all over it, as the two are close."""
    for span, roof in {r.span: r for r in roofs}.items():
        lowest = max(plot.x.low, plot.y.low / roof.bandwidth_gb_s)
        at = lowest**0.62 * min(r.ridge for r in roofs if r.span == span) ** 0.38
        text = f"memory, {CORES[span]}: {roof.bandwidth_gb_s:.0f} GB/s"
        shift = -7 if span == "all" else 16
        middle = (at, at * roof.bandwidth_gb_s)
        yield _along_slope(plot, middle, text, f"roof-label {span}", shift)


def _along_slope(plot: Plot, at: Point, text: str, css: str, shift: float) -> str:
    """Text along a line of constant bandwidth; ``shift`` is down from the line."""
    x, y = plot.px(at[0]), plot.py(at[1])
    angle = math.degrees(math.atan2(plot.py(at[1] * 10) - y, plot.px(at[0] * 10) - x))
    turned = f'<g transform="translate({x:.1f} {y:.1f}) rotate({angle:.1f})">'
    return turned + svg_text(0, shift, text, css, "middle") + "</g>"


def _stage(plot: Plot, point: StagePoint) -> str:
    x, y, span = plot.px(point.work.intensity), plot.py(_height(point)), point.roof.span
    mark = stage_mark(point.roof.numbers, span, x, y, tip_of(point))
    if point.attained_gops is None:
        return mark.replace('class="stage', 'class="stage unknown', 1)
    top = plot.py(point.attainable_gops)
    line = svg_line((x, y), (x, top), f"gap {span}")
    return line + svg_line((x - 5, top), (x + 5, top), f"gap {span}") + mark


def _stage_labels(plot: Plot, points: Sequence[StagePoint], roofs: Sequence[Roof]) -> Iterator[str]:
    """Each where it covers least, the nearest such place to its mark first: other labels and marks
    must not be covered, roofs should not."""
    firm, soft = [_around(plot, p) for p in points], list(_line_boxes(plot, points, roofs))
    for point in sorted(points, key=_height):
        text = _label(point)

        def cost(place: tuple[Box, str]) -> int:
            box = place[0]
            covered = FIRM * sum(map(box.meets, firm)) + sum(map(box.meets, soft))
            return covered + (0 if box.within(plot) else FIRM)

        box, anchor = min(_places(plot, point, len(text) * LETTER), key=cost)
        firm.append(box)
        x = {"start": box.left, "end": box.right, "middle": (box.left + box.right) / 2}[anchor]
        yield svg_text(x, box.bottom - 3, text, "stage-label", anchor)


def _label(point: StagePoint) -> str:
    if point.attained_gops is None:
        return f"{point.stage} (not measured)"
    return f"{point.stage} {point.attained_gops / point.attainable_gops:.0%}"


def _around(plot: Plot, point: StagePoint) -> Box:
    x, y = plot.px(point.work.intensity), plot.py(_height(point))
    return Box(x - 7, y - 7, x + 7, y + 7)


def _line_boxes(plot: Plot, points: Sequence[StagePoint], roofs: Sequence[Roof]) -> Iterator[Box]:
    """Thin ones along the peaks, and from marks to their roofs."""
    for roof in roofs:
        y = plot.py(roof.peak_gops)
        yield Box(plot.px(roof.ridge), y - 2, plot.right, y + 2)
    for point in points:
        x = plot.px(point.work.intensity)
        yield Box(x - 2, plot.py(point.attainable_gops), x + 2, plot.py(_height(point)))


def _places(plot: Plot, point: StagePoint, width: float) -> Iterator[tuple[Box, str]]:
    """Boxes for a label around its mark, the nearest first, with their anchors."""
    x, y = plot.px(point.work.intensity), plot.py(_height(point))
    for lines in (0.0, *(sign * 0.8 * step for step in range(1, MOST_STEPS) for sign in (1, -1))):
        top, bottom = y + (lines - 0.5) * LINE, y + (lines + 0.5) * LINE
        if abs(lines) > 1:
            yield Box(x - width / 2, top, x + width / 2, bottom), "middle"
        yield Box(x + 11, top, x + 11 + width, bottom), "start"
        yield Box(x - 11 - width, top, x - 11, bottom), "end"
