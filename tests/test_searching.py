"""Searches replayed on a slice of the measured table, and what is told of them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from autorag.errors import InputError
from autorag.optimizer import EXHAUSTED, Proposal, Stop, Strategy
from autorag.optimizer.candidates import encoded
from autorag.ports import Belief, CostModel, Trial
from autorag.space import Config
from autorag.table.files import read_machines, read_table, write_table
from benchmarks import optimizer_replay
from benchmarks.searching.draft import Draft, Protocol, Search, read
from benchmarks.searching.knowledge import Knowledge
from benchmarks.searching.optuna_peers import OptunaSearch, distribution, table_values
from benchmarks.searching.peers import BAYESIAN, INFORMED, PEERS, PLAIN, makers, table_space
from benchmarks.searching.play import Maker, Played, play
from benchmarks.searching.priors import Reversed
from benchmarks.searching.summary import by_strategy, differences, numbers, report
from benchmarks.searching.tasks import Task, tasks
from benchmarks.searching.walks import differs_in

TABLE = Path(__file__).parents[1] / "benchmarks/table"
SPACE = table_space()
WORKLOADS = ("xquad_en", "go_code", "tldr_commands")
BOUNDED = "latency, memory ≤ 50 %, context ≤ 1000"

ALL_OF_THEM = ("random", "portfolio", "prior", "greedy", "node-wise", "optuna-tpe")
"""Those that go on until every config was measured."""


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """A few configs of a few workloads."""
    rows = read_table(TABLE).filter(pl.col("workload").is_in(WORKLOADS), part="quality")
    configs = rows["config"].unique().sort().to_list()
    kept = [SPACE.default().canonical, *configs[::11]]
    return rows.filter(pl.col("config").is_in(kept))


@pytest.fixture(scope="module")
def task(frame: pl.DataFrame) -> Task:
    return next(t for t in tasks(frame, ["xquad_en"]) if t.slos == BOUNDED)


@pytest.fixture(scope="module")
def made(frame: pl.DataFrame, task: Task) -> dict[str, Maker]:
    """All strategies, with models of two other workloads."""
    knowledge = Knowledge(frame, read_machines(TABLE), "corpus", 0)
    prior, models = knowledge.prior(task), knowledge.models(task)
    return dict(makers(lambda _: prior, lambda _: models))


class Watched:
    """A strategy, with what it proposed and the best at every step."""

    def __init__(self, strategy: Strategy) -> None:
        self.name = strategy.name
        self.proposed: list[Config] = []
        self.trials: list[Trial] = []
        self.chosen: list[Trial] = []
        self.ended: Stop | None = None
        self._strategy = strategy
        if hasattr(strategy, "guess"):
            self.guess = strategy.guess

    def propose(self, trials: Sequence[Trial], used: float = 0.0) -> Proposal | Stop:
        found = self._strategy.propose(trials, used)
        if isinstance(found, Proposal):
            self.proposed.append(found.config)
        else:
            self.ended = found
        return found

    def best(self, trials: Sequence[Trial]) -> Trial:
        self.trials = list(trials)
        self.chosen.append(self._strategy.best(trials))
        return self.chosen[-1]


def watched(task: Task, maker: Maker, most: int) -> tuple[Watched, Played]:
    seen: list[Watched] = []

    def watching(task: Task, costs: CostModel, seed: int) -> Watched:
        seen.append(Watched(maker(task, costs, seed)))
        return seen[-1]

    played = play(task, watching, 3, most, noise=0.06)
    return seen[0], played


# -- strategies -----------------------------------------------------------------------------


def test_every_strategy_is_made_under_its_name(task: Task, made: dict[str, Maker]) -> None:
    assert tuple(made) == PEERS
    assert set(INFORMED) < set(PEERS)


@pytest.mark.parametrize("name", [n for n in PEERS if n != "optuna-gp"])
def test_a_search_stays_in_the_table_and_is_judged_from_0_to_1(
    name: str, task: Task, made: dict[str, Maker]
) -> None:
    search, played = watched(task, made[name], 12)
    assert played.strategy == search.name == name
    assert set(search.proposed) <= set(task.configs)
    if name not in (PLAIN, BAYESIAN):
        assert len({task.default, *search.proposed}) == 1 + len(search.proposed)
    assert [s.evaluations for s in played.steps] == list(range(len(search.proposed) + 1))
    assert all(0.0 <= s.regret <= 1.0 for s in played.steps)
    spent = [(s.seconds, s.thought) for s in played.steps]
    assert all(np.all(np.diff(spent, axis=0) >= 0, axis=0))
    assert all(chosen in search.trials for chosen in search.chosen)


@pytest.mark.parametrize("name", ALL_OF_THEM)
def test_what_is_best_holds_the_bounds_as_measured_and_everything_is_measured(
    name: str, task: Task, made: dict[str, Maker]
) -> None:
    search, played = watched(task, made[name], len(task.configs))
    assert search.ended == EXHAUSTED
    assert played.stopped == EXHAUSTED.reason
    assert {task.default, *search.proposed} == set(task.configs)
    assert len(search.proposed) == len(task.configs) - 1
    objective = task.objective
    for n, best in enumerate(search.chosen, 1):
        some = any(objective.feasible(t.metrics) for t in search.trials[:n])
        assert objective.feasible(best.metrics) == some


def test_what_knows_models_guesses_before_it_measures(task: Task, made: dict[str, Maker]) -> None:
    first = {name: play(task, made[name], 0, 1, noise=0.0).steps[0] for name in PEERS[:-3]}
    uninformed = {first[n].regret for n in first if n not in INFORMED}
    assert uninformed == {task.regret(task.default)}
    plain = play(task, made[PLAIN], 0, 1, noise=0.0)
    assert plain.steps[0].regret == task.regret(task.default)
    order = watched(task, made["portfolio"], 5)[0].proposed
    assert first["portfolio"].regret == task.regret(order[0])


def test_the_default_stays(task: Task, made: dict[str, Maker]) -> None:
    search, played = watched(task, made["default"], 5)
    assert search.proposed == []
    assert [s.evaluations for s in played.steps] == [0]


def test_node_wise_settles_a_stage_after_the_other(task: Task, made: dict[str, Maker]) -> None:
    search, _ = watched(task, made["node-wise"], 12)
    first = [c for c in task.configs if c != task.default and differs_in("chunk", task.default, c)]
    assert first
    assert set(search.proposed[: len(first)]) == set(first)


def test_knobs_that_others_make_inactive_do_not_count_as_different() -> None:
    dense, lexical = ({"retrieve.mode": m} for m in ("dense", "lexical"))
    one, other = SPACE.config(dense), SPACE.config(lexical)
    assert differs_in("retrieve", one, other)
    assert not differs_in("chunk", one, other)
    assert not differs_in("retrieve", one, SPACE.config({**dense, "rerank.model": "bm25"}))


def test_a_sampler_is_answered_by_the_nearest_config_that_was_not_measured(task: Task) -> None:
    import optuna

    wanted = task.configs[-1]
    values = table_values(SPACE, task.configs)
    fixed = {n: v for n, v in wanted.items() if len(values[n]) > 1}
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        sampler = optuna.samplers.PartialFixedSampler(fixed, optuna.samplers.RandomSampler(0))
    search = OptunaSearch("fixed", sampler, SPACE, task.configs, task.objective)
    metrics = task.answers.by_config[task.default].metrics
    trials = [Trial(0, task.default, "finished", metrics)]
    first = search.propose(trials)
    assert first == Proposal(wanted)
    trials.append(Trial(1, wanted, "finished", task.answers.by_config[wanted].metrics))
    second = search.propose(trials)
    assert isinstance(second, Proposal)
    others = [c for c in task.configs if c not in (wanted, task.default)]
    (at, *places) = encoded(SPACE, [wanted, *others])
    nearest = min(((p - at) ** 2).sum() for p in places)
    assert ((places[others.index(second.config)] - at) ** 2).sum() == nearest


def test_a_sampler_sees_ranges_of_ordered_numbers_and_choices_of_others(task: Task) -> None:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    assert distribution(SPACE["chunk.tokens"], (64, 256)) == IntDistribution(64, 256, log=True)
    assert distribution(SPACE["retrieve.alpha"], (0.2, 0.5)) == FloatDistribution(0.2, 0.5)
    choices = ("dense", "hybrid")
    assert distribution(SPACE["retrieve.mode"], choices) == CategoricalDistribution(choices)
    assert isinstance(distribution(SPACE["embed.dim"], (64, "full")), CategoricalDistribution)
    values = table_values(SPACE, task.configs)
    assert values["chunk.tokens"] == tuple(sorted(values["chunk.tokens"]))
    assert "index.nlist" not in values


class Fixed:
    """A prior that believes the same of every metric."""

    def believe(self, metric: str, configs: Sequence[Config]) -> Belief | None:
        return Belief(np.arange(float(len(configs))), np.zeros((len(configs), 1)), 0.1, 0.1, 0.9)


def test_a_reversed_prior_ranks_the_other_way_round(task: Task) -> None:
    prior = Reversed(Fixed())
    ranks = prior.believe("ndcg_at_10", task.configs[:3])
    times = prior.believe("latency_p95_ms", task.configs[:3])
    assert ranks is not None
    assert times is not None
    assert ranks.mean.tolist() == [2.0, 1.0, 0.0]
    assert times.mean.tolist() == [0.0, 1.0, 2.0]


# -- the summary ----------------------------------------------------------------------------

PROTOCOL = Protocol("hash", 0.06, "corpus", 10, 0.0, False, "")


def a_search(strategy: str, regret: Sequence[float], corpus: str = "a", seed: int = 0) -> Search:
    """One whose evaluations take ten seconds each and half a second of deciding."""
    count = len(regret)
    return Search(
        workload=corpus,
        corpus=corpus,
        labelled=True,
        slos="some",
        bounded=True,
        half="a",
        strategy=strategy,
        seed=seed,
        seconds=[10.0 * i for i in range(count)],
        regret=list(regret),
        holds=[r < 0.5 for r in regret],
        thought=[0.5 * i for i in range(count)],
        stopped="enough" if count < 11 else "",
    )


def test_a_search_that_ended_keeps_its_last_value() -> None:
    told = numbers(PROTOCOL, [a_search("random", [1.0, 0.4, 0.2])])
    assert told["evaluations"]["at"] == [0, 1, 2, 3, 5, 10]
    assert told["evaluations"]["mean regret"]["random"] == [1.0, 0.4, 0.2, 0.2, 0.2, 0.2]
    assert told["evaluations"]["held"]["random"] == [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert told["seconds"]["mean regret"]["random"] == [0.4, 0.2, 0.2, 0.2, 0.2, 0.2]
    assert told["deciding_s"]["random"] == 0.5
    assert told["stopped"]["random"] == 1.0


def test_what_holds_without_bounds_does_not_count_as_held() -> None:
    free = replace(a_search("random", [0.1], "b"), bounded=False)
    told = numbers(PROTOCOL, [a_search("random", [0.9]), free])
    assert told["evaluations"]["held"]["random"][0] == 0.0
    alone = numbers(PROTOCOL, [free])
    assert alone["evaluations"]["held"]["random"][0] is None


def test_the_worst_task_is_a_mean_over_seeds_and_the_worst_search_is_one() -> None:
    some = [a_search("random", [r], c, s) for c, s, r in (("a", 0, 1.0), ("a", 1, 0.0))]
    told = numbers(PROTOCOL, [*some, a_search("random", [0.7], "b")])["evaluations"]
    assert told["regret on the worst task"]["random"][0] == 0.7
    assert told["regret of the worst search"]["random"][0] == 1.0
    assert told["median regret"]["random"][0] == 0.7


def test_searches_are_compared_where_both_searched() -> None:
    plain = [a_search(PLAIN, [1.0, 0.5, 0.2], c) for c in ("a", "b")]
    ours = [
        a_search(BAYESIAN, [0.2, 0.2, 0.3], "a"),
        a_search(BAYESIAN, [0.2, 0.2, 0.1], "b"),
        a_search(BAYESIAN, [0.9], "b", seed=1),
    ]
    told = numbers(PROTOCOL, [*plain, *ours])
    runs = by_strategy(PROTOCOL, [*plain, *ours])
    less, corpora = differences(runs[BAYESIAN], runs[PLAIN], 10)
    assert less.tolist() == pytest.approx([0.1, -0.1])
    assert corpora == ["a", "b"]
    assert told["harmed"] == 0.5
    assert told["until"] == {PLAIN: 2, BAYESIAN: None}
    mean, low, high = told["compared"][PLAIN]["difference at 10"]
    assert (mean, low, high) == pytest.approx((0.0, -0.1, 0.1))
    page = report(told, PROTOCOL)
    assert "50.0 % of searches regret 0.05 more after 10 evaluations" in page
    assert f"| {PLAIN} | 1.000 | 0.500 | 0.200 | 0.200 | 0.200 | 0.200 |" in page


def test_plain_gaussian_processes_reach_what_others_are_timed_to() -> None:
    rng = np.random.default_rng(0)
    falling = -np.sort(-rng.random((30, 11)), axis=1)
    some = [a_search(PLAIN, row.tolist(), seed=i) for i, row in enumerate(falling)]
    assert numbers(PROTOCOL, some)["until"] == {PLAIN: PROTOCOL.most}


# -- the command ----------------------------------------------------------------------------


@pytest.fixture
def folder(frame: pl.DataFrame, tmp_path: Path) -> Path:
    """The slice as a table of its own."""
    some = frame.filter(workload="xquad_en")
    write_table(some.to_dicts(), tmp_path / "table" / "xquad_en.parquet")
    shutil.copytree(TABLE / "machines", tmp_path / "table/machines")
    return tmp_path


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> list[Search]:
    """The searches after a run of the command."""
    out, images = folder / "found.json", folder / "images"
    given = ["--table", folder / "table", "--out", out, "--images", images, "--most", 3]
    strategies = ["--strategies", "default", "random", "greedy", "--tasks", 5]
    command = ["optimizer_replay", *given, *strategies, "--processes", 1, *more]
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    optimizer_replay.main()
    return read(out.with_suffix(".jsonl"))[1]


def test_a_run_goes_on_where_it_was_and_does_nothing_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(folder, monkeypatch, "--seeds", "1")
    assert len(first) == len({s.key for s in first}) == 9
    draft = folder / "found.jsonl"
    whole = draft.read_bytes()
    draft.write_bytes(whole[:-20])
    again = run(folder, monkeypatch, "--seeds", "2")
    assert [s.key for s in again[:9]] == [s.key for s in first]
    assert [_without_thought(s) for s in again[:9]] == [_without_thought(s) for s in first]
    assert len(again) == len({s.key for s in again}) == 18
    before = draft.read_bytes()
    assert before.startswith(whole[: whole[:-20].rfind(b"\n")])
    capsys.readouterr()
    run(folder, monkeypatch, "--seeds", "2")
    assert draft.read_bytes() == before
    assert "| greedy |" in capsys.readouterr().out
    told = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    assert told["searches"] == {"default": 6, "random": 6, "greedy": 6}
    images = {p.name for p in (folder / "images").iterdir()}
    assert images == {"found-evaluations.svg", "found-seconds.svg"}


def test_a_draft_of_another_protocol_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some/draft.jsonl"
    Draft(path, PROTOCOL).add([a_search("random", [0.1])])
    assert Draft(path, PROTOCOL).done() == {("a", "some", "a", "random", 0)}
    with pytest.raises(InputError, match="another protocol"):
        Draft(path, replace(PROTOCOL, noise=0.1))


def _without_thought(search: Search) -> Search:
    """A search without what differs from run to run."""
    return replace(search, thought=[])
