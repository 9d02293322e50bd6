"""The tables and figures of the study of pseudo-queries, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.lessons.differences import spearman
from benchmarks.lessons.page import table
from benchmarks.pseudo.choosing import (
    WEIGHTS,
    Recipe,
    Study,
    by_cheap,
    by_number,
    by_share,
    interval,
    left_out,
    recipes,
)
from benchmarks.pseudo.kinds import TODAY
from benchmarks.pseudo.measured import SHARES, Measured

NUMBERS = (25, 50, 100, 200, 400)
NUMBERED = (TODAY, "several sentences", "sentence, its neighbours", "common words")
TRANSFORMER = "minilm-int8"


def page(found: Sequence[Measured]) -> str:
    """Everything, as Markdown."""
    study = Study(found)
    parts = [
        _contents(study),
        _by_workload(study),
        _by_kind(study),
        _left_out(study),
        _by_weight(study),
        _by_number(study),
        _by_share(study),
    ]
    if any(c.get("embed.model") == TRANSFORMER for c in found[0].configs):
        parts.append(_by_cheap(study))
    return "\n\n".join(parts) + "\n"


def numbers(found: Sequence[Measured]) -> dict[str, Any]:
    """Regrets of every recipe on every workload, to be read by programs."""
    study = Study(found)
    names = [m.name for m in found]
    regrets = {str(r): study.table(r) for r in recipes(study, WEIGHTS)}
    return {
        "configs": len(found[0].configs),
        "workloads": {m.name: _about(m) for m in found},
        "rank_correlation": {
            kind: dict(zip(names, _correlations(study, Recipe((kind,))), strict=True))
            for kind in study.kinds
        },
        "regret": {r: _rounded(names, v[:, 0]) for r, v in regrets.items()},
        "resampled_regret": {r: _rounded(names, v[:, 1:].mean(axis=1)) for r, v in regrets.items()},
    }


def _contents(study: Study) -> str:
    headings = ("workload", "documents", "labelled queries", "their words", "sentences", "words")
    rows = [
        (
            m.name,
            m.documents,
            len(m.real),
            m.lengths["labelled"],
            len(m.kinds[TODAY]),
            m.lengths[TODAY],
        )
        for m in study.found
    ]
    configs = study.found[0].configs
    models = {str(c["embed.model"]) for c in configs if "embed.model" in c}
    head = f"{len(configs)} configs: BM25, {', '.join(sorted(models))}, and their fusions."
    return f"{head}\n\n{table(headings, rows)}"


def _by_workload(study: Study) -> str:
    """Regret of some recipes on each workload."""
    some = {
        "sentence": Recipe((TODAY,)),
        "all kinds": Recipe(tuple(study.kinds)),
        "portfolio": Recipe((TODAY,), 1.0),
        "sentence, portfolio 0.5": Recipe((TODAY,), 0.5),
    }
    columns = [study.table(r)[:, 0] for r in some.values()]
    ranks = _correlations(study, Recipe((TODAY,)))
    rows = [(m.name, ranks[i], *(float(c[i]) for c in columns)) for i, m in enumerate(study.found)]
    return table(("workload", "rank correlation, sentence", *some), rows)


def _by_kind(study: Study) -> str:
    today = study.table(Recipe((TODAY,)))
    rows = []
    for recipe in [*(Recipe((kind,)) for kind in study.kinds), Recipe(tuple(study.kinds))]:
        lengths = [m.lengths[k] for m in study.found for k in recipe.kinds if k in m.lengths]
        about = float(np.mean(lengths)), float(np.mean(_correlations(study, recipe)))
        rows.append((str(recipe), *about, *_figures(study.table(recipe), today)))
    headings = ("kind", "words", "rank correlation", *_FIGURES)
    order = np.argsort([float(r[6]) for r in rows], kind="stable")
    return table(headings, [rows[i] for i in order])


def _left_out(study: Study) -> str:
    """Choosing the recipe on the other workloads."""
    today = study.table(Recipe((TODAY,)))
    ways = {
        "kind": [Recipe((kind,)) for kind in study.kinds],
        "kind or mix of kinds": recipes(study),
        "kind or mix, and weight of the portfolio": recipes(study, WEIGHTS),
        "weight of the portfolio, today's kind": [Recipe((TODAY,), w) for w in WEIGHTS],
    }
    rows = []
    for name, some in ways.items():
        chosen = left_out(study, some)
        kinds = [str(r) for r, _ in chosen]
        often = max(set(kinds), key=kinds.count)
        told = f"{often} ({kinds.count(often)} of {len(kinds)})"
        rows.append((name, told, *_figures(np.array([v for _, v in chosen]), today)))
    return table(("chosen elsewhere", "most often", *_FIGURES), rows)


def _by_weight(study: Study) -> str:
    today = study.table(Recipe((TODAY,)))
    mixed = (TODAY,), tuple(study.kinds)
    rows = [
        (str(Recipe(kinds)), w, *_figures(study.table(Recipe(kinds, w)), today))
        for kinds in mixed
        for w in WEIGHTS
    ]
    return table(("kind", "weight of the portfolio", *_FIGURES), rows)


def _by_number(study: Study) -> str:
    rows = []
    for kind in (k for k in NUMBERED if k in study.kinds):
        for number in NUMBERS:
            regrets = by_number(study, kind, number)
            enough = sum(len(m.kinds[kind]) >= number for m in study.found)
            rows.append((kind, number, enough, *_spread(regrets), _told(interval(regrets))))
    headings = ("kind", "at most", "workloads with so many", "median", "mean", "worst")
    return table((*headings, "95 % interval of the mean"), rows)


def _by_share(study: Study) -> str:
    rows = []
    for share in (*SHARES, 1.0):
        made = [len(m.shares.get(share, m.kinds[TODAY])) for m in study.found]
        fewer, same = (
            by_share(study, share) if share < 1 else (study.table(Recipe((TODAY,)))[:, 1:],) * 2
        )
        if share == 1:
            fewer = same = fewer.mean(axis=1)
        rows.append(
            (
                f"{share:.0%}",
                int(np.median(made)),
                *_spread(fewer),
                float(same.mean()),
                _told(interval(fewer - same)),
            )
        )
    headings = ("documents", "queries, median", "median", "mean", "worst")
    return table((*headings, "mean, as many queries of all", "95 % interval of the change"), rows)


def _by_cheap(study: Study) -> str:
    configs = study.found[0].configs
    cheap = np.flatnonzero([c.get("embed.model") != TRANSFORMER for c in configs])
    places = {_key(c): i for i, c in enumerate(configs)}
    replaced = np.array([places[_key({**c, **_transformed(c)})] for c in configs])
    ways = by_cheap(study, cheap, replaced)
    first = next(iter(ways.values()))
    rows = [(way, *_spread(v), _told(interval(v - first))) for way, v in ways.items()]
    headings = ("sentences choose among", "median", "mean", "worst")
    return table((*headings, "95 % interval of the change"), rows)


def _transformed(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"embed.model": TRANSFORMER} if "embed.model" in config else {}


def _key(config: Mapping[str, Any]) -> str:
    knobs = ("retrieve.mode", "retrieve.alpha", "embed.model")
    chunking = {k: v for k, v in config.items() if k.startswith("chunk.")}
    return str([chunking, *(config.get(k) for k in knobs)])


_FIGURES = (
    "median",
    "mean",
    "worst",
    "resampled mean",
    "change against sentence",
    "95 % interval of the change",
)


def _figures(regrets: np.ndarray, today: np.ndarray) -> tuple[float | str, ...]:
    """Of ``(workloads, 1 + RESAMPLES)``; changes are of resampled means."""
    resampled = regrets[:, 1:].mean(axis=1)
    change = resampled - today[:, 1:].mean(axis=1)
    low, high = interval(change)
    return (
        *_spread(regrets[:, 0]),
        float(resampled.mean()),
        float(change.mean()),
        _told((low, high)),
    )


def _spread(values: np.ndarray) -> tuple[float, float, float]:
    return float(np.median(values)), float(values.mean()), float(values.max())


def _told(ends: tuple[float, float]) -> str:
    low, high = ends
    return f"{low:+.3f} to {high:+.3f}"


def _correlations(study: Study, recipe: Recipe) -> list[float]:
    """With the labelled queries, by workload."""
    scores = [study.scores(recipe, t, study.unrelated(t))[0] for t in range(len(study.found))]
    return [spearman(*both) for both in zip(scores, study.real, strict=True)]


def _about(measured: Measured) -> dict[str, Any]:
    made = {kind: len(scores) for kind, scores in measured.kinds.items()}
    labelled = len(measured.real)
    return {"documents": measured.documents, "labelled": labelled, "pseudo": made}


def _rounded(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return {name: round(float(v), 4) for name, v in zip(names, values, strict=True)}
