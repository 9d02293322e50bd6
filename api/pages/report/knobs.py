"""Which knobs mattered."""

from __future__ import annotations

from api.pages.bars import share_bars
from api.pages.page import figure, percent_text, remark
from api.pages.report.study import ReportStudy
from autorag.importance import Importance

SHOWN = 8
LEAST_SHOWN = 0.005
"""Shares below are no bar."""

METHOD = (
    "By a forest of trees that learned from these trials (Shapley shares of the variance of what "
    "it predicts; what lies far off the other trials counts no more than their edge). It holds for "
    "this workload and these trials: a knob that was hardly varied cannot show what it is worth, "
    "and knobs that were changed together share it."
)


def importance_charts(study: ReportStudy) -> str:
    """A bar chart for every metric that is optimised."""
    unknown = {one.unknown for one in study.importance}
    if len(unknown) == 1 and "" not in unknown:
        return remark(f"Not told: {unknown.pop()}.")
    known = any(one.shares for one in study.importance)
    return "".join([*map(_chart, study.importance), remark(METHOD) if known else ""])


def _chart(told: Importance) -> str:
    if not told.shares:
        return remark(f"{told.metric}: {told.unknown}.")
    shown = {k: v for k, v in list(told.shares.items())[:SHOWN] if v >= LEAST_SHOWN}
    others = told.explained - sum(shown.values())
    rest = {f"{len(told.shares) - len(shown)} others": others} if others >= LEAST_SHOWN else {}
    rest["not explained"] = 1.0 - told.explained
    note = (
        f"Shares of the differences in {told.metric} between {told.configs} configs that each knob "
        f"explains: {percent_text(told.explained)} in all, tested on configs that were held out."
    )
    name = f"knobs by the share of {told.metric} that they explain"
    return remark(note) + figure(lambda w: share_bars(shown, rest, name=name, width=w))
