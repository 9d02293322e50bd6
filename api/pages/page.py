"""The pieces of an HTML page: numbers as text, tables, sections, and the style."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

from autorag.evaluation.paired import Interval
from autorag.metrics import METRICS
from autorag.objective import Objective, Slo
from autorag.ports import Trial
from autorag.space import Config

WIDE, NARROW = 800, 360
"""Widths of the two drawings of a chart, in pixels; the page shows the one that fits."""


def finite_metric(trial: Trial, name: str) -> float | None:
    """A metric that can be drawn."""
    value = trial.metrics.get(name, math.nan)
    return value if math.isfinite(value) else None


def slos_of(goal: Objective, name: str) -> list[Slo]:
    return [s for s in goal.slos if s.metric == name]


def bound_text(slo: Slo) -> str:
    return str(slo).replace("<=", "≤").replace(">=", "≥")


def near(bound: float, values: Sequence[float]) -> bool:
    """Whether a bound can be drawn without squeezing the values into a corner."""
    return min(values) / 3 <= bound <= max(values) * 3


def measured_cell(goal: Objective, name: str, trial: Trial) -> str:
    """A metric's value, with whether it holds its bounds."""
    text, slos = number_text(name, trial.metrics.get(name)), slos_of(goal, name)
    if not slos:
        return text
    if all(s.violation(trial.metrics) <= 0 for s in slos):
        return f'{text} <span class="good" title="holds">✓</span>'
    return f'{text} <span class="bad" title="violated">✗</span>'


def number_text(name: str, value: float | None, sign: str = "") -> str:
    """Three decimals for ratios, whole tokens, one decimal (more below 1) for the rest."""
    if value is None or not math.isfinite(value):
        return "—"
    size = math.floor(math.log10(abs(value))) if value else 0
    decimals = {"": 3, "tokens": 0}.get(METRICS[name].unit, max(1, 1 - size))
    return f"{value:{sign},.{decimals}f}".replace("-", "−")


def signed_text(name: str, value: float) -> str:
    return number_text(name, value, "+")


def percent_text(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def interval_text(name: str, gap: Interval) -> str:
    return f"{signed_text(name, gap.low)} … {signed_text(name, gap.high)}"


def knob_value(value: Any) -> str:
    if value is None:
        return "—"
    return f"{value:g}" if isinstance(value, float) else str(value)


def moved_knobs(before: Config, after: Config) -> list[str]:
    changed = before.changed(after).items()
    return [f"{knob} {knob_value(a)} → {knob_value(b)}" for knob, (a, b) in changed]


def code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def chips(texts: Iterable[str]) -> str:
    return f'<div class="chips">{"".join(map(code, texts)) or "—"}</div>'


def remark(text: str) -> str:
    return f'<p class="aside">{escape(text)}</p>'


def section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>\n"


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls by itself when it is wide; ``>`` before a heading aligns its column
    right. Cells are HTML."""
    sides = ['class="number"' if h.startswith(">") else "" for h in head]
    top = "".join(
        f'<th scope="col" {s}>{escape(h.removeprefix(">"))}</th>'
        for h, s in zip(head, sides, strict=True)
    )
    lines = (
        "".join(f"<td {s}>{cell}</td>" for cell, s in zip(row, sides, strict=True)) for row in rows
    )
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def figure(draw: Callable[[int], str]) -> str:
    """A chart drawn twice: for a wide page and for a narrow one."""
    return f'<div class="wide">{draw(WIDE)}</div><div class="narrow">{draw(NARROW)}</div>'


STYLE = """
:root { color-scheme: light dark; --bg: #fff; --ink: #1b2129; --soft: #5a6572; --line: #e1e5ea;
  --card: #f5f7f9; --good: #0b63a8; --bad: #b3420a; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #13171c; --ink: #e5e9ee; --soft: #9ba6b2; --line: #2c343d; --card: #1b2128;
    --good: #6db7f2; --bad: #f29d5c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.45rem; line-height: 1.4; font-weight: 500; margin: .75rem 0;
  padding: 1rem 1.25rem; background: var(--card); border-radius: 6px;
  border-left: 5px solid var(--soft); overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
h1.good { border-color: var(--good); } h1.bad { border-color: var(--bad); }
h1.good b { color: var(--good); } h1.bad b { color: var(--bad); }
h2 { font-size: 1.15rem; margin: 2.75rem 0 .25rem; }
.aside { color: var(--soft); font-size: .9rem; margin: .25rem 0 .75rem; overflow-wrap: anywhere; }
.good { color: var(--good); } h1.good, h1.bad { color: inherit; } .bad { color: var(--bad); }
.even { color: var(--soft); }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { font-size: .86em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .875rem;
  font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 500; border-bottom: 2px solid var(--line); }
th, td { padding: .4rem 1.1rem .4rem 0; vertical-align: baseline; white-space: nowrap; }
th.number, td.number { text-align: right; }
.chips, .why { white-space: normal; min-width: 10rem; overflow-wrap: anywhere; }
.because { color: var(--soft); font-size: .8rem; white-space: normal;
  min-width: 10rem; margin-top: .2rem; }
.chips { display: flex; flex-wrap: wrap; gap: .25rem; }
.chips code { background: var(--card); border-radius: 4px; padding: .05rem .35rem; }
td { border-bottom: 1px solid var(--line); }
pre { background: var(--card); border-radius: 6px; padding: 1rem; overflow-x: auto;
  font-size: .85rem; user-select: all; }
summary { cursor: pointer; color: var(--soft); margin: 1rem 0 .5rem; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; padding: 0;
  margin: .5rem 0; font-size: .875rem; color: var(--soft); }
.legend svg { margin-right: .35rem; vertical-align: -5px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.narrow { display: none; }
@media (max-width: 620px) {
  .wide { display: none; } .narrow { display: block; }
  h1 { font-size: 1.15rem; padding: .75rem 1rem; } dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .4rem; } }
"""
