"""The generated blocks of the page: every function is one block, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from statistics import fmean, median

import numpy as np
import polars as pl

from autorag.table.files import table_hash
from autorag.table.noise import half_noise, noise_floor, repeat_pairs
from autorag.table.schema import COLUMNS, HALVES, Column
from benchmarks.lessons.differences import (
    best_columns,
    rank_correlations,
    spread,
    variance_shares,
)
from benchmarks.lessons.importance import Change, Explained
from benchmarks.lessons.landscapes import Landscapes, told
from benchmarks.lessons.page import image, table
from benchmarks.lessons.parts import answers, fastest, sizes
from benchmarks.lessons.pseudo import WAYS, Choice
from benchmarks.lessons.regret import Outcome, interval

Statistic = Callable[[np.ndarray], float]


def schema() -> str:
    """One row a column; halves beside their whole, features and figures by a pattern."""
    own = [c for c in COLUMNS if not c.name.startswith(("feature.", "hardware."))]
    rows = [_column(c, own) for c in own if not c.name.endswith(tuple(f".{h}" for h in HALVES))]
    rows += [
        ("`feature.<name>`", "number", "", "every [workload feature](features.md)"),
        ("`hardware.<figure>`", "number", "", "every figure of the machine's profile"),
        ("`counter.<name>`", "number", "", "every counter of the machine, around the timed queries"),
    ]
    return table(("column", "kind", "unit", "meaning"), rows)


def contents(frame: pl.DataFrame) -> str:
    found = sizes(frame)
    configs = frame.select("part", "config").n_unique()
    twice = sum(s.repeats > 1 for s in found)
    hardware = frame["hardware"].n_unique()
    head = (
        f"{len(frame):,} rows: {len(found)} workloads of {len({s.corpus for s in found})} corpora "
        f"and {len({s.family for s in found})} families, {configs} configs, "
        f"{sum(s.hours for s in found):.1f} hours of building and asking on {hardware} "
        f"machine{'s' if hardware != 1 else ''}; times were taken twice or more on {twice} "
        f"workloads. Hash `{table_hash(frame)}`."
    )
    rows = [
        (s.workload, s.corpus, s.family, s.queries, s.parts, s.documents, s.judged, s.configs)
        + (s.rows, s.repeats, f"{s.hours:.2f}")
        for s in found
    ]
    headings = ("workload", "corpus", "family", "queries", "parts", "documents", "judged")
    return f"{head}\n\n{table((*headings, 'configs', 'rows', 'repeats', 'hours'), rows)}"


def noise_of_times(frame: pl.DataFrame) -> str:
    calm = noise_floor(frame.filter(~pl.col("busy")))
    rows = [
        (f"`{metric}`", _percent(n.median), _percent(n.p90), n.pairs)
        + ((_percent(calm[metric].median), _percent(calm[metric].p90)) if metric in calm else ("–",) * 2)
        for metric, n in noise_floor(frame).items()
    ]
    headings = ("metric", "median", "90 % quantile", "pairs", "calm: median", "calm: 90 %")
    return f"{table(headings, rows)}\n\n{image('noise', 'Noise of latency between repeats')}"


def noise_of_machine(frame: pl.DataFrame) -> str:
    """By workload: p95 latency."""
    rows = []
    for (name,), some in frame.group_by("workload", maintain_order=True):
        pairs = repeat_pairs(some, "latency_p95_ms")
        if len(pairs):
            distance = pairs["distance"].to_numpy()
            drift = float(np.exp(np.log(pairs["second"] / pairs["first"]).mean()) - 1)
            rank = float(pairs.select(pl.corr("first", "second", method="spearman")).item())
            busy = float(some["busy"].mean() or 0.0)
            middle = _percent(float(np.median(distance)))
            p90 = _percent(float(np.quantile(distance, 0.9)))
            rows.append((str(name), middle, p90, _percent(drift), rank, _percent(busy)))
    headings = ("workload", "median", "90 % quantile", "drift", "rank correlation", "busy rows")
    return table(headings, rows)


def noise_of_quality(frame: pl.DataFrame) -> str:
    some = frame.filter(part="quality")
    se = dict(some.group_by("workload").agg(pl.col("ndcg_at_10.se").median()).iter_rows())
    rows = [
        (name, se[name], n.error, n.common, n.paired, n.spread, n.rank)
        for name, n in half_noise(some).items()
    ]
    headings = ("workload", "s.e. over queries", "s.e. by halves", "common", "paired")
    return table((*headings, "spread of configs", "rank correlation of halves"), rows)


def best_configs(found: Landscapes, default: int) -> str:
    best, place = best_columns(found), spread(found, default)
    rows = [
        (
            about.name,
            told(found.configs[best[i]]),
            float(found.real[""][i, best[i]]),
            float(found.real[""][i, default]),
            float(place[i]),
        )
        for i, about in enumerate(found.workloads)
    ]
    headings = ("workload", "best config", "nDCG@10", "default's", "default's place")
    return f"{table(headings, rows)}\n\n{_counts(found, best)}"


def transfer(found: Landscapes, regret: np.ndarray) -> str:
    ranks = rank_correlations(found)
    elsewhere = ~np.equal.outer(found.corpora, found.corpora)
    rows = []
    for what, matrix in (("regret of one's best on another", regret), ("rank correlation", ranks)):
        values = matrix[elsewhere & np.isfinite(matrix)]
        own = np.diag(matrix)
        quantiles = (float(q) for q in np.quantile(values, [0.1, 0.5, 0.9]))
        rows.append((what, *quantiles, float(values.mean()), float(np.nanmedian(own))))
    headings = ("between corpora", "10 %", "median", "90 %", "mean", "own halves, median")
    parts = [table(headings, rows), image("transfer", "Regret of each best config elsewhere")]
    return "\n\n".join([*parts, _shares(found)])


def knobs(panels: Mapping[str, Explained], changed: Mapping[str, Sequence[Change]]) -> str:
    first = next(iter(panels.values()))
    rows = [
        (name, *(cell for e in panels.values() for cell in _share(e.mains[name])))
        for name in first.mains
    ]
    rows += [
        (" × ".join(pair), *(cell for e in panels.values() for cell in _share(e.pairs[pair])))
        for pair in first.pairs
    ]
    rows.append(("additive model, R²", *(c for e in panels.values() for c in _share(e.additive))))
    headings = ["factor", *(h for title in panels for h in (title, "least to most"))]
    named = {n: {c.factor: c for c in cs} for n, cs in changed.items()}
    swept = dict.fromkeys(f for by in named.values() for f in by)
    moved = [
        (f, next(iter(named.values()))[f].pairs, *(v for by in named.values() for v in _move(by[f])))
        for f in swept
    ]
    beside = ["one change of", "pairs"]
    beside += [h for title in named for h in (f"{title}: median", "90 % quantile")]
    parts = [table(headings, rows), image("knobs", "Variance explained"), table(beside, moved)]
    return "\n\n".join(parts)


def regrets(found: Sequence[Outcome], seed: int = 0) -> str:
    """By chooser, over all tasks."""
    rows = []
    for name, some in _by_chooser(found).items():
        values = np.array([o.regret for o in some])
        low, high = interval(some, np.mean, np.random.default_rng(seed))
        around = f"{low:.3f} to {high:.3f}"
        held = _percent(fmean(o.held for o in some))
        figures = (float(np.median(values)), float(values.mean()), around, float(values.max()))
        rows.append((name, *figures, _percent(float((values > 0.25).mean())), held))
    tasks = {(o.workload, o.slos) for o in found}
    head = (
        f"{len(tasks)} tasks: {len({t[0] for t in tasks})} labelled workloads of "
        f"{len({o.corpus for o in found})} corpora, {len({t[1] for t in tasks})} SLO sets."
    )
    headings = ("chosen by", "median", "mean", "95 % interval of the mean", "worst", "above 0.25")
    return f"{head}\n\n{table((*headings, 'SLOs held'), rows)}"


def regrets_by_slos(found: Sequence[Outcome]) -> str:
    """Mean by SLO set and chooser."""
    names = list(_by_chooser(found))
    rows = []
    for slos in dict.fromkeys(o.slos for o in found):
        some = _by_chooser([o for o in found if o.slos == slos])
        tasks = len(next(iter(some.values())))
        rows.append((slos, tasks, *(fmean(o.regret for o in some[n]) for n in names)))
    return table(("SLOs", "tasks", *names), rows)


def regrets_by_split(found: Mapping[str, Sequence[Outcome]], seed: int = 0) -> str:
    """Choosers that learn, by what is left out."""
    rows = []
    for split, some in found.items():
        for name, mine in _by_chooser(some).items():
            values = [o.regret for o in mine]
            low, high = interval(mine, np.mean, np.random.default_rng(seed))
            around = f"{low:.3f} to {high:.3f}"
            rows.append((name, split, len(mine), median(values), fmean(values), around, max(values)))
    rows.sort(key=lambda r: list(_by_chooser(next(iter(found.values())))).index(r[0]))
    headings = ("chosen by", "left out", "tasks", "median", "mean", "95 % interval", "worst")
    return table(headings, rows)


def pseudo(found: Sequence[Choice]) -> str:
    rows = [(c.workload, c.rank, c.ceiling, *c.regret) for c in found]
    rows.append(("*mean*", *(fmean(r[i] for r in rows) for i in range(1, 6))))
    headings = ("workload", "rank correlation", "halves of the labelled", *WAYS)
    return f"{table(headings, rows)}\n\n{image('pseudo', 'Pseudo-queries rank configs like real')}"


def index_part(frame: pl.DataFrame) -> str:
    rows = [
        (f.workload, f.vectors, f"≥ {f.recall:g}", f.kind, f.p50_ms, f.speedup, f.index_mb)
        + (f.build_s,)
        for f in fastest(frame)
    ]
    headings = ("workload", "vectors", "recall", "kind", "p50 ms", "times faster than flat")
    return table((*headings, "index MB", "build s"), rows) if rows else "No rows of this part yet."


def generation_part(frame: pl.DataFrame) -> str:
    rows = [
        (g.config, g.contexts, g.workloads, g.f1, g.em, g.context_tokens, g.end_to_end_p95_ms)
        for g in answers(frame)
    ]
    headings = ("config", "contexts", "workloads", "F1", "exact match", "context tokens")
    return table((*headings, "p95 ms"), rows) if rows else "No rows of this part yet."


def _column(column: Column, own: Sequence[Column]) -> tuple[str, str, str, str]:
    names = {c.name for c in own}
    halves = [f"`.{h}`" for h in HALVES if f"{column.name}.{h}" in names]
    name = ", ".join([f"`{column.name}`", *halves])
    return name, column.kind, column.unit, column.meaning


def _counts(found: Landscapes, best: np.ndarray) -> str:
    """What the best configs have, and how often."""
    knobs = ("retrieve.mode", "embed.model", "chunk.tokens", "chunk.splitter", "rerank.model")
    lines = []
    for knob in knobs:
        values = Counter(str(found.configs[i].get(knob, "–")) for i in best)
        lines.append(f"`{knob}`: {', '.join(f'{v} {n}×' for v, n in values.most_common())}")
    return "Among the best configs, " + "; ".join(lines) + "."


def _shares(found: Landscapes) -> str:
    rows = []
    groups: dict[str, Sequence[int]] = {
        "all workloads": range(len(found.workloads)),
        "labelled workloads": [i for i, w in enumerate(found.workloads) if w.labelled],
    }
    for name, members in groups.items():
        if len(members) > 1:
            s = variance_shares(found, members)
            rows.append((name, len(members), *map(_percent, (s.common, s.specific, s.noise))))
    return table(("variance of quality", "workloads", "common", "specific", "noise"), rows)


def _share(values: np.ndarray) -> tuple[str, str]:
    ends = f"{_percent(float(values.min()))} to {_percent(float(values.max()))}"
    return _percent(float(values.mean())), ends


def _move(change: Change) -> tuple[float, float]:
    return change.median, change.p90


def _by_chooser(found: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    order = list(dict.fromkeys(o.chooser for o in found))
    ordered = sorted(found, key=lambda o: order.index(o.chooser))
    return {name: list(some) for name, some in groupby(ordered, key=lambda o: o.chooser)}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
