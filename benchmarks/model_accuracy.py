"""How well models predict workloads that they have not seen, and what their choices regret.

    python -m benchmarks.model_accuracy [--table benchmarks/table] [--seed 0] [--curve 5]

Nothing is measured: the rows of a measured table are predicted by models that were trained without
them, in four splits. *Corpus*, *family* and *size* leave out all workloads of the same corpus, the
same family, or the same fourth of corpora by tokens (and corpus); *rows* leaves out a fifth of the
configs of every workload at random, which is prediction in distribution.

**Times** are predicted by physics alone (``analytic``), by trees on the logarithm of the times that
see no physics (``learned``), and by trees on the ratio (``both``). Per target the mean absolute
percentage error (MAPE), its 90 % quantile and Spearman's correlation, each a mean over workloads.

**Choices** are those of the chain behind ``autorag recommend``, among the configs that were
measured (so without its preference for few changes): effect, times, tokens and memory are
predicted, the best config whose joint chance of holding all SLOs is ≥ .9 is taken, else the
likeliest, and it is judged on what was measured, by the protocol of ``benchmarks.lessons.regret``
(the same SLO sets, tolerance and halves; a pick that misses an SLO by more than a tenth regrets 1).
Residuals for the chance come from models that have seen neither the workload nor the corpus they
are taken from. *Known* variants are told which configs hold the SLOs, as the portfolio and its like
are. Landmarks are three cheap configs, measured on one half of the labelled queries or on
pseudo-queries, and judged on the other half.

**Recall** is that of searches in approximate indexes, by models that have not seen the corpus.

The **curve** draws training corpora at random (``--curve`` times a size).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from autorag.table.files import read_machines, read_table, table_hash
from benchmarks.accuracy.choices import Studies, about_choices, interval, regret, tasks
from benchmarks.accuracy.times import about_times
from benchmarks.lessons.page import table
from models.examples import table_examples, table_searches
from models.quality import QualityModel
from models.recall import Searched, in_cells, left_out
from models.training import HeldOut, landmark_rows, residuals, told

SIZES = (1, 2, 4, 6, 8, 12, 16)


def main() -> None:
    arguments = parse_arguments()
    frame = read_table(arguments.table)
    examples = table_examples(frame, read_machines(arguments.table))
    timed = [e for e in examples if e.timed]
    rows = sum(len(t.configs) for e in timed for t in e.timed)
    print(f"table {table_hash(frame)}: {len(examples)} workloads, {len(timed)} of them timed,")
    print(f"{rows} timed rows, seed {arguments.seed}")
    print(f"\n## Times and tokens\n\n{about_times(examples, arguments.seed)}", flush=True)
    searched = about_recall(table_searches(frame), arguments.seed)
    print(f"\n## Recall of approximate search, corpus left out\n\n{searched}", flush=True)
    studies = Studies(examples, arguments.seed)
    print(f"\n## Levels and ranks of quality, corpus left out\n\n{about_quality(studies)}")
    print(f"\n## Coverage of 80 % intervals, corpus left out\n\n{about_coverage(studies)}")
    print(f"\n## Choices\n\n{about_choices(studies)}", flush=True)
    print(f"\n## Learning curve\n\n{about_curve(studies, arguments.curve)}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, default=Path("benchmarks/table"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--curve", type=int, default=5, help="draws of training corpora a size")
    return parser.parse_args()


def about_recall(searched: Sequence[Searched], seed: int) -> str:
    """Mean absolute error by corpus, of indexes of cells and of graphs."""
    found = left_out(searched, seed=seed)
    rows = []
    for corpus, errors in found.items():
        cells = np.concatenate([in_cells(x.rows) for x in searched if x.corpus == corpus])
        shown = [
            f"{np.abs(errors[kind]).mean():.3f}" if kind.any() else "" for kind in (cells, ~cells)
        ]
        rows.append((corpus, len(errors), *shown, f"{np.quantile(np.abs(errors), 0.9):.3f}"))
    return table(("corpus", "searches", "cells", "graphs", "p90"), rows)


def about_quality(studies: Studies) -> str:
    """Mean absolute error of nDCG@10 on one half of the queries, landmarks measured on the other;
    and rank correlation, by workload."""
    rows = []
    for e in studies.examples:
        quality, _ = studies.models(e.corpus)
        pool = quality.over(e.knobs)
        marks = {i: float(e.halves[0][i]) for i in landmark_rows(e.knobs)}
        cells = []
        for seen in ({}, marks):
            value = pool.predict(e.described, seen).value
            rank = spearmanr(value, e.halves[1]).statistic
            cells += [f"{np.abs(value - e.halves[1]).mean():.3f}", f"{rank:.2f}"]
        rows.append((e.workload, *cells))
    headings = ("workload", "error", "Spearman", "with landmarks", "Spearman ")
    return table(headings, rows)


def about_coverage(studies: Studies) -> str:
    """Share of a left-out corpus's values inside the intervals that the others give."""
    inside: dict[str, list[float]] = {}
    for corpus in studies.corpora:
        known = residuals(studies.held(corpus))
        if not known.supported:
            return f"{len(studies.corpora) - 1} corpora support no interval."
        asked = residuals(h for h in _told_of(studies, corpus))
        for metric in known.metrics:
            low, high = known.interval(metric)
            values = asked.values[:, asked.metrics.index(metric)]
            values = values[np.isfinite(values)]
            inside.setdefault(metric, []).append(float(np.mean((values >= low) & (values <= high))))
    rows = [
        (m, f"{np.mean(v):.1%}", f"{min(v):.1%}", *(f"{x:.1%}" for x in _spread(v)))
        for m, v in inside.items()
    ]
    return table(("metric", "mean coverage", "worst corpus", "95 % low", "high"), rows)


def _told_of(studies: Studies, corpus: str) -> Iterator[HeldOut]:
    quality, ratios = studies.models(corpus)
    for e in studies.examples:
        if e.corpus == corpus:
            yield from (told(e, t, quality, ratios) for t in e.timed)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    return interval(np.array(values), [str(i) for i in range(len(values))])


def about_curve(studies: Studies, draws: int) -> str:
    """Regret of choosing by effect where bounds are known, by number and kind of training corpora:
    with labels, with pseudo-queries alone, and the former beside all of the latter."""
    real, pseudo = (
        sorted({e.corpus for e in studies.examples if e.labelled == kind}) for kind in (True, False)
    )
    kinds = {
        "labelled": (real, []),
        "pseudo": (pseudo, []),
        "labelled and all pseudo": (real, pseudo),
    }
    rows = []
    for kind, (drawn, besides) in kinds.items():
        for size in SIZES:
            if size < len(drawn) or (size == len(drawn) and drawn is pseudo):
                lost = _lost_with(studies, drawn, besides, size, draws)
                shown = (f"{f(lost):.3f}" for f in (np.median, np.mean, max))
                rows.append((kind, size, *shown))
    return table(("training corpora", "drawn", "median", "mean", "worst"), rows)


def _lost_with(
    studies: Studies, drawn: Sequence[str], besides: Sequence[str], size: int, draws: int
) -> list[float]:
    """Regrets on every labelled workload, of models that learned from so many corpora."""
    rng = np.random.default_rng(studies.seed)
    lost: list[float] = []
    for e in (e for e in studies.examples if e.timed and e.labelled):
        for _ in range(draws):
            others = [c for c in drawn if c != e.corpus]
            kept = {*rng.choice(others, min(size, len(others)), replace=False).tolist(), *besides}
            known = QualityModel(tuple(x for x in studies.landscapes if x.corpus in kept))
            scores = known.over(e.timed[0].knobs).predict(e.described).effect
            for task in tasks(e):
                pick = int(task.feasible[scores[task.feasible].argmax()])
                lost += [regret(task, half, pick) for half in (0, 1)]
    return lost


if __name__ == "__main__":
    main()
