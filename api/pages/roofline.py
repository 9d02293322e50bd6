"""The page of a hardware profile: roofline plot, stages, figures, identity. It loads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from html import escape
from typing import Any

from api.pages import charts, roofline_chart
from api.pages.page import STYLE, html_table, remark, section
from api.pages.roofline_chart import roofline_chart as draw
from api.pages.roofline_chart import stage_mark
from autorag.hardware import FIGURES, HardwareProfile, Rate
from models.analytic.roofline import Numbers, Span, StagePoint, roofs, stage_points

LEGEND: tuple[tuple[Numbers, Span, str], ...] = (
    ("f32", "one", "float32, one core"),
    ("f32", "all", "float32, all usable cores"),
    ("int8", "one", "int8, one core"),
)


def render_profile(profile: HardwareProfile) -> str:
    """The profile as one self-contained page."""
    known = roofs(profile)
    points = stage_points(profile)
    latency = profile.value("random_access_ns")
    body = [f"<h1>{_headline(profile)}</h1>", _busy(profile)]
    if known:
        chart = draw(known.values(), points, latency)
        plot = f'<div class="scroll"><div style="min-width: 640px">{chart}</div></div>'
        body.append(section("Stages under the machine's roofs", plot + _legend() + _reading()))
        body.append(section("Stages", _stage_table(points)))
    body.append(section("Figures", figure_table(profile)))
    body.append(section("Machine", _identity(profile)))
    if profile.missing:
        rows = [[escape(name), escape(why)] for name, why in profile.missing.items()]
        body.append(section("What could not be had", html_table(["", "why"], rows)))
    style = f"{STYLE}{charts.STYLE}{roofline_chart.STYLE}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>AutoRAG hardware profile</title><style>{style}</style></head>\n"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def spread_text(rate: Rate) -> str:
    """The spread in percent."""
    return "—" if rate.spread is None else f"{rate.spread:.1%}"


def note_text(rate: Rate) -> str:
    """What must be known to read a figure, in one line."""
    again = f"measured {rate.passes} times" if rate.passes > 1 else ""
    busy = f"busy {rate.pressure:.0%}" if rate.busy else ""
    return ", ".join(part for part in (rate.note, again, busy) if part)


def value_text(value: float) -> str:
    """Three significant digits, and none lost before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def size_text(value: float) -> str:
    """A count with a decimal prefix."""
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"


def figure_table(profile: HardwareProfile) -> str:
    """Every figure that was measured."""
    rows = [
        [
            escape(FIGURES[name].meaning),
            value_text(rate.median),
            escape(rate.unit),
            spread_text(rate),
            str(rate.repeats),
            escape(note_text(rate)),
        ]
        for name, rate in profile.rates.items()
    ]
    return html_table(["", ">median", "unit", ">spread", ">repeats", "note"], rows)


def _headline(profile: HardwareProfile) -> str:
    identity = profile.identity
    name = escape(identity.cpu_model or identity.architecture)
    memory = f", {identity.memory_mb / 1e3:.0f} GB" if identity.memory_mb else ""
    gpus = "".join(f", {escape(g.name or 'a GPU')}" for g in identity.gpus)
    return f"<b>{name}</b>: {identity.usable_cores} usable cores{memory}{gpus}"


def _busy(profile: HardwareProfile) -> str:
    if not profile.busy:
        return ""
    busy = sum(r.busy for r in profile.rates.values())
    return remark(
        f"The machine was busy: {busy} of {len(profile.rates)} figures were measured while "
        "something else wanted the CPU, also when measured again. They are lower than they should "
        "be."
    )


def _legend() -> str:
    items = (
        f'<li><svg class="chart" style="display:inline; width:20px" width="20" height="20" '
        f'viewBox="0 0 20 20" aria-hidden="true">{stage_mark(numbers, span, 10, 10)}</svg>'
        f"{text}</li>"
        for numbers, span, text in LEGEND
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _reading() -> str:
    return remark(
        "A mark is what a stage attains, the tick above it what its roof allows: intensity times "
        "memory bandwidth, or the peak. Left of the ridge memory is the bound, right of it "
        "arithmetic. Attention counts the bytes of Q, K, V and O, never the L×L matrix. Stages of "
        "a query run on one core, as in the default config; documents (embed 32: of 32 tokens) are "
        "embedded on all."
    )


def _stage_table(points: list[StagePoint]) -> str:
    head = ["stage", "roof", ">operations", ">bytes", ">op/byte", ">attained", ">attainable"]
    rows = [
        [
            f"{escape(p.stage)}, a {escape(p.unit)}",
            f"{p.roof.numbers}, {roofline_chart.CORES[p.roof.span]}",
            size_text(p.work.operations),
            size_text(p.work.bytes),
            f"{p.work.intensity:.3g}",
            "—" if p.attained_gops is None else f"{p.attained_gops:.3g}",
            f"{p.attainable_gops:.3g}",
            "—" if p.attained_gops is None else f"{p.attained_gops / p.attainable_gops:.0%}",
            p.bound,
        ]
        for p in points
    ]
    return html_table([*head, ">share", "bound by"], rows) + remark(
        "Attained and attainable in GOP/s (float32: GFLOP/s)."
    )


def _identity(profile: HardwareProfile) -> str:
    items = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in identity_rows(profile)
    )
    return f"<dl>{items}</dl>"


def identity_rows(profile: HardwareProfile) -> Iterator[tuple[str, str]]:
    """What the machine is, as names and texts; what is unknown is left out."""
    i = profile.identity
    yield "CPU", i.cpu_model or i.architecture
    quota = "" if i.cpu_quota is None else f", quota {i.cpu_quota:g}"
    yield "cores", f"{i.usable_cores} usable (affinity {i.affinity_cores}{quota})"
    if i.memory_mb is not None:
        yield "memory", f"{i.memory_mb / 1e3:.1f} GB usable"
    if i.isa:
        yield "instruction sets", " ".join(i.isa)
    for cache in i.caches:
        yield f"L{cache.level} {cache.kind}", f"{cache.instances} × {cache.kb:,} KB"
    for gpu in i.gpus:
        known = {k: v for k, v in asdict(gpu).items() if v is not None and k != "name"}
        yield gpu.name or "GPU", ", ".join(f"{k} {_short(v)}" for k, v in known.items())
    yield "kernel", i.kernel
    yield "software", ", ".join(f"{name} {version}" for name, version in i.software.items())
    yield "fingerprint", profile.fingerprint


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
