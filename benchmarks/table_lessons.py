"""What the measured table teaches: prints every number, draws the plots, fills in the page.

    python -m benchmarks.table_lessons [--table benchmarks/table] [--out docs]

Prints the blocks of ``OUT/table.md`` that are made from the table and writes them there, with plots
under ``OUT/images/table``. Nothing is measured; the same table gives the same page. How each number
is made stands in the modules of ``benchmarks/lessons``: ``parts`` (sizes, index and generation
part), ``machines``, ``differences`` (how much the best config differs), ``importance`` (which knobs
matter), ``choosers`` and ``regret`` (what choosing without measuring costs), ``pseudo``; noise is
that of ``autorag.table.noise``. Intervals are bootstraps over corpora.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from autorag.table.files import read_machines, read_table
from autorag.table.noise import repeat_pairs
from benchmarks.lessons import facts, figures, findings
from benchmarks.lessons.choosers import CHOOSERS, LEARNING
from benchmarks.lessons.differences import regret_matrix
from benchmarks.lessons.importance import (
    INDEX_FACTORS,
    QUALITY_FACTORS,
    SWEPT_FACTORS,
    changes,
    crossed,
    explained,
    scaled,
)
from benchmarks.lessons.landscapes import (
    Landscapes,
    first_repeat,
    landscapes,
    matrices,
    normalised,
    timed,
)
from benchmarks.lessons.machines import between, machines
from benchmarks.lessons.page import PAGE, fill, image
from benchmarks.lessons.pseudo import choices
from benchmarks.lessons.regret import leave_corpus_out, leave_family_out, outcomes

IMAGES = Path("images/table")


def main() -> None:
    arguments = parse_arguments()
    frame = read_table(arguments.table)
    written = lessons(frame, default_knobs(), arguments.out / IMAGES)
    written["machines"] = machines(frame, read_machines(arguments.table))
    for name, block in written.items():
        print(f"\n## {name}\n\n{block}")
    fill(arguments.out / PAGE, written)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", type=Path, default=Path("benchmarks/table"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    return parser.parse_args()


def default_knobs() -> Mapping[str, Any]:
    """The default config of the reference pipeline, whatever generators are installed."""
    from api.wiring import make_space

    return {k: v for k, v in make_space().default().items() if k != "generate.model"}


def lessons(frame: pl.DataFrame, default: Mapping[str, Any], images: Path) -> dict[str, str]:
    """Block → Markdown; plots are written on the way."""
    found = landscapes(frame)
    if len(set(found.corpora)) < 2:
        raise SystemExit("the table has times of fewer than two corpora: nothing to compare")
    column = found.column(default)
    about_noise(frame, images)
    return {
        "schema": facts.schema(),
        "contents": facts.contents(frame),
        "noise-of-times": facts.noise_of_times(frame),
        "noise-of-machine": facts.noise_of_machine(frame),
        "between-machines": between(frame),
        "noise-of-quality": facts.noise_of_quality(frame),
        "best-configs": findings.best_configs(found, column),
        "transfer": about_transfer(found, images),
        "knobs": about_knobs(found, images),
        "index-knobs": about_index_knobs(frame),
        **about_regrets(found, column, images),
        **about_pseudo(found, images),
        "index-part": facts.index_part(frame),
        "generation-part": facts.generation_part(frame),
    }


def about_noise(frame: pl.DataFrame, images: Path) -> None:
    metrics = ("latency_p50_ms", "latency_p95_ms")
    pairs = {m: repeat_pairs(frame, m)["distance"].to_numpy() for m in metrics}
    if any(map(len, pairs.values())):
        figures.noise(images / "noise.svg", pairs)


def about_transfer(found: Landscapes, images: Path) -> str:
    matrix = regret_matrix(found)
    names = [w.name for w in found.workloads]
    title = "normalised regret of the row's best config on the column's workload"
    figures.heat(images / "transfer.svg", matrix, names, title)
    return findings.transfer(found, matrix)


def about_knobs(found: Landscapes, images: Path) -> str:
    core = crossed(found.configs, QUALITY_FACTORS)
    configs = [found.configs[i] for i in core]
    slower = np.log2(found.chosen_by["latency_p95_ms"])
    values = {"nDCG@10": found.real[""], "log p95 latency": slower}
    panels = {t: explained(scaled(v[:, core]), configs, QUALITY_FACTORS) for t, v in values.items()}
    figures.shares(images / "knobs.svg", panels)
    moved = {
        "normalised nDCG@10": changes(normalised(found.real[""]), found.configs, SWEPT_FACTORS),
        "log2 p95 latency": changes(slower, found.configs, SWEPT_FACTORS),
    }
    shown = image("knobs", "Variance explained by each factor and the largest pairs")
    return "\n\n".join([findings.explained_shares(panels), shown, findings.one_change(moved)])


def about_index_knobs(frame: pl.DataFrame) -> str:
    rows = first_repeat(timed(frame, "index"))
    if rows.is_empty():
        return facts.EMPTY
    configs, (recall, p50) = matrices(rows, ["ann_recall_at_10", "retrieve_p50_ms"])
    values = {"ANN recall@10": recall, "log p50 of searching": np.log2(p50)}
    panels = {t: explained(scaled(v), configs, INDEX_FACTORS) for t, v in values.items()}
    moved = {
        "ANN recall@10": changes(recall, configs, INDEX_FACTORS),
        "log2 p50 of searching": changes(np.log2(p50), configs, INDEX_FACTORS),
    }
    return "\n\n".join([findings.explained_shares(panels), findings.one_change(moved)])


def about_regrets(found: Landscapes, default: int, images: Path) -> dict[str, str]:
    by_corpus = outcomes(found, CHOOSERS, default)
    figures.regrets(images / "regrets.svg", by_corpus)
    learning = {name: CHOOSERS[name] for name in LEARNING}
    splits = {
        "the corpus": outcomes(found, learning, default, leave_corpus_out),
        "the family": outcomes(found, learning, default, leave_family_out),
    }
    return {
        "regrets": findings.regrets(by_corpus),
        "regrets-by-slos": findings.regrets_by_slos(by_corpus),
        "regrets-by-split": findings.regrets_by_split(splits),
    }


def about_pseudo(found: Landscapes, images: Path) -> dict[str, str]:
    made = choices(found)
    figures.correlations(images / "pseudo.svg", made)
    return {
        "pseudo": findings.pseudo(made),
        "pseudo-numbers": findings.pseudo_numbers(found, made),
    }


if __name__ == "__main__":
    main()
