"""Generated blocks of the page about choosing: how the best config differs, which knobs matter,
what choosers regret. Every function is one block, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import fmean, median

import numpy as np

from benchmarks.lessons.differences import (
    best_columns,
    rank_correlations,
    spread,
    variance_shares,
)
from benchmarks.lessons.importance import Change, Explained
from benchmarks.lessons.landscapes import Landscapes, told
from benchmarks.lessons.page import image, percent, table
from benchmarks.lessons.pseudo import SHARES, WAYS, Choice, thinned
from benchmarks.lessons.regret import Outcome, interval


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


def explained_shares(panels: Mapping[str, Explained]) -> str:
    """Shares of variance by factor and pair, a panel a quantity."""
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
    return table(("factor", *(h for title in panels for h in (title, "least to most"))), rows)


def one_change(quantities: Mapping[str, Sequence[Change]]) -> str:
    """What changing one factor does to each quantity."""
    by_factor: dict[str, list[Change]] = {}
    for found in quantities.values():
        for change in found:
            by_factor.setdefault(change.factor, []).append(change)
    rows = [
        (factor, found[0].pairs, *(v for c in found for v in (c.median, c.p90)))
        for factor, found in by_factor.items()
    ]
    figures = (h for title in quantities for h in (f"{title}: median", "90 % quantile"))
    return table(("one change of", "pairs of configs", *figures), rows)


def regrets(found: Sequence[Outcome], seed: int = 0) -> str:
    """By chooser, over all tasks."""
    rows = []
    for name, some in _by_chooser(found).items():
        values = np.array([o.regret for o in some])
        low, high = interval(some, np.mean, np.random.default_rng(seed))
        around = f"{low:.3f} to {high:.3f}"
        held = percent(fmean(o.held for o in some))
        figures = (float(np.median(values)), float(values.mean()), around, float(values.max()))
        rows.append((name, *figures, percent(float((values > 0.25).mean())), held))
    tasks = {(o.workload, o.slos) for o in found}
    head = (
        f"{len(tasks)} tasks: {len({t[0] for t in tasks})} labelled workloads of "
        f"{len({o.corpus for o in found})} corpora, {len({t[1] for t in tasks})} SLO sets."
    )
    headings = ("chosen by", "median", "mean", "95 % interval of the mean", "worst", "above 0.25")
    shown = image("regrets", "Regret of every task by chooser")
    return f"{head}\n\n{table((*headings, 'SLOs held'), rows)}\n\n{shown}"


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
            rows.append(
                (name, split, len(mine), median(values), fmean(values), around, max(values))
            )
    rows.sort(key=lambda r: list(_by_chooser(next(iter(found.values())))).index(r[0]))
    headings = ("chosen by", "left out", "tasks", "median", "mean", "95 % interval", "worst")
    return table(headings, rows)


def pseudo(found: Sequence[Choice]) -> str:
    figures = np.array([(c.rank, c.ceiling, *c.regret) for c in found])
    rows = [(c.workload, *row) for c, row in zip(found, figures.tolist(), strict=True)]
    rows.append(("*mean*", *figures.mean(axis=0).tolist()))
    headings = ("workload", "rank correlation", "halves of the labelled", *WAYS)
    return f"{table(headings, rows)}\n\n{image('pseudo', 'Pseudo-queries rank configs like real')}"


def pseudo_numbers(found: Landscapes, made: Sequence[Choice], seed: int = 0) -> str:
    """Regret by how many pseudo-queries choose, over workloads."""
    judged = {c.workload for c in made}
    counts = [w.pseudo_queries for w in found.workloads if w.name in judged]
    ways = {
        "all, measured": (1.0, np.array([c.regret[0] for c in made])),
        "half, measured": (0.5, np.array([c.regret[1] for c in made])),
    }
    for share in SHARES[1:]:
        simulated = thinned(found, share, np.random.default_rng(seed))
        ways[f"1/{round(1 / share)}, simulated"] = share, simulated
    rows = [
        (name, round(median(counts) * share), float(np.median(v)), float(v.mean()), float(v.max()))
        for name, (share, v) in ways.items()
    ]
    return table(("chosen by", "pseudo-queries, median", "median", "mean", "worst"), rows)


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
            rows.append((name, len(members), *map(percent, (s.common, s.specific, s.noise))))
    return table(("variance of quality", "workloads", "common", "specific", "noise"), rows)


def _share(values: np.ndarray) -> tuple[str, str]:
    ends = f"{percent(float(values.min()))} to {percent(float(values.max()))}"
    return percent(float(values.mean())), ends


def _by_chooser(found: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    order = list(dict.fromkeys(o.chooser for o in found))
    ordered = sorted(found, key=lambda o: order.index(o.chooser))
    return {name: list(some) for name, some in groupby(ordered, key=lambda o: o.chooser)}
