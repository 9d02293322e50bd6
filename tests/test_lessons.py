"""What the measured table teaches, on made-up tables whose lessons are known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.table.schema import COLUMNS
from benchmarks.lessons import facts
from benchmarks.lessons.choosers import CHOOSERS, Scene, landmark_columns, portfolio_scores
from benchmarks.lessons.differences import regret_matrix, variance_shares
from benchmarks.lessons.importance import QUALITY_FACTORS, changes, crossed, explained, scaled
from benchmarks.lessons.landscapes import About, Landscapes, landscapes
from benchmarks.lessons.machines import ONE_MACHINE, between, letters
from benchmarks.lessons.page import blocks, filled
from benchmarks.lessons.parts import hours
from benchmarks.lessons.pseudo import choices, thinned
from benchmarks.lessons.regret import (
    SLO_SETS,
    interval,
    leave_corpus_out,
    leave_family_out,
    normalised_regret,
    outcomes,
)
from benchmarks.table_lessons import lessons
from tests.autorag.table.tables import SPACE, TASTE, Made, build_seconds, grid, table

TIMED_COLUMNS = ("latency_p50_ms", "latency_p95_ms", "retrieve_p50_ms")
DEFAULT = dict(SPACE.default())
PAGE = Path(__file__).parents[1] / "docs/table.md"


def a_landscape(
    quality: Sequence[Sequence[float]],
    *,
    corpora: Sequence[str] | None = None,
    configs: Sequence[Mapping[str, Any]] | None = None,
    latency: Sequence[Sequence[float]] | None = None,
    judged_latency: Sequence[Sequence[float]] | None = None,
) -> Landscapes:
    """A hand-made one, whose halves and pseudo-queries agree."""
    values = np.array(quality, dtype=np.float64)
    names = [f"w{i}" for i in range(len(values))] if corpora is None else corpora
    about = [About(f"w{i}", c, f"f{c}", True, 2, 300, np.zeros(1)) for i, c in enumerate(names)]
    views = dict.fromkeys(("", ".a", ".b"), values)
    times = np.ones_like(values) if latency is None else np.array(latency, dtype=np.float64)
    later = times if judged_latency is None else np.array(judged_latency, dtype=np.float64)
    others = dict.fromkeys(("memory_mb", "context_tokens"), np.ones_like(values))
    return Landscapes(
        tuple(about),
        tuple(configs or [{"n": i} for i in range(values.shape[1])]),
        views,
        views,
        {"latency_p95_ms": times, **others},
        {"latency_p95_ms": later, **others},
    )


def a_scene(found: Landscapes, target: int = 0) -> Scene:
    others = leave_corpus_out(found, target)
    feasible = np.arange(len(found.configs))
    return Scene(found, target, others, feasible, ".a", 0, [0, 1])


# -- regret --------------------------------------------------------------------------------------


def test_regret_is_the_share_of_what_could_be_lost() -> None:
    quality = np.array([0.9, 0.5, 0.1, 0.7])
    every = np.arange(4)
    assert normalised_regret(quality, every, every).tolist() == pytest.approx([0, 0.5, 1, 0.25])
    assert normalised_regret(quality, np.array([1, 2]), every).tolist() == [0, 0, 1, 0]


qualities = st.lists(st.floats(0, 1), min_size=2, max_size=20)


@given(qualities, st.data())
def test_regret_is_within_0_and_1_and_0_for_the_best(
    values: list[float], data: st.DataObject
) -> None:
    quality = np.array(values)
    indices = st.integers(0, len(values) - 1)
    feasible = np.array(sorted(data.draw(st.sets(indices, min_size=1))))
    regret = normalised_regret(quality, feasible, np.arange(len(values)))
    assert ((regret >= 0) & (regret <= 1)).all()
    assert regret[feasible[quality[feasible].argmax()]] == 0


def by_chooser(found: Landscapes, slos: str = "none") -> dict[str, list[float]]:
    made = outcomes(found, CHOOSERS, default=0)
    assert {o.slos for o in made} <= set(SLO_SETS)
    return {
        name: [o.regret for o in made if o.chooser == name and o.slos == slos] for name in CHOOSERS
    }


def test_choosers_on_a_table_made_by_hand() -> None:
    alike = [0.5, 0.9, 0.1, 0.3, 0.6]
    regrets = by_chooser(a_landscape([alike, alike, alike, [0.9, 0.5, 0.1, 0.3, 0.6]]))
    assert regrets["default"] == pytest.approx([0.5, 0.5, 0.5, 0.0])
    assert regrets["labels"] == regrets["pseudo"] == [0, 0, 0, 0]
    assert regrets["portfolio"] == pytest.approx([0, 0, 0, 0.5])
    assert regrets["random"] == pytest.approx([0.525] * 4)


def test_what_misses_its_slo_counts_as_the_worst() -> None:
    quality = [[0.5, 0.9, 0.1, 0.3, 0.6, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]] * 2
    slow_default = [[9.0, *range(1, 11)]] * 2
    regrets = by_chooser(a_landscape(quality, latency=slow_default), "latency p95 ≤ 50 % quantile")
    assert regrets["default"] == [1, 1]
    assert regrets["portfolio"] == [0, 0]


@pytest.mark.parametrize(("grown", "regret"), [(1.05, 0.0), (1.5, 1.0)])
def test_an_slo_missed_by_noise_is_forgiven(grown: float, regret: float) -> None:
    quality = [[0.5, 0.9, 0.1, 0.3, 0.6, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]] * 2
    latency = [[1.0, 5.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0, 10.0]] * 2
    later = [[1.0, 5.0 * grown, *row[2:]] for row in latency]
    found = a_landscape(quality, latency=latency, judged_latency=later)
    assert by_chooser(found, "latency p95 ≤ 50 % quantile")["pseudo"] == [regret, regret]


def test_a_corpus_and_a_family_are_never_on_both_sides() -> None:
    found = landscapes(
        table(
            Made("small", corpus="c", family="wiki"),
            Made("large", corpus="c", family="wiki"),
            Made("other", family="wiki"),
            Made("code", family="code"),
        )
    )
    names = [w.name for w in found.workloads]
    small = names.index("small")
    assert {names[i] for i in leave_corpus_out(found, small)} == {"other", "code"}
    assert {names[i] for i in leave_family_out(found, small)} == {"code"}


def test_times_of_another_machine_judge_nothing() -> None:
    frame = table(Made("w", jitter=0.1, repeats=3))
    elsewhere = frame.with_columns(
        hardware=pl.when(pl.col("repeat") == 2).then(pl.lit("other")).otherwise("hardware")
    )
    found = landscapes(elsewhere)
    wanted = landscapes(frame.filter(pl.col("repeat") < 2))
    assert found.workloads[0].repeats == 2
    for name, values in wanted.judged_by.items():
        assert found.judged_by[name].tolist() == values.tolist()
        assert found.chosen_by[name].tolist() == wanted.chosen_by[name].tolist()


def test_machines_are_compared_config_by_config() -> None:
    """The second is twice as slow in everything, and a third repeat of the first says nothing."""
    frame = table(Made("w", jitter=0.1, repeats=3), Made("v"))
    slower = [(2 * pl.col(c).first().over("config")).alias(c) for c in TIMED_COLUMNS]
    second = frame.filter(pl.col("repeat") < 2, workload="w").with_columns(slower)
    second = second.filter(repeat=1).with_columns(hardware=pl.lit("slow"))
    both = pl.concat(
        [frame.filter(~((pl.col("workload") == "w") & (pl.col("repeat") == 1))), second]
    )
    assert letters(both) == {"machine": "A", "slow": "B"}
    (row,) = between(both).splitlines()[2:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["w", "B / A", "78", "×2.00", "", "×2.00", "", "2.00–2.00", "1.000"]
    assert between(frame) == ONE_MACHINE
    others = second.with_columns(part=pl.lit("generation"))
    assert between(pl.concat([frame, others])) == ONE_MACHINE


def test_pseudo_workloads_are_learned_from_and_not_judged() -> None:
    found = landscapes(table(Made("real"), Made("made", source="pseudo")))
    judged = outcomes(found, CHOOSERS, found.column(DEFAULT))
    assert {o.workload for o in judged} == {"real"}
    assert len({o.slos for o in judged}) >= 5


def test_variants_of_a_corpus_count_once_in_a_portfolio() -> None:
    quality = [[0.0, 1.0, 0.5], [0.0, 1.0, 0.5], [0.0, 1.0, 0.5], [1.0, 0.0, 0.5]]
    found = a_landscape(quality, corpora=["target", "c", "c", "d"])
    scores = portfolio_scores(a_scene(found), np.ones(3))
    assert scores.tolist() == pytest.approx([0.5, 0.5, 0.5])


def test_a_config_that_few_others_have_is_in_no_portfolio() -> None:
    nan = float("nan")
    found = a_landscape([[0.1, 0.2, 0.3], [0.1, 0.2, nan], [0.1, 0.2, nan], [0.1, 0.2, 0.9]])
    scores = portfolio_scores(a_scene(found), np.ones(3))
    assert np.isnan(scores).tolist() == [False, False, True]


def test_the_nearest_workloads_weigh_more() -> None:
    likes_first, likes_second = (
        {"embed.model=static": 0.2},
        {"embed.model=minilm-int8": 0.2},
    )
    found = landscapes(
        table(
            Made("a", taste=likes_first, feature=0.0),
            Made("b", taste=likes_first, feature=0.1),
            *(Made(f"c{i}", taste=likes_second, feature=3.0 + i) for i in range(3)),
        )
    )
    made = outcomes(found, CHOOSERS, found.column(DEFAULT))
    regret = {o.chooser: o.regret for o in made if o.workload == "a" and o.slos == "none"}
    assert regret["nearest features"] == regret["nearest landmarks"] == 0
    assert regret["portfolio"] == 1


def test_landmarks_are_cheap_configs_near_the_default() -> None:
    found = landscapes(table(Made("w"), Made("v")))
    columns = landmark_columns(found, found.column(DEFAULT))
    chosen = [found.configs[i] for i in columns]
    assert [c["retrieve.mode"] for c in chosen] == ["lexical", "dense"]
    assert {c["chunk.tokens"] for c in chosen} == {DEFAULT["chunk.tokens"]}
    assert {c["rerank.model"] for c in chosen} == {"none"}


def test_the_interval_of_a_mean_knows_few_corpora() -> None:
    found = outcomes(a_landscape(np.random.default_rng(0).random((6, 9)).tolist()), CHOOSERS, 0)
    some = [o for o in found if o.chooser == "portfolio"]
    low, high = interval(some, np.mean, np.random.default_rng(0))
    mean = np.mean([o.regret for o in some])
    assert low < mean < high
    assert (low, high) == interval(some, np.mean, np.random.default_rng(0))


# -- differences and knobs -----------------------------------------------------------------------


def test_the_matrix_tells_whose_best_is_used_where() -> None:
    matrix = regret_matrix(a_landscape([[0.0, 1.0, 0.5], [1.0, 0.5, 0.0]]))
    assert matrix.tolist() == [[0.0, 0.5], [1.0, 0.0]]


def test_variance_is_common_specific_or_noise() -> None:
    alike = variance_shares(landscapes(table(Made("a"), Made("b"))), [0, 1])
    assert alike.common == pytest.approx(1, abs=1e-6)
    noisy = [Made(f"w{i}", noise=0.02) for i in range(6)]
    shares = variance_shares(landscapes(table(*noisy)), range(6))
    assert shares.common + shares.specific + shares.noise == pytest.approx(1, abs=0.02)
    assert shares.specific < 0.02 < shares.noise < 0.15
    tastes = [{"embed.model=static": 0.2}, {"embed.model=static": -0.2}] * 2
    different = [Made(f"w{i}", taste=taste) for i, taste in enumerate(tastes)]
    assert variance_shares(landscapes(table(*different)), range(4)).specific > 0.9


def test_additive_landscapes_are_explained_by_main_effects() -> None:
    found = landscapes(table(Made("w"), Made("v")))
    made = explained(scaled(found.real[""]), found.configs, QUALITY_FACTORS)
    assert made.additive == pytest.approx(1, abs=1e-4)
    assert sum(v for v in made.mains.values()) == pytest.approx(made.additive)
    assert max(float(np.abs(v).max()) for v in made.pairs.values()) < 1e-3
    assert float(made.mains["dense weight"].max()) < float(made.mains["reranker"].min())


def test_an_interaction_is_seen_as_a_pair() -> None:
    found = landscapes(table(Made("w"), Made("v")))
    both = [float(c["chunk.tokens"] == 64 and c["rerank.model"] == "maxsim") for c in found.configs]
    made = explained(scaled(np.array([both])), found.configs, QUALITY_FACTORS)
    pair = max(made.pairs, key=lambda p: float(made.pairs[p][0]))
    assert pair == ("chunking", "reranker")
    assert made.additive[0] + made.pairs[pair][0] == pytest.approx(1, abs=0.05)
    assert sorted(float(v[0]) for v in made.pairs.values())[-2] < 0.01


def test_one_change_is_measured_on_configs_alike_but_for_it() -> None:
    found = landscapes(table(Made("w"), Made("v")))
    made = {c.factor: c for c in changes(found.real[""], found.configs, QUALITY_FACTORS)}
    assert made["chunking"].median == pytest.approx(TASTE["chunk.tokens=64"], rel=1e-4)
    assert made["embedder"].median == pytest.approx(TASTE["embed.model=minilm-int8"], rel=1e-4)
    assert made["chunking"].pairs == len(grid()) // 2
    assert "rerank depth, weight" not in made


def test_the_crossed_configs_agree_outside_the_factors() -> None:
    found = landscapes(table(Made("w"), Made("v")))
    kept = [found.configs[i] for i in crossed(found.configs, QUALITY_FACTORS)]
    assert len({c["index.kind"] for c in kept if "index.kind" in c}) == 1
    assert any(c["retrieve.mode"] == "lexical" for c in kept)


def test_pseudo_queries_choose_as_well_as_their_noise_lets_them() -> None:
    made = choices(landscapes(table(Made("exact"), Made("noisy", noise=0.2))))
    exact, noisy = made
    assert exact.rank == pytest.approx(1)
    assert exact.regret == (0, 0, 0)
    assert noisy.rank < 0.9


def test_fewer_pseudo_queries_choose_worse() -> None:
    found = landscapes(table(*(Made(f"w{i}", noise=0.02) for i in range(4))))
    regrets = [
        float(thinned(found, share, np.random.default_rng(0)).mean()) for share in (1, 0.25, 0.05)
    ]
    assert regrets == sorted(regrets)
    assert regrets[0] == pytest.approx(np.mean([c.regret[0] for c in choices(found)]))


def test_hours_are_asking_and_building_once() -> None:
    frame = table(Made("w"))
    builds: dict[tuple[Any, ...], float] = {}
    for config in grid():
        for name, seconds in build_seconds(config).items():
            model = config.get("embed.model") if name in ("embed", "index") else None
            kind = config.get("index.kind") if name == "index" else None
            builds[name, config["chunk.tokens"], model, kind] = seconds
    shared = sum(s for b, s in builds.items() if b[0] == "embed" and b[2] == "minilm-int8")
    expected = sum(builds.values()) - shared + float(frame["query_s"].sum())
    assert hours(frame) == pytest.approx(expected / 3600)


# -- the page ------------------------------------------------------------------------------------


def test_blocks_are_replaced_and_the_rest_is_kept() -> None:
    page = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n<!-- generated: y -->\n<!-- end -->\n"
    once = filled(page, {"x": "new"})
    assert once == page.replace("old", "new")
    assert filled(once, {"x": "new"}) == once
    assert blocks(page) == ["x", "y"]
    with pytest.raises(KeyError, match="z"):
        filled(page, {"z": ""})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Path]:
    images = tmp_path_factory.mktemp("images")
    frame = table(*(Made(f"w{i}", noise=0.02, jitter=0.02, feature=i) for i in range(4)))
    return lessons(frame, DEFAULT, images), images


def test_the_page_has_every_block_and_every_plot(written: tuple[dict[str, str], Path]) -> None:
    made, images = written
    page = PAGE.read_text(encoding="utf-8")
    assert set(blocks(page)) == {*made, "machines", "physics"}
    shown = {
        name for block in made.values() for name in re.findall(r"\]\(images/table/(\S+)\)", block)
    }
    assert shown == {p.name for p in images.iterdir()}
    assert all(p.stat().st_size < 200_000 for p in images.iterdir())


def test_the_same_table_gives_the_same_page(
    written: tuple[dict[str, str], Path], tmp_path: Path
) -> None:
    made, images = written
    frame = table(*(Made(f"w{i}", noise=0.02, jitter=0.02, feature=i) for i in range(4)))
    assert lessons(frame, DEFAULT, tmp_path) == made
    assert {p.name: p.read_bytes() for p in images.iterdir()} == {
        p.name: p.read_bytes() for p in tmp_path.iterdir()
    }


def test_one_corpus_teaches_nothing() -> None:
    with pytest.raises(SystemExit, match="two corpora"):
        lessons(table(Made("w")), DEFAULT, Path())


def test_the_page_tells_every_column() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert facts.schema() in page
    told = set(re.findall(r"`([^`]+)`", facts.schema()))
    own = [c.name for c in COLUMNS if not c.name.startswith(("feature.", "hardware."))]
    assert {n for n in own if n not in told and n[:-2] not in told} == set()
