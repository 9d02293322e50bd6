"""The HTML report: what a reader sees, for every kind of outcome, and that it is a sound page."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace

import pytest

from api.pages.report import render_report
from tests.api.pages.reports import (
    HOSTILE,
    SLOS,
    SPACE,
    STAGES,
    a_study,
    a_trial,
    check_sound,
    usual_trials,
)


def test_a_better_config_is_announced_with_its_interval_on_unseen_questions() -> None:
    page = check_sound(render_report(a_study(usual_trials())))
    assert page.headline == (
        "Better. ndcg_at_10 0.612 → 0.781 (+0.169, 95 % interval +0.118 … +0.220) "
        "on 98 questions the search never saw. Every SLO holds."
    )
    assert "pseudo" not in page.text


def test_pseudo_queries_are_said_to_be_pseudo() -> None:
    page = check_sound(render_report(a_study(usual_trials(), source="pseudo")))
    assert "on 98 pseudo-queries the search never saw" in page.headline
    assert "sentences held out of the documents" in page.text


def test_a_difference_that_may_be_chance_is_called_that() -> None:
    page = check_sound(render_report(a_study(usual_trials(), spread=1.5)))
    assert page.headline.startswith("Not distinguishable from the default. ndcg_at_10 0.612 → ")
    assert page.row("ndcg_at_10")[-1] == "≈ not distinguishable"


def test_a_gain_that_did_not_hold_says_keep_the_default() -> None:
    page = check_sound(render_report(a_study(usual_trials(), report=({}, {"ndcg_at_10": 0.55}))))
    assert page.headline.startswith("Keep the default. The gain of the search did not hold")
    assert page.row("ndcg_at_10")[-1] == "▼ worse"


def test_an_slo_missed_on_the_report_queries_comes_first() -> None:
    late = ({}, {"latency_p95_ms": 25.3})
    page = check_sound(render_report(a_study(usual_trials(), report=late)))
    assert page.headline.startswith(
        "SLO violated. The recommended config misses latency_p95_ms ≤ 20 (measured 25.3). "
        "In the search it held."
    )
    assert page.row("latency_p95_ms")[2:5] == ["≤ 20", "9.0 ✓", "25.3 ✗"]


def test_when_no_config_holds_the_slos_it_says_so() -> None:
    goal = "max ndcg_at_10 subject to latency_p95_ms <= 1"
    page = check_sound(render_report(a_study(usual_trials(), goal)))
    assert "No config tried holds every SLO." in page.headline
    assert "closer to SLOs" in page.text


def test_meeting_an_slo_that_the_default_misses_is_the_news() -> None:
    trials = [a_trial(0, 0.7, 55.0), a_trial(1, 0.65, 12.0, retrieve__mode="lexical")]
    page = check_sound(render_report(a_study(trials)))
    assert page.headline.startswith("SLOs met. The default misses latency_p95_ms ≤ 20 (measured 55")
    assert "now holds every SLO" in page.text


def test_the_table_puts_the_objective_then_slos_then_the_rest_and_knows_directions() -> None:
    page = check_sound(render_report(a_study(usual_trials())))
    start = page.rows.index(page.row("metric"))
    rows = page.rows[start + 1 : start + 7]
    assert [r[0] for r in rows[:3]] == ["ndcg_at_10", "latency_p95_ms", "context_tokens"]
    assert {r[0] for r in rows[3:]} == {"recall_at_10", "latency_p50_ms", "memory_mb"}
    judged = {r[0]: r[-1] for r in rows}
    assert judged["latency_p95_ms"] == "▼ worse"
    assert judged["context_tokens"] == "▲ better"
    assert page.row("memory_mb")[1:] == [
        *("MB", "", "96.4", "100.4", "+4.0", "one number a run", "▼ worse")
    ]


def test_a_metric_that_only_one_side_has_is_not_compared() -> None:
    trials = [a_trial(0, 0.6), a_trial(1, 0.8, retrieve__mode="lexical")]
    study = a_study(trials, report=({"ann_recall_at_10": 0.99}, {}))
    page = check_sound(render_report(study))
    assert page.row("ann_recall_at_10")[3:] == ["0.990", "—", "—", "—", "not measured for both"]


def test_changed_knobs_show_inactive_ones_as_a_dash_in_pipeline_order() -> None:
    page = check_sound(render_report(a_study(usual_trials())))
    start = page.rows.index(page.row("knob"))
    assert page.rows[start + 1 : start + 4] == [
        ["chunk.tokens", "256", "128"],
        ["rerank.model", "none", "maxsim"],
        ["rerank.depth", "—", "20"],
    ]


def test_every_improvement_is_priced_with_the_knobs_that_made_it() -> None:
    page = check_sound(render_report(a_study(usual_trials())))
    start = next(i for i, r in enumerate(page.rows) if r[:2] == ["trial", "changed"])
    steps = page.rows[start + 1 : start + 5]
    assert [s[0] for s in steps] == ["0", "1", "2", "4"]
    assert steps[1] == ["1", "chunk.tokens 256 → 128", "0.655", "+0.043", ""]
    assert "retrieve.mode hybrid → dense" in steps[3][1]


def test_every_trial_is_listed_with_its_state_and_reason() -> None:
    page = check_sound(render_report(a_study(usual_trials())))
    start = next(i for i, r in enumerate(page.rows) if r[:2] == ["trial", "against the default"])
    listed = page.rows[start + 1 :]
    assert [r[0] for r in listed] == [str(n) for n in range(8)]
    assert listed[3][-1] == "failed: the encoder <ran> out of memory"
    assert listed[6][-1] == "skipped: about 90 s expected, at most 40 s allowed"
    assert listed[5][2:4] == ["0.803", "210.0 ✗"]
    assert listed[7][-3:] == ["12.5", "parse, chunk", "finished"]


def test_the_plots_label_default_and_recommended_and_draw_the_bound() -> None:
    text = check_sound(render_report(a_study(usual_trials()))).texts
    assert {"default", "recommended", "latency_p95_ms ≤ 20"} <= set(text)
    assert "latency_p95_ms, log scale" in text
    assert any(t.startswith("trial 7: ndcg_at_10 0.430") and "→ lexical" in t for t in text)


def test_a_bound_far_from_every_trial_is_said_instead_of_drawn() -> None:
    goal = "max ndcg_at_10 subject to latency_p95_ms <= 5000"
    page = check_sound(render_report(a_study(usual_trials(), goal)))
    assert "The bound latency_p95_ms ≤ 5000 lies outside the plot." in page.text


def test_an_objective_on_latency_is_plotted_against_quality() -> None:
    goal = "min latency_p95_ms subject to ndcg_at_10 >= 0.6"
    page = check_sound(render_report(a_study(usual_trials(), goal)))
    assert page.headline.startswith(
        "Keep the default. Of 5 other configs measured, none was better"
    )
    assert "default = recommended" in page.texts
    assert "ndcg_at_10 ≥ 0.6" in page.texts


def test_stage_latencies_tell_a_stage_that_only_one_config_runs() -> None:
    trials = usual_trials()
    trials[4] = replace(trials[4], stages={**STAGES, "rerank": {"p50_ms": 11.0, "p95_ms": 17.5}})
    texts = check_sound(render_report(a_study(trials))).texts
    assert {"rerank", "not run", "11 / 17.5 ms", "0.6 / 1.1 ms"} <= set(texts)


@pytest.mark.parametrize("objective", ["max ndcg_at_10", SLOS])
def test_a_study_of_the_default_alone(objective: str) -> None:
    page = check_sound(render_report(a_study([a_trial(0, 0.61)], objective)))
    assert page.headline.startswith("Keep the default. Nothing else ran: ndcg_at_10 0.610 on 98")
    assert "Nothing: the default config is recommended." in page.text
    assert ("SLO" in page.headline) == (objective == SLOS)


def test_odd_measurements_still_draw() -> None:
    trials = [a_trial(0, 0.0), a_trial(1, 0.0, chunk__tokens=64), a_trial(2, 0.0, chunk__tokens=32)]
    check_sound(render_report(a_study(trials, "max ndcg_at_10")))
    bare = [replace(t, metrics={"ndcg_at_10": 0.5}, stages={}) for t in trials]
    assert (
        "SLO" not in check_sound(render_report(a_study(usual_trials(), "max ndcg_at_10"))).headline
    )
    page = check_sound(render_report(a_study(bare)))
    assert "No trial measured both ndcg_at_10 and latency_p95_ms." in page.text
    assert "The stages were not timed." in page.text
    assert "latency_p95_ms ≤ 20 (not measured)" in page.headline


def test_a_value_that_is_not_a_number_is_a_dash() -> None:
    trials = [a_trial(0, 0.5), a_trial(1, float("nan"), chunk__tokens=64)]
    check_sound(render_report(a_study(trials, "max ndcg_at_10")))


def test_text_from_outside_is_escaped_and_the_config_can_be_measured_again() -> None:
    trials = [a_trial(0, 0.5), a_trial(1, 0.9, rerank__model=HOSTILE)]
    study = a_study(trials)
    study = replace(study, workload={**study.workload, "name": "<i>manuals</i>"})
    page = render_report(study)
    assert HOSTILE in check_sound(page).text
    assert "<i>" not in page
    written = re.search(r"<pre>(.*?)</pre>", page, re.S)
    assert written
    assert SPACE.config(json.loads(html.unescape(written[1]))) == trials[1].config


def test_provenance_tells_how_to_repeat_it() -> None:
    text = check_sound(render_report(a_study(usual_trials()))).text
    for fact in ("manuals: 812 documents, 326 queries", "5f1c" * 8, "6 min 12 s", "AutoRAG 0."):
        assert fact in text
