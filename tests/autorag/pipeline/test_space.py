"""The reference space holds the knobs of the design, their conditions and their rules."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import ConfigError
from autorag.pipeline.space import fewest_chunks, reference_space
from autorag.space import Config, CorpusFacts, Number, Space
from tests.autorag.spaces import (
    EMBEDDERS,
    LARGE_CORPUS,
    REFERENCE,
    SMALL_CORPUS,
    spaces_with_configs,
)

Values = Mapping[str, Any]

IVF = {"ivf_flat", "ivf_sq8", "ivf_pq_fastscan"}
HNSW = {"hnsw", "hnsw_sq8"}
QUANTISED = {"ivf_sq8", "ivf_pq_fastscan", "hnsw_sq8"}


def dense(values: Values) -> bool:
    return values["retrieve.mode"] != "lexical"


def indexed(kinds: set[str]) -> Callable[[Values], bool]:
    return lambda values: values.get("index.kind") in kinds


CONDITIONS: dict[str, Callable[[Values], bool]] = {
    "chunk.overlap": lambda values: values["chunk.splitter"] != "content_defined",
    "embed.model": dense,
    "embed.dim": dense,
    "index.kind": dense,
    "batch.embed": lambda values: values.get("embed.model") == "minilm",
    "index.nlist": indexed(IVF),
    "index.pq_m": indexed({"ivf_pq_fastscan"}),
    "index.hnsw_m": indexed(HNSW),
    "index.ef_construction": indexed(HNSW),
    "retrieve.alpha": lambda values: values["retrieve.mode"] == "hybrid",
    "retrieve.nprobe": indexed(IVF),
    "retrieve.ef_search": indexed(HNSW),
    "retrieve.refine": indexed(QUANTISED),
    "rerank.depth": lambda values: values["rerank.model"] != "none",
    "rerank.weight": lambda values: values["rerank.model"] != "none",
}


def expected_knobs(values: Values) -> set[str]:
    """The knobs that must be set, from the conditions of the design."""
    always = {k.name for k in REFERENCE} - set(CONDITIONS)
    return always | {name for name, holds in CONDITIONS.items() if holds(values)}


def dimensions(values: Values) -> int:
    full = EMBEDDERS[values["embed.model"]]
    return full if values["embed.dim"] == "full" else values["embed.dim"]


def broken_rules(values: Values) -> list[str]:
    """The rules of the design between knobs that do not hold."""
    depth, k = values.get("rerank.depth", 200), values["retrieve.k"]
    broken = ["contexts"] if values["generate.contexts"] > k else []
    broken += ["depth"] if depth < k else []
    if dense(values) and values["embed.dim"] != "full":
        broken += ["dim"] if values["embed.dim"] >= EMBEDDERS[values["embed.model"]] else []
    if "index.pq_m" in values:
        broken += ["pq_m"] if dimensions(values) % values["index.pq_m"] else []
    return broken


def too_few_points(values: Values, corpus: CorpusFacts) -> bool:
    """Whether an IVF or PQ index lacks training points: 39 a centroid."""
    if values.get("index.kind") not in IVF:
        return False
    doubled = 2 if values["chunk.splitter"] == "content_defined" else 1
    size = values["chunk.tokens"] * doubled
    points = sum((count + size - 1) // size for count in corpus.token_counts)
    cells = max(1, round(values["index.nlist"] * points**0.5))
    codes = 16 if values["index.kind"] == "ivf_pq_fastscan" else 1
    return points < 39 * max(cells, codes)


def violations(space: Space, config: Config) -> list[str]:
    wrong = sorted(set(config) ^ expected_knobs(config)) + broken_rules(config)
    if space.corpus is not None and too_few_points(config, space.corpus):
        wrong.append("points")
    return wrong


@given(spaces_with_configs())
def test_configs_keep_conditions_and_rules(case: tuple[Space, list[Config]]) -> None:
    space, (config,) = case
    assert violations(space, config) == []


@given(spaces_with_configs())
def test_neighbours_keep_conditions_and_rules(case: tuple[Space, list[Config]]) -> None:
    space, (config,) = case
    assert [violations(space, n) for n in space.neighbours(config) if violations(space, n)] == []


@given(st.integers(0, 2**32 - 1))
def test_the_sampler_keeps_conditions_and_rules(seed: int) -> None:
    for space in (REFERENCE, REFERENCE.for_corpus(SMALL_CORPUS)):
        config = space.sample(np.random.default_rng(seed))
        assert violations(space, config) == []


def test_the_sampler_reaches_every_value_of_the_grids() -> None:
    rng = np.random.default_rng(0)
    drawn = {item for _ in range(3000) for item in REFERENCE.sample(rng).items()}
    assert drawn == {(k.name, value) for k in REFERENCE for value in k.domain.grid}


def test_the_default_is_the_one_of_the_design() -> None:
    assert dict(REFERENCE.default()) == {
        "retrieve.mode": "dense",
        "chunk.splitter": "recursive",
        "chunk.tokens": 256,
        "chunk.overlap": 0.1,
        "embed.model": "minilm-int8",
        "embed.dim": "full",
        "index.kind": "flat",
        "retrieve.k": 10,
        "rerank.model": "none",
        "generate.model": "gemma",
        "generate.contexts": 5,
        "generate.max_tokens": 48,
        "threads.embed": 1,
        "threads.retrieve": 1,
        "threads.rerank": 1,
        "threads.generate": 1,
        "cache.mb": 0,
    }


@pytest.mark.parametrize("corpus", [SMALL_CORPUS, LARGE_CORPUS, CorpusFacts((1,))])
def test_the_default_is_valid_on_every_corpus(corpus: CorpusFacts) -> None:
    assert REFERENCE.for_corpus(corpus).valid(REFERENCE.default())


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("chunk.tokens", 32, 1024),
        ("chunk.overlap", 0, 0.3),
        ("retrieve.alpha", 0, 1),
        ("retrieve.k", 1, 100),
        ("generate.contexts", 1, 20),
    ],
)
def test_ranges_are_those_of_the_design(name: str, low: float, high: float) -> None:
    domain = REFERENCE[name].domain
    assert isinstance(domain, Number)
    assert (domain.low, domain.high) == (low, high)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("chunk.splitter", {"fixed", "sentence", "recursive", "content_defined"}),
        ("index.kind", {"flat", *IVF, *HNSW}),
        ("retrieve.mode", {"dense", "lexical", "hybrid"}),
        ("rerank.model", {"none", "bm25", "maxsim", "/models/cross"}),
        ("embed.model", set(EMBEDDERS)),
        ("generate.model", {"gemma", "endpoint"}),
        ("threads.embed", {1, 2, 3, 4}),
    ],
)
def test_choices_are_those_of_the_design(name: str, values: set[Any]) -> None:
    assert set(REFERENCE[name].domain.grid) == values


def applied_by_design(name: str) -> str:
    stage = name.split(".")[0]
    if stage in ("chunk", "embed", "index"):
        return f"rebuild:{stage}"
    return f"restart:{stage}" if name in ("rerank.model", "generate.model") else "hot"


@pytest.mark.parametrize("name", [k.name for k in REFERENCE])
def test_knobs_are_applied_as_the_design_says(name: str) -> None:
    assert REFERENCE[name].applied == applied_by_design(name)


@pytest.mark.parametrize("name", [k.name for k in REFERENCE])
def test_only_system_knobs_cannot_change_an_answer(name: str) -> None:
    system = name.split(".")[0] in ("threads", "batch", "cache")
    assert REFERENCE[name].algorithmic == (not system)


@pytest.mark.parametrize(
    ("values", "key", "named"),
    [
        ({"embed.model": "static", "embed.dim": 256}, "embed.dim", "256 dimensions"),
        (
            {"index.kind": "ivf_pq_fastscan", "index.pq_m": 48, "embed.dim": 64},
            "index.pq_m",
            "48 does not divide the 64 dimensions",
        ),
        ({"rerank.model": "bm25", "rerank.depth": 5}, "rerank.depth", "retrieve.k = 10"),
        ({"generate.contexts": 11}, "generate.contexts", "retrieve.k = 10"),
        ({"index.nlist": 1.0}, "index.nlist", "index.kind is ivf_flat or"),
        ({"retrieve.mode": "lexical", "index.kind": "flat"}, "index.kind", "dense or hybrid"),
        (
            {"chunk.splitter": "content_defined", "chunk.overlap": 0.1},
            "chunk.overlap",
            "chunk.splitter is",
        ),
    ],
)
def test_a_broken_rule_names_knob_and_reason(values: Values, key: str, named: str) -> None:
    with pytest.raises(ConfigError) as error:
        REFERENCE.config(values)
    assert error.value.key == key
    assert error.value.value == values[key]
    assert key in str(error.value)
    assert named in str(error.value)


@pytest.mark.parametrize("kind", sorted(IVF))
def test_a_small_corpus_cannot_train_cells(kind: str) -> None:
    values = {"index.kind": kind, "chunk.tokens": 1024}
    assert REFERENCE.for_corpus(LARGE_CORPUS).config(values)["index.kind"] == kind
    with pytest.raises(ConfigError, match="this corpus has about 100") as error:
        REFERENCE.for_corpus(SMALL_CORPUS).config(values)
    assert error.value.key == "index.kind"


def test_product_quantisation_needs_more_points_than_one_cell() -> None:
    space = REFERENCE.for_corpus(CorpusFacts((200,) * 600))
    values = {"chunk.tokens": 1024, "index.nlist": 0.25}
    assert space.config({**values, "index.kind": "ivf_flat"})["index.nlist"] == 0.25
    with pytest.raises(ConfigError, match="needs 624 chunks"):
        space.config({**values, "index.kind": "ivf_pq_fastscan"})


@pytest.mark.parametrize(
    ("splitter", "expected"), [("fixed", 1 + 1 + 2), ("content_defined", 1 + 1 + 1)]
)
def test_the_fewest_chunks_fill_every_chunk(splitter: str, expected: int) -> None:
    values = {"chunk.tokens": 100, "chunk.splitter": splitter}
    assert fewest_chunks(values, CorpusFacts((0, 1, 100, 101))) == expected


def test_what_is_not_installed_is_not_offered() -> None:
    space = reference_space({"static": 256}, generators=(), cores=1)
    default = space.default()
    assert default["embed.model"] == "static"
    assert "generate.model" not in default
    with pytest.raises(ConfigError, match=r"embed\.model = 'minilm-int8'.*one of static"):
        space.config({"embed.model": "minilm-int8"})
