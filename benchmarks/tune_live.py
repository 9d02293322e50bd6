"""Real runs, not replay: the optimizer against Optuna's TPE on the same measurer, equal seconds.

    python -m benchmarks.tune_live --workloads xquad_en clapnq_dev --budget 90 --seeds 3

Every run measures the reference pipeline in processes of this machine, in a home of its own whose
artifact store is empty, on the workload's search queries; the default config comes first. Both
search the whole space under ``max ndcg_at_10 subject to latency_p95_ms <= 20, context_tokens <=
1500``. What each recommends at the end is measured on queries that no search saw. The models that
the optimizer starts from have not seen the workload's corpus; TPE is told what the space's rules
make of what it asked for. Runs of a seed take turns, so that slow moments of the machine meet both.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from api.prepared import searched_space
from api.settings import Settings
from api.targets import reference_target
from api.wiring import (
    SEED_SAMPLE,
    SEED_SPLIT,
    Parts,
    bind,
    hardware_profile,
    load_workload,
    make_parts,
    make_space,
    workload_features,
)
from autorag.objective import parse_objective
from autorag.optimizer import BayesianSearch, SpaceCandidates, Strategy
from autorag.ports import Prior, Trial
from autorag.queries import split_queries, subsample
from autorag.space import Space
from autorag.study import Limits, Plan, Study, Watcher
from autorag.table.design import designed
from autorag.table.files import read_machines, read_table
from autorag.workload import Workload
from benchmarks.lessons.page import table
from benchmarks.searching.knowledge import models_without
from benchmarks.searching.optuna_peers import LiveOptuna, tpe
from collectors.prepare import prepare_models
from models.predictor import Task
from models.prior import LearnedPrior
from store.engine import open_database
from store.repositories import SqlTrialLog, StudyRepository

OBJECTIVE = parse_objective(
    "max ndcg_at_10 subject to latency_p95_ms <= 20, context_tokens <= 1500"
)
QUERIES = 200
"""Most of each side of the split."""


@dataclass(frozen=True)
class Run:
    """What a run found. ``values``: (seconds, best feasible nDCG@10 so far) after every trial."""

    workload: str
    strategy: str
    seed: int
    trials: int
    values: Sequence[tuple[float, float]]
    report: float
    held: bool


def main() -> None:
    arguments = parse_arguments()
    print((__doc__ or "").split("\n\n")[2])
    print(f"\n{arguments.budget} s a run, {arguments.seeds} seeds, {QUERIES} queries a side, ")
    print(f"load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores\n", flush=True)
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        models = Path(scratch) / "models"
        prepare_models(models)
        for name in arguments.workloads:
            docs = Path(os.environ["AUTORAG_WORKLOADS"]) / name
            prior = Shared(docs, name, arguments, Path(scratch), models)
            for seed in range(arguments.seeds):
                for strategy in ("bayesian", "TPE")[:: 1 if seed % 2 == 0 else -1]:
                    found.append(prior.run(strategy, seed))
                    show(found[-1])
    print()
    print(summary(found, arguments.budget))


class Shared:
    """What all runs on a workload share."""

    def __init__(
        self, docs: Path, name: str, arguments: argparse.Namespace, scratch: Path, models: Path
    ) -> None:
        self._name = name
        self._docs = docs
        self._budget = float(arguments.budget)
        self._scratch = scratch
        self._models = models
        parts = self._parts(0)
        self._profile = hardware_profile(parts, whole=True)
        self._features = workload_features(load_workload(docs, None, parts), parts)
        frame, machines = read_table(arguments.table), read_machines(arguments.table)
        self._learned = models_without(frame, machines, name)

    def run(self, strategy: str, seed: int) -> Run:
        """One search in an empty home."""
        parts = self._parts(seed)
        workload = load_workload(self._docs, None, parts)
        space = searched_space(bind(make_space(), workload), OBJECTIVE)
        target = reference_target(workload, space, OBJECTIVE, parts)
        costs = target.costs(()).model
        plan = self._plan(workload, space, parts)
        search: Strategy
        if strategy == "TPE":
            search = LiveOptuna("TPE", tpe(seed), space, OBJECTIVE, seed)
        else:
            known = [*designed("quality", space), *designed("index", space)]
            candidates = SpaceCandidates(space, known, seed)
            search = BayesianSearch(
                space,
                OBJECTIVE,
                candidates,
                self._prior(),
                costs,
                queries=len(plan.search),
                seed=seed,
            )
        engine = open_database(parts.settings.database_url)
        row = StudyRepository(engine, parts.clock).open(workload.summary(), {"run": strategy})
        search_log, report_log = (
            SqlTrialLog(engine, parts.clock, row.id, side, "run") for side in ("search", "report")
        )
        study = Study(
            plan, target.measurer(), search_log, report_log, costs, parts.clock, Watcher()
        )
        trials = study.run(search, Limits(1000, self._budget))
        best = search.best(trials)
        report = study.measure_report(best.number).metrics
        engine.dispose()
        return Run(
            self._name,
            strategy,
            seed,
            sum(t.state == "finished" for t in trials) - 1,
            progress(trials),
            report["ndcg_at_10"],
            OBJECTIVE.feasible(report),
        )

    def _prior(self) -> Prior:
        return LearnedPrior(self._learned, Task(self._features, self._profile))

    def _parts(self, seed: int) -> Parts:
        home = Path(tempfile.mkdtemp(dir=self._scratch))
        (home / "models").symlink_to(self._models)
        shared = self._scratch / "hardware"
        shared.mkdir(exist_ok=True)
        (home / "hardware").symlink_to(shared)
        return make_parts(Settings.from_environment({"AUTORAG_HOME": str(home)}), seed)

    def _plan(self, workload: Workload, space: Space, parts: Parts) -> Plan:
        sides = split_queries(workload.queries, parts.rng(SEED_SPLIT))
        rng = parts.rng(SEED_SAMPLE)
        search, report = (tuple(q.id for q in subsample(s, QUERIES, rng)) for s in sides)
        return Plan(space.default(), OBJECTIVE, search, report)


def progress(trials: Sequence[Trial]) -> list[tuple[float, float]]:
    """The best feasible value after every trial that ended, by seconds of measuring."""
    spent, best, found = 0.0, 0.0, []
    for trial in trials:
        spent += trial.seconds
        if trial.state == "finished" and OBJECTIVE.feasible(trial.metrics):
            best = max(best, trial.metrics["ndcg_at_10"])
        found.append((spent, best))
    return found


def show(run: Run) -> None:
    spent, best = run.values[-1]
    held = "holds its bounds" if run.held else "misses a bound"
    print(
        f"{run.workload} seed {run.seed} {run.strategy}: {run.trials} trials in {spent:.0f} s, "
        f"best seen {best:.4f}, on other queries {run.report:.4f}, {held}",
        flush=True,
    )


def summary(found: Sequence[Run], budget: float) -> str:
    """Means over seeds: the best seen at shares of the budget, and what it is worth."""
    moments = [budget / 4, budget / 2, budget]
    rows = []
    for workload in dict.fromkeys(r.workload for r in found):
        for strategy in ("bayesian", "TPE"):
            some = [r for r in found if (r.workload, r.strategy) == (workload, strategy)]
            seen = [f"{np.mean([at(r, m) for r in some]):.4f}" for m in moments]
            worth = [r.report for r in some]
            figures = f"{np.mean(worth):.4f}", f"{min(worth):.4f}–{max(worth):.4f}"
            held = f"{sum(r.held for r in some)} of {len(some)}"
            rows.append(
                (workload, strategy, np.mean([r.trials for r in some]), *seen, *figures, held)
            )
    headings = ("workload", "strategy", "trials", *(f"seen at {m:.0f} s" for m in moments))
    return table((*headings, "other queries", "least–most", "bounds held"), rows)


def at(run: Run, moment: float) -> float:
    """The best seen within so many seconds."""
    return max((best for spent, best in run.values if spent <= moment), default=0.0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--workloads", nargs="+", default=["xquad_en", "clapnq_dev", "multihop_wiki"]
    )
    parser.add_argument("--budget", type=float, default=90.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", type=Path, default=Path("benchmarks/table"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
