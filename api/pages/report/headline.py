"""The headline: what the recommended config is worth, in a word and a sentence."""

from __future__ import annotations

from html import escape

from api.pages.page import bound_text, interval_text, number_text, signed_text
from api.pages.report.study import ReportStudy, better
from autorag.objective import Objective
from autorag.outcome import Outcome
from autorag.ports import Trial

PSEUDO = (
    "The queries are pseudo-queries: sentences held out of the documents. They are good for "
    "choosing between configs; absolute quality on real questions will differ."
)

Verdict = tuple[str, str, str]
"""CSS class, verdict in a word or two, and the sentence that says it in numbers."""


def headline(study: ReportStudy) -> str:
    """The head of the page."""
    css, word, sentence = _verdict(study)
    pseudo = study.workload["query_source"] == "pseudo"
    aside = f'<p class="aside">{PSEUDO}</p>' if pseudo else ""
    name, goal = escape(str(study.workload["name"])), escape(str(study.goal))
    return (
        f'<header><p class="aside">AutoRAG report · {name} · <code>{goal}</code></p>'
        f'<h1 class="{css}"><b>{word}</b> {escape(sentence)}</h1>{aside}</header>'
    )


def _verdict(study: ReportStudy) -> Verdict:
    found, goal = study.outcome, study.goal
    same = found.recommended.config == found.default.config
    where = f"on {study.report_queries} {study.questions} the search never saw"
    gain = f"{_gains(found)} {where}"
    holds = " Every SLO holds." if goal.slos else ""
    if goal.violations(found.recommended_report.metrics):
        return "bad", "SLO violated.", _violated(study, gain, same)
    if same:
        return "even", "Keep the default.", f"{_tried(study)}: {gain}.{holds}"
    if goal.violations(found.default_report.metrics):
        missed = _misses(goal, found.default_report)
        return (
            "good",
            "SLOs met.",
            f"The default misses {missed}; the recommended config holds every SLO: {gain}.",
        )
    return _compared(found, gain, holds)


def _compared(found: Outcome, gain: str, holds: str) -> Verdict:
    """The verdict where both configs hold every SLO."""
    goal = found.objective
    gaps = [(one.metric, found.difference.get(one.metric)) for one in goal.each]
    told = [better(goal, name, gap) for name, gap in gaps if gap and gap.distinguishable]
    if not told:
        return "even", "Not distinguishable from the default.", f"{gain}.{holds}"
    if all(told):
        return "good", "Better.", f"{gain}.{holds}"
    if any(told):
        nearest = "Of the front, the config nearest to the best of both"
        return "even", "A trade-off.", f"{nearest}: {gain}.{holds}"
    return "bad", "Keep the default.", f"The gain of the search did not hold: {gain}."


def _tried(study: ReportStudy) -> str:
    others = sum(t.state == "finished" for t in study.trials) - 1
    if not others:
        return "Nothing else ran"
    if study.goal.beside is None:
        return f"Of {others} other configs measured, none was better"
    return f"Of {others} other configs measured, none was nearer to the best of both"


def _violated(study: ReportStudy, gain: str, same: bool) -> str:
    goal = study.goal
    who = "The default, the best config found," if same else "The recommended config"
    tried = any(t.state == "finished" and goal.feasible(t.metrics) for t in study.trials)
    tail = "In the search it held." if tried else "No config tried holds every SLO."
    return f"{who} misses {_misses(goal, study.outcome.recommended_report)}. {tail} {gain}."


def _misses(goal: Objective, trial: Trial) -> str:
    """The SLOs that do not hold, with what was measured."""
    return " and ".join(
        f"{bound_text(s)} (measured {number_text(s.metric, trial.metrics[s.metric])})"
        if s.metric in trial.metrics
        else f"{bound_text(s)} (not measured)"
        for s in goal.violations(trial.metrics)
    )


def _gains(found: Outcome) -> str:
    """What is optimised on the report queries, before and after, with its interval."""
    return ", ".join(_gain(found, one.metric) for one in found.objective.each)


def _gain(found: Outcome, name: str) -> str:
    gap = found.difference.get(name)
    before, after = (t.metrics.get(name) for t in (found.default_report, found.recommended_report))
    if found.recommended.config == found.default.config or gap is None:
        return f"{name} {number_text(name, after)}"
    interval = f", 95 % interval {interval_text(name, gap)}" if gap.low < gap.high else ""
    change = f"{signed_text(name, gap.value)}{interval}"
    return f"{name} {number_text(name, before)} → {number_text(name, after)} ({change})"
