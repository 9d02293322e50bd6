"""How fast strategies find good configs: searches replayed on the measured table.

    python -m benchmarks.optimizer_replay [--table benchmarks/table] [--strategies NAME ...]
        [--seeds 20] [--most 50] [--budget SECONDS] [--left-out corpus|family] [--noise 0.06]
        [--pseudo] [--wrong reversed] [--tasks N] [--processes 2]
        [--out benchmarks/results/optimizer_replay.json] [--images docs/images/optimizer]

Nothing is measured: configs of the table answer with what was recorded. A *task* is a timed
workload, an SLO set (those of ``benchmarks.lessons.regret``) and one half of its queries. A search
begins with the default config and proposes others of the table; it sees nDCG@10 on its half of the
queries, and the times of the first repeat, each time with fresh log-normal noise. After every
evaluation it is asked what it would recommend now, which is judged as it was recorded on the other
half of the queries and in the last repeat:

    regret = (best - recommended) / (best - worst), over the configs that hold the SLOs,

and 1 for a config that misses an SLO by more than a tenth. (Where times were taken once, the last
repeat is the first, and the noise is all that differs between what is seen and what is judged.)
Seconds are those of measuring, builds among them (once a search), for 150 queries. Strategies are
those of ``benchmarks.searching.peers``; what models they know have not seen the task's corpus, or
its family.

Seeds alternate: all tasks and strategies with the first, then with the second, so that a run that
was cut short is a smaller one. Finished searches are appended to a file of JSON lines beside
``--out``; a run with the same protocol goes on from it, also with other strategies, seeds or tasks,
and sums up all that is there. The tables are printed, their figures written to ``--out`` and curves
drawn to ``--images``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl

from autorag.ports import Prior
from autorag.table.files import read_machines, read_table, table_hash
from benchmarks.lessons.regret import TOLERANCE
from benchmarks.searching.curves import over_evaluations, over_seconds
from benchmarks.searching.draft import Draft, Protocol, Search, read
from benchmarks.searching.knowledge import Knowledge
from benchmarks.searching.peers import INFORMED, PEERS, makers
from benchmarks.searching.play import Maker
from benchmarks.searching.priors import Reversed
from benchmarks.searching.running import Job, Player, every_job, key, play_all
from benchmarks.searching.summary import by_strategy, numbers, report
from benchmarks.searching.tasks import QUERIES, Task, tasks
from models.training import ModelSet

MODEL_SEED = 0
UNKNOWN = "ignorant of minilm-int8"
"""A prior that was learned from configs without the embedder that most good ones have."""


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # processes share the cores, and are forked
    arguments = parse_arguments()
    frame = read_table(arguments.table)
    protocol = protocol_of(arguments, table_hash(frame))
    draft = Draft(arguments.out.with_suffix(".jsonl"), protocol)
    known = knowledge(frame, arguments.table, protocol)
    chosen = [t for t in chosen_tasks(frame, pseudo=protocol.pseudo) if known.enough(t)]
    chosen = chosen[:: arguments.tasks]
    print(about(protocol, chosen, arguments), flush=True)
    done = draft.done()
    every = every_job(chosen, arguments.strategies, arguments.seeds)
    jobs = [job for job in every if key(job, chosen) not in done]
    if jobs:
        made = learned(known, chosen, jobs, protocol.wrong)
        player = Player(chosen, made, protocol.most, protocol.noise, protocol.budget_s)
        draft.add(shown(play_all(player, jobs, arguments.processes), len(jobs)))
    sum_up(draft.path, arguments.out, arguments.images)


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, default=Path("benchmarks/table"))
    parser.add_argument("--strategies", nargs="+", choices=PEERS, default=PEERS, metavar="NAME")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--most", type=int, default=50, help="evaluations beside the default")
    parser.add_argument("--budget", type=float, default=0.0, help="seconds; 0: they do not count")
    parser.add_argument("--left-out", choices=("corpus", "family", "size"), default="corpus")
    parser.add_argument("--noise", type=float, default=0.06, help="deviation of the log of a time")
    parser.add_argument("--pseudo", action="store_true", help="searches see pseudo-queries only")
    parser.add_argument(
        "--wrong", choices=("reversed", UNKNOWN), default="", help="a prior that misleads"
    )
    parser.add_argument("--tasks", type=int, default=1, help="every so many")
    parser.add_argument("--processes", type=int, default=2)
    results = Path("benchmarks/results/optimizer_replay.json")
    parser.add_argument("--out", type=Path, default=results)
    parser.add_argument("--images", type=Path, default=Path("docs/images/optimizer"))
    return parser.parse_args(given)


def knowledge(frame: pl.DataFrame, table: Path, protocol: Protocol) -> Knowledge:
    """What may be learned."""
    if protocol.wrong == UNKNOWN:
        frame = frame.filter(~pl.col("config").str.contains('"minilm-int8"', literal=True))
    return Knowledge(frame, read_machines(table), protocol.left_out, MODEL_SEED)


def protocol_of(arguments: argparse.Namespace, table: str) -> Protocol:
    return Protocol(
        table,
        arguments.noise,
        arguments.left_out,
        arguments.most,
        arguments.budget,
        arguments.pseudo,
        arguments.wrong,
    )


def chosen_tasks(frame: pl.DataFrame, *, pseudo: bool) -> list[Task]:
    """The tasks of all timed workloads; with pseudo-queries, of those that can be judged on
    labelled ones."""
    timed = frame.filter(pl.col("query_s").is_not_null(), part="quality")
    names = timed["workload"].unique().sort().to_list()
    return [t for t in tasks(frame, names, pseudo=pseudo) if t.labelled or not pseudo]


def about(protocol: Protocol, chosen: Sequence[Task], arguments: argparse.Namespace) -> str:
    """What is played, and how it is judged."""
    workloads = {t.workload: t.labelled for t in chosen}
    budget = f"{protocol.budget_s:g} s of measuring" if protocol.budget_s else "none (α = 0)"
    lines = (
        f"table {protocol.table}",
        f"{len(chosen)} tasks on {len(workloads)} workloads, {sum(workloads.values())} of them "
        f"labelled; searches see {'pseudo-queries' if protocol.pseudo else 'half of the queries'}",
        f"strategies: {', '.join(arguments.strategies)}",
        f"seeds 0 to {arguments.seeds - 1}, which alternate; {protocol.most} evaluations beside "
        f"the default at most; budget: {budget}",
        f"models have not seen the {protocol.left_out} of a task"
        + (f"; their quality is {protocol.wrong}" if protocol.wrong else ""),
        f"times have fresh log-normal noise of {protocol.noise:g}; {QUERIES} queries are charged",
        "regret: (best - recommended) / (best - worst) of the configs that hold the SLOs, on the "
        "other half of the queries and in the last repeat;",
        f"1 for a config that misses an SLO by more than {TOLERANCE:.0%}",
    )
    return "\n".join(f"* {line}" for line in lines) + "\n"


def learned(
    knowledge: Knowledge, chosen: Sequence[Task], jobs: Sequence[Job], wrong: str
) -> Mapping[str, Maker]:
    """The strategies, with models of every workload that one of them needs models of: made once,
    before processes are forked."""
    needed = {chosen[j.task].workload: chosen[j.task] for j in jobs if j.strategy in INFORMED}
    models: dict[str, ModelSet] = {}
    priors: dict[str, Prior] = {}
    for name, task in needed.items():
        print(f"models for {name}", file=sys.stderr, flush=True)
        models[name], prior = knowledge.models(task), knowledge.prior(task)
        priors[name] = Reversed(prior) if wrong == "reversed" else prior
    return makers(lambda task: priors[task.workload], lambda task: models[task.workload])


def shown(searches: Iterable[Search], count: int) -> Iterator[Search]:
    """The searches, with progress on the standard error."""
    started = time.monotonic()
    for number, search in enumerate(searches, 1):
        yield search
        left = (time.monotonic() - started) / number * (count - number)
        end = "\n" if number == count else ""
        told = f"\r{number}/{count} searches, {left / 60:.0f} min left "
        print(told, end=end, file=sys.stderr, flush=True)


def sum_up(path: Path, out: Path, images: Path) -> None:
    """Print the tables of a file of searches, write their figures, draw curves."""
    protocol, searches = read(path)
    told = numbers(protocol, searches)
    print(f"{report(told, protocol)}\n")
    whole = json.dumps({"protocol": asdict(protocol), **told}, indent=1)
    out.write_text(whole + "\n", encoding="utf-8")
    runs = by_strategy(protocol, searches)
    over_evaluations(images / f"{out.stem}-evaluations.svg", runs)
    over_seconds(images / f"{out.stem}-seconds.svg", runs)


if __name__ == "__main__":
    main()
