"""What it takes to decide what to measure next: seconds and memory, in a process of its own.

    OMP_NUM_THREADS=1 python -m benchmarks.suggest_time [--observations 10 30 100] [--repeats 5]

The whole space of the reference pipeline, the models that ship, and an objective with three bounds;
or the same space without models (``plain``). What was "measured" is made up, of configs drawn at
random: only the time is looked at. The first call is told apart: it imports, reads the models and
lays them over the candidates; the store, the service and the artifacts play no part.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from api.wiring import make_space
from autorag.objective import parse_objective
from autorag.optimizer import BayesianSearch, SpaceCandidates, Stop
from autorag.ports import Prior, Trial
from autorag.space import CorpusFacts, Space
from autorag.table.design import designed
from autorag.table.files import read_machines, read_table, row_features, row_profile
from benchmarks.lessons.page import table
from models.analytic.mean_cost import MeanCosts

OBJECTIVE = parse_objective(
    "max ndcg_at_10 subject to latency_p95_ms <= 30, context_tokens <= 1500, memory_mb <= 200"
)
TOKENS = (300,) * 2000
"""Documents that configs have to be valid for."""


def main() -> None:
    arguments = parse_arguments()
    rows = []
    for kind in ("learned", "plain"):
        before = time.perf_counter()
        space = make_space().for_corpus(CorpusFacts(TOKENS))
        search = a_search(space, a_prior(arguments.table) if kind == "learned" else None)
        trials = made_up(space, max(arguments.observations) + arguments.repeats)
        search.propose(trials[:1])
        first = time.perf_counter() - before
        for count in arguments.observations:
            taken = [seconds(search, trials, count + i) for i in range(arguments.repeats)]
            figures = (f"{f(taken):.2f}" for f in (min, np.median, max))
            rows.append((kind, count, *figures, f"{first:.1f}", f"{memory_mb():.0f}"))
    knobs = len(list(make_space()))
    print(f"{knobs} knobs, {arguments.repeats} repeats; peak memory of the process so far\n")
    headings = ("models", "observations", "least s", "median s", "most s", "first call s", "MB")
    print(table(headings, rows))


def a_search(space: Space, prior: Prior | None) -> BayesianSearch:
    known = [*designed("quality", space), *designed("index", space)]
    candidates = SpaceCandidates(space, known, 0)
    return BayesianSearch(space, OBJECTIVE, candidates, prior, MeanCosts(), queries=200, seed=0)


def a_prior(folder: Path) -> Prior:
    from models.files import SHIPPED, read_models
    from models.predictor import Task
    from models.prior import LearnedPrior

    row = read_table(folder).filter(workload="xquad_en").row(0, named=True)
    task = Task(row_features(row), row_profile(row, read_machines(folder)))
    return LearnedPrior(read_models(SHIPPED)[0], task)


def made_up(space: Space, count: int) -> list[Trial]:
    """Trials whose figures depend on the config and on chance."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        config = space.sample(rng) if number else space.default()
        near = float(np.nansum(space.encode(config)) / space.width)
        metrics = {
            "ndcg_at_10": 0.4 + near / 2 + 0.01 * float(rng.standard_normal()),
            "latency_p95_ms": 10 * np.exp(near + 0.05 * float(rng.standard_normal())),
            "context_tokens": 500 + 1000 * near,
            "memory_mb": 50 + 200 * near,
        }
        found.append(Trial(number, config, "finished", metrics))
    return found


def seconds(search: BayesianSearch, trials: list[Trial], count: int) -> float:
    """After so many trials, which the search has not seen together before."""
    before = time.perf_counter()
    proposal = search.propose(trials[:count], used=0.5)
    if isinstance(proposal, Stop):
        raise SystemExit(f"stopped after {count} trials: {proposal.reason}")
    return time.perf_counter() - before


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--observations", type=int, nargs="+", default=[10, 30, 100])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--table", type=Path, default=Path("benchmarks/table"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
