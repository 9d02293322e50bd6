"""The page of a profile: one file, every stage labelled and legible, the unknown drawn as such."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.pages.charts import Plot
from api.pages.roofline import note_text, render_profile, size_text, spread_text, value_text
from api.pages.roofline_chart import Box, _label, _plot, _stage_labels
from autorag.hardware import FIGURES, Gpu, HardwareProfile, Rate
from models.analytic.roofline import StagePoint, roofs, stage_points
from tests.autorag.machines import profile


class Page(HTMLParser):
    """Checks that tags are closed in order and collects text by element class."""

    VOID = frozenset({"meta", "circle", "line", "polyline", "path", "rect", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.loads: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [f"{tag} {k}" for k, _ in attrs if k in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def without(figure: str) -> HardwareProfile:
    whole = profile()
    rates = {f: r for f, r in whole.rates.items() if f != figure}
    return replace(whole, rates=rates, missing={figure: "no <such> thing"})


def test_the_page_loads_nothing() -> None:
    text = render_profile(profile())
    page = Page(text)
    assert page.loads == []
    assert "<script" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_it_tells_stages_figures_machine_and_gaps() -> None:
    text = " ".join(Page(render_profile(profile())).texts)
    for point in stage_points(profile()):
        assert point.stage in text
    for info in FIGURES.values():
        assert info.meaning in text
    assert "Example CPU <3>" in text
    assert "NVML: none" in text
    assert "2 usable cores" in text


def test_names_of_the_machine_are_escaped() -> None:
    assert "<3>" not in render_profile(profile())
    assert "<such>" not in render_profile(without("bm25_postings_s"))


def test_a_stage_says_which_share_of_its_roof_it_attains() -> None:
    text = render_profile(profile())
    assert "flat scan 75%" in text  # 24 of 32 GB/s


def test_what_was_not_measured_is_drawn_hollow_and_said() -> None:
    text = render_profile(without("bm25_postings_s"))
    assert "BM25 (not measured)" in text
    assert text.count('class="stage unknown') == 1


@pytest.mark.parametrize("figure", FIGURES)
def test_any_figure_may_be_missing(figure: str) -> None:
    Page(render_profile(without(figure)))


def test_without_any_roof_there_is_no_plot() -> None:
    text = render_profile(replace(profile(), rates={}))
    assert "<svg" not in text
    Page(text)


def test_a_busy_machine_is_told() -> None:
    whole = profile()
    disturbed = replace(whole.rates["copy_one_gb_s"], busy=True, pressure=0.6, passes=3)
    text = render_profile(replace(whole, rates={**whole.rates, "copy_one_gb_s": disturbed}))
    assert "The machine was busy: 1 of" in text
    assert "measured 3 times, busy 60%" in text
    assert "busy" not in render_profile(whole)


def test_a_gpu_is_told_by_what_is_known_of_it() -> None:
    identity = replace(profile().identity, gpus=(Gpu(name="Some GPU", memory_mb=16e3),))
    text = render_profile(replace(profile(), identity=identity))
    assert "Some GPU" in text
    assert "memory_mb 16000" in text
    assert "power_limit_w" not in text


def labels(points: list[StagePoint], plot: Plot, known: HardwareProfile) -> list[Box]:
    """Where labels stand, by their text, place and anchor."""
    boxes = []
    found = "".join(_stage_labels(plot, points, list(roofs(known).values())))
    pattern = r'text-anchor="(\w+)" x="([\d.-]+)" y="([\d.-]+)">([^<]+)<'
    for anchor, x, y, text in re.findall(pattern, found):
        width = 6.0 * len(text)
        left = float(x) - {"start": 0, "middle": width / 2, "end": width}[anchor]
        boxes.append(Box(left, float(y) - 9, left + width, float(y) + 2))
    return boxes


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.5, 2.0), min_size=len(FIGURES), max_size=len(FIGURES)))
def test_labels_do_not_cover_each_other(factors: list[float]) -> None:
    """On machines like this one, with every figure up to twice as high or low."""
    whole = profile()
    rates = {
        name: replace(rate, median=rate.median * factor)
        for (name, rate), factor in zip(whole.rates.items(), factors, strict=True)
    }
    other = replace(whole, rates=rates)
    points = stage_points(other)
    plot = _plot(list(roofs(other).values()), points)
    boxes = labels(points, plot, other)
    assert len(boxes) == len(points)
    covered = sum(a.meets(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    assert covered == 0
    assert all(plot.left <= b.left and b.right <= plot.right for b in boxes)


def test_a_label_is_short() -> None:
    assert max(len(_label(p)) for p in stage_points(profile())) <= 24


@pytest.mark.parametrize(
    ("value", "text"),
    [(5.0e8, "500,000,000"), (95.49, "95.5"), (0.05, "0.05"), (175.2, "175"), (3550.0, "3,550")],
)
def test_values(value: float, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize(("value", "text"), [(24.0, "24"), (1540.0, "1.54 k"), (6.9e8, "690 M")])
def test_sizes(value: float, text: str) -> None:
    assert size_text(value) == text


def test_notes_and_spreads() -> None:
    assert spread_text(Rate(1.0, None, "s", 1)) == "—"
    assert spread_text(Rate(1.0, 0.051, "s", 7)) == "5.1%"
    assert note_text(Rate(1.0, 0.1, "s", 7, 0.5, 2, True, "n = 2")) == (
        "n = 2, measured 2 times, busy 50%"
    )
    assert note_text(Rate(1.0, 0.1, "s", 7)) == ""
