"""Studies to report of, and a reader of the page that checks that it is sound."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from api.pages.report import ReportStudy
from autorag.evaluation.paired import Interval
from autorag.importance import importance
from autorag.objective import Objective, parse_objective
from autorag.optimizer import best_trial, pareto_trials
from autorag.outcome import Outcome
from autorag.pipeline.space import reference_space
from autorag.ports import Trial
from autorag.space import Config

VOID = {"meta", "br", "hr", "link", "img", "input"}
HOSTILE = 'models/<b>"cross" & encoder</b>'
SPACE = reference_space(
    {"minilm-int8": 384, "lsa": 256}, generators=("tiny",), cross_encoders=(HOSTILE,), cores=4
)
DEFAULT = SPACE.default()
STAGES = {
    "embed": {"p50_ms": 6.1, "p95_ms": 9.2},
    "retrieve": {"p50_ms": 0.6, "p95_ms": 1.1},
}
SLOS = "max ndcg_at_10 subject to latency_p95_ms <= 20, context_tokens <= 2000"


def a_trial(
    number: int, ndcg: float, latency: float = 10.0, tokens: float = 1200.0, **knobs: Any
) -> Trial:
    metrics = {
        "ndcg_at_10": ndcg,
        "recall_at_10": min(1.0, ndcg + 0.1),
        "latency_p50_ms": latency * 0.7,
        "latency_p95_ms": latency,
        "context_tokens": tokens,
        "memory_mb": 96.4 + number,
    }
    config = SPACE.config({k.replace("__", "."): v for k, v in knobs.items()})
    reused = () if number == 0 else ("parse", "chunk")
    return Trial(number, config, "finished", metrics, STAGES, reused, 12.5)


def a_failure(number: int, state: Any, reason: str, config: Config = DEFAULT) -> Trial:
    return Trial(number, config, state, seconds=0.4, reason=reason)


def differences(before: Trial, after: Trial, spread: float) -> dict[str, Interval]:
    found = {}
    for name in before.metrics.keys() & after.metrics.keys():
        gap = after.metrics[name] - before.metrics[name]
        half = 0.0 if name == "memory_mb" else spread * abs(gap)
        found[name] = Interval(gap, gap - half, gap + half)
    return found


def a_study(
    trials: Sequence[Trial],
    objective: str = SLOS,
    *,
    report: Sequence[Mapping[str, float]] = ({}, {}),
    spread: float = 0.3,
    source: str = "labelled",
) -> ReportStudy:
    """A study of these trials; ``report`` overrides the report metrics of default, recommended."""
    goal = parse_objective(objective)
    best = best_trial(trials, goal)
    before, after = (
        replace(t, metrics={**t.metrics, **more})
        for t, more in zip((trials[0], best), report, strict=True)
    )
    gaps = differences(before, after, spread)
    front = pareto_trials(trials, goal, Objective("latency_p95_ms", "min"))
    outcome = Outcome(goal, trials[0], best, before, after, {}, gaps, front)
    load = {"name": "manuals", "documents": 812, "queries": 326, "query_source": source}
    told = [importance(trials, one.metric) for one in goal.each]
    return ReportStudy({**load, "hash": "5f1c" * 8}, outcome, trials, told, 372.4, 7, 98, 228)


def usual_trials() -> list[Trial]:
    return [
        a_trial(0, 0.612, 9.0, 1280),
        a_trial(1, 0.655, 9.4, 640, chunk__tokens=128),
        a_trial(2, 0.702, 14.0, 650, chunk__tokens=128, retrieve__mode="hybrid"),
        a_failure(3, "failed", "Traceback:\nthe encoder <ran> out of memory"),
        a_trial(4, 0.781, 18.0, 660, chunk__tokens=128, rerank__model="maxsim"),
        a_trial(5, 0.803, 210.0, 660, chunk__tokens=128, rerank__model=HOSTILE),
        a_failure(6, "skipped", "about 90 s expected, at most 40 s allowed"),
        a_trial(7, 0.430, 3.0, 700, retrieve__mode="lexical"),
    ]


class Page(HTMLParser):
    """Checks that tags nest, and keeps the text, the attributes and the tables' rows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.headline = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.texts.append(data)
        if "h1" in self.open:
            self.headline += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def row(self, first: str) -> list[str]:
        """The first table row that starts with this cell."""
        return next(r for r in self.rows if r and r[0] == first)


NUMBERS = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "viewBox"}


def check_sound(page: str) -> Page:
    """The page nests, refers to nothing outside, and draws only finite numbers inside the frame."""
    read = Page(page)
    assert not re.search(r"https?://|@import|url\(|<script|<link|<img", page)
    for tag, name, value in read.attributes:
        assert name not in ("src", "href", "srcset")
        if name in NUMBERS and tag != "meta":
            assert all(-1 < float(v) <= 10_000 for v in value.split())
        if name in ("points", "d"):
            numbers = re.findall(r"[^\s,MLZ]+", value)
            assert numbers
            assert all(-1 < float(n) < 10_000 for n in numbers)
    assert not re.search(r"\b(nan|inf|None)\b", read.text)
    return read
