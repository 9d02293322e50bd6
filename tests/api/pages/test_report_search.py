"""What the report says of the search: progress, knobs, fronts, and why each trial was made."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.pages.report import render_report
from autorag.importance import Importance
from autorag.ports import Trial
from autorag.study import PROPOSED
from tests.api.pages.reports import (
    SLOS,
    SPACE,
    Page,
    a_failure,
    a_study,
    a_trial,
    check_sound,
    usual_trials,
)

FRONT = "pareto ndcg_at_10, latency_p95_ms"


def chart(page: str, name: str) -> str:
    """The drawing for a wide page."""
    found = re.search(rf'<svg class="chart"[^>]*aria-label="{name}".*?</svg>', page, re.S)
    assert found
    return found[0]


def line(drawing: str) -> list[tuple[float, float]]:
    """Corners of the line, in pixels: y grows downwards."""
    found = re.search(r'<polyline class="path" points="([^"]+)"', drawing)
    assert found
    corners = [corner.split(",") for corner in found[1].split()]
    return [(float(x), float(y)) for x, y in corners]


def proposed(trial: Trial, why: str, seconds: float) -> Trial:
    told = {"why": why, "gain": 0.01, "chance": 0.9, "seconds": seconds}
    return replace(trial, conditions={PROPOSED: told})


def a_front() -> list[Trial]:
    return [
        a_trial(0, 0.60, 10.0),
        a_trial(1, 0.50, 2.0, retrieve__mode="lexical"),
        a_trial(2, 0.75, 12.0, rerank__model="bm25"),
        a_trial(3, 0.80, 90.0, rerank__model="maxsim"),
        a_trial(4, 0.55, 80.0, chunk__tokens=64),
    ]


# -- progress -----------------------------------------------------------------------------------


def test_progress_is_the_best_that_holds_every_slo_over_seconds_of_measuring() -> None:
    page = render_report(a_study(usual_trials()))
    read = check_sound(page)
    assert "The last improvement came after 50 of 76 s of measuring." in read.text
    assert "The line is the best ndcg_at_10 that holds every SLO so far" in read.text
    drawing = chart(page, "best ndcg_at_10 so far over seconds")
    heights = [y for _, y in line(drawing)]
    assert heights == sorted(heights, reverse=True)
    assert len(set(heights)) == 4
    assert drawing.count('class="mark') == 4
    assert "recommended" in drawing
    assert ">regret<" in drawing
    assert "trial 5" not in drawing


def test_regret_reads_zero_at_the_best_and_grows_away_from_it() -> None:
    page = render_report(a_study(usual_trials()))
    drawing = chart(page, "best ndcg_at_10 so far over seconds")
    labels = re.findall(r'x="752.0" y="([\d.]+)">([\d.]+)<', drawing)
    ticks = [(float(value), float(y) - 4) for y, value in labels]
    assert ticks[0] == (0.0, pytest.approx(line(drawing)[-1][1], abs=0.2))
    assert [y for _, y in ticks] == sorted(y for _, y in ticks)


def test_of_what_is_to_be_small_the_line_goes_down() -> None:
    trials = [a_trial(0, 0.6, 40.0), a_trial(1, 0.7, 12.0, chunk__tokens=64)]
    page = render_report(a_study(trials, "min latency_p95_ms"))
    check_sound(page)
    heights = [y for _, y in line(chart(page, "best latency_p95_ms so far over seconds"))]
    assert heights == sorted(heights)


def test_seconds_that_span_decades_get_a_logarithmic_axis() -> None:
    trials = usual_trials()
    linear = chart(render_report(a_study(trials)), "best ndcg_at_10 so far over seconds")
    trials[0] = replace(trials[0], seconds=1.0)
    drawing = chart(render_report(a_study(trials)), "best ndcg_at_10 so far over seconds")
    assert "seconds of measuring, log scale" in drawing
    assert "seconds of measuring<" in linear


def test_before_any_trial_holds_every_slo_there_is_no_line() -> None:
    trials = [a_trial(0, 0.7, 55.0), a_trial(1, 0.65, 12.0, retrieve__mode="lexical")]
    page = render_report(a_study(trials))
    drawing = chart(page, "best ndcg_at_10 so far over seconds")
    assert len(set(line(drawing))) == 1
    assert 'class="mark default bad"' in drawing
    page = render_report(a_study(trials, "max ndcg_at_10 subject to latency_p95_ms <= 1"))
    assert "No trial holds every SLO: there is no best one to follow." in check_sound(page).text


def test_the_recommended_trial_is_marked_though_another_was_measured_better() -> None:
    study = a_study(usual_trials())
    chosen = replace(study.outcome, recommended=study.trials[2])
    page = render_report(replace(study, outcome=chosen))
    drawing = chart(page, "best ndcg_at_10 so far over seconds")
    assert drawing.count('class="mark recommended') == 1
    unlucky = [*usual_trials(), a_trial(8, 0.779, 12.0, chunk__tokens=64)]
    study = a_study(unlucky)
    page = render_report(
        replace(study, outcome=replace(study.outcome, recommended=study.trials[8]))
    )
    drawing = chart(page, "best ndcg_at_10 so far over seconds")
    assert drawing.count('class="mark recommended') == 1
    assert drawing.count('class="mark') == 5


def test_a_search_that_found_nothing_better_says_so() -> None:
    trials = [a_trial(0, 0.7), a_trial(1, 0.6, chunk__tokens=64)]
    assert (
        "Nothing was better than the default in 25 s" in Page(render_report(a_study(trials))).text
    )
    alone = Page(render_report(a_study(trials[:1])))
    assert "Only the default was measured." in alone.text


# -- knobs --------------------------------------------------------------------------------------


def test_the_knobs_that_mattered_are_bars_with_what_is_not_explained() -> None:
    shares = {"rerank.model": 0.5, "chunk.tokens": 0.2, "retrieve.k": 0.001}
    shares |= {f"knob.{i}": 0.01 for i in range(6)}
    study = replace(a_study(usual_trials()), importance=[Importance("ndcg_at_10", 40, shares)])
    read = check_sound(render_report(study))
    assert {
        "rerank.model",
        "50\N{NO-BREAK SPACE}%",
        "not explained",
        "24\N{NO-BREAK SPACE}%",
    } <= set(read.texts)
    assert "retrieve.k" not in read.texts
    assert "between 40 configs that each knob explains: 76\N{NO-BREAK SPACE}% in all" in read.text
    assert "It holds for this workload and these trials" in read.text


def test_where_trials_are_too_few_it_says_so_instead() -> None:
    read = check_sound(render_report(a_study(usual_trials())))
    assert "Not told: configs measured: 6; it takes 10 to tell knobs apart." in read.text
    assert "It holds for this workload" not in read.text


def test_of_two_metrics_each_has_its_own_knobs() -> None:
    told = [
        Importance("ndcg_at_10", 40, {"rerank.model": 0.9}),
        Importance("latency_p95_ms", 40, unknown="configs measured: 3"),
    ]
    read = check_sound(render_report(replace(a_study(a_front(), FRONT), importance=told)))
    assert "rerank.model" in read.texts
    assert "latency_p95_ms: configs measured: 3." in read.texts


# -- why ----------------------------------------------------------------------------------------


def test_each_trial_tells_why_it_was_made_and_what_it_was_expected_to_take() -> None:
    trials = usual_trials()
    trials[1] = proposed(trials[1], "ndcg_at_10 0.6 to 0.7 <expected>", 14.24)
    read = check_sound(render_report(a_study(trials)))
    head = next(r for r in read.rows if r[:2] == ["trial", "against the default"])
    assert "seconds (expected)" in head
    rows = read.rows[read.rows.index(head) + 1 :]
    assert rows[1][1] == "chunk.tokens=128ndcg_at_10 0.6 to 0.7 <expected>"
    assert rows[1][-3] == "12.5 (14.2)"
    assert rows[2][-3] == "12.5"


def test_a_study_of_which_nothing_was_recorded_has_no_expectations() -> None:
    read = check_sound(render_report(a_study(usual_trials())))
    assert any("seconds" in row for row in read.rows)
    assert not any("seconds (expected)" in row for row in read.rows)


def test_why_wraps_inside_its_cell() -> None:
    trials = [proposed(t, "because of this and that " * 20, 10.0) for t in usual_trials()]
    page = render_report(a_study(trials))
    assert re.search(r"\.because {[^}]*white-space: normal", page)
    tables = page.count("<table>")
    assert page.count('<div class="scroll"><table>') == tables


# -- fronts -------------------------------------------------------------------------------------


def test_a_front_is_drawn_over_the_two_metrics_that_it_is_of() -> None:
    page = render_report(a_study(a_front(), "pareto ndcg_at_10, memory_mb"))
    read = check_sound(page)
    drawing = chart(page, "ndcg_at_10 against memory_mb of every finished trial")
    assert ">memory_mb<" in drawing
    assert "latency" not in re.sub(r"<title>.*?</title>", "", drawing, flags=re.S)
    assert "The front" in read.texts
    turned = render_report(a_study(a_front(), "pareto memory_mb, ndcg_at_10"))
    assert chart(turned, "ndcg_at_10 against memory_mb of every finished trial")


def test_two_metrics_that_are_both_to_be_large_have_a_front_too() -> None:
    page = render_report(a_study(a_front(), "pareto ndcg_at_10, recall_at_10"))
    check_sound(page)
    assert chart(page, "ndcg_at_10 against recall_at_10 of every finished trial")


def test_the_configs_of_the_front_are_listed_from_the_best_of_the_first_metric_on() -> None:
    read = check_sound(render_report(a_study(a_front(), FRONT)))
    start = next(i for i, r in enumerate(read.rows) if r[2:4] == ["ndcg_at_10", "latency_p95_ms"])
    listed = read.rows[start + 1 : start + 5]
    assert [r[0] for r in listed] == ["3", "2", "0", "1"]
    assert [r[-1] for r in listed] == ["", "recommended", "default", ""]
    assert listed[1][1:4] == ["rerank.model=bm25rerank.depth=20rerank.weight=0.5", "0.750", "12.0"]


def test_only_trials_that_hold_every_slo_are_of_the_front() -> None:
    read = check_sound(render_report(a_study(a_front(), f"{FRONT} subject to memory_mb <= 98.5")))
    start = next(i for i, r in enumerate(read.rows) if r[2:4] == ["ndcg_at_10", "latency_p95_ms"])
    assert [r[0] for r in read.rows[start + 1 : start + 4]] == ["2", "0", "1"]
    assert "the line is the Pareto front of those that hold every SLO" in read.text


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (({}, {}), "A trade-off. Of the front, the config nearest to the best of both: "),
        (({}, {"latency_p95_ms": 8.0}), "Better. ndcg_at_10 0.600 → 0.750 (+0.150, 95 % "),
        (({}, {"latency_p95_ms": 10.0, "ndcg_at_10": 0.6}), "Not distinguishable from the "),
        (({}, {"ndcg_at_10": 0.5}), "Keep the default. The gain of the search did not hold: "),
    ],
)
def test_the_headline_weighs_both_metrics(report: Any, said: str) -> None:
    page = check_sound(render_report(a_study(a_front(), FRONT, report=report)))
    assert page.headline.startswith(said)
    assert "latency_p95_ms 10.0 → " in page.headline
    assert page.headline.endswith("on 98 questions the search never saw.")


def test_when_the_default_is_nearest_to_the_best_of_both_it_is_kept() -> None:
    trials = [a_trial(0, 0.79, 12.0), *a_front()[3:4], a_trial(2, 0.2, 11.0, chunk__tokens=64)]
    page = check_sound(render_report(a_study(trials, FRONT)))
    assert page.headline.startswith(
        "Keep the default. Of 2 other configs measured, none was nearer to the best of both: "
        "ndcg_at_10 0.790, latency_p95_ms 12.0"
    )


def test_progress_of_a_front_is_the_share_of_its_hypervolume() -> None:
    page = render_report(a_study(a_front(), FRONT))
    drawing = chart(page, "best hypervolume so far over seconds")
    heights = [y for _, y in line(drawing)]
    assert heights == sorted(heights, reverse=True)
    assert "share of the whole front&#x27;s hypervolume" in drawing
    assert "regret" not in drawing
    assert "The last improvement came after 50 of 62 s of measuring." in check_sound(page).text


def test_a_config_that_the_front_made_the_best_later_is_a_step_too() -> None:
    trials = [
        a_trial(0, 0.50, 10.0),
        a_trial(1, 0.55, 14.0, chunk__tokens=128),
        a_trial(2, 0.52, 30.0, chunk__tokens=64),
        a_trial(3, 0.60, 300.0, rerank__model="maxsim"),
    ]
    read = check_sound(render_report(a_study(trials, FRONT)))
    start = next(i for i, r in enumerate(read.rows) if r[:2] == ["trial", "changed"])
    assert read.rows[start] == [
        *("trial", "changed", "ndcg_at_10", "difference", "latency_p95_ms", "difference", "")
    ]
    assert [r[0] for r in read.rows[start + 1 : start + 3]] == ["0", "1"]
    assert "was recommended all the same" not in read.text


# -- anything -----------------------------------------------------------------------------------


@st.composite
def searches(draw: st.DrawFn) -> list[Trial]:
    """A default and up to eight more trials, some without a result."""
    values = st.floats(0.0, 1.0)
    times = st.floats(0.01, 1e4)
    trials = [a_trial(0, draw(values), draw(times))]
    for number in range(1, draw(st.integers(1, 9))):
        knobs = {"chunk__tokens": draw(st.sampled_from(SPACE["chunk.tokens"].domain.grid))}
        if draw(st.booleans()):
            trials.append(a_trial(number, draw(values), draw(times), **knobs))
        else:
            trials.append(a_failure(number, draw(st.sampled_from(["failed", "skipped"])), "broke"))
    return [replace(t, seconds=draw(st.floats(0.0, 1e4))) for t in trials]


@settings(max_examples=60, deadline=None)
@given(
    searches(), st.sampled_from([SLOS, FRONT, "min memory_mb", "pareto recall_at_10, memory_mb"])
)
def test_any_search_makes_a_sound_page(trials: list[Trial], objective: str) -> None:
    check_sound(render_report(a_study(trials, objective)))
