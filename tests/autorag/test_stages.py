"""Equal inputs give equal keys, any relevant change gives another."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag import stages
from autorag.documents import Document, RawDocument
from autorag.hashing import address, multiset_address, text_id
from autorag.space import Config, Space
from tests.autorag.spaces import REFERENCE, configs, spaces_with_configs

IDS = [text_id("one"), text_id("two")]
KNOBS = {"chunk.tokens": 256, "chunk.splitter": "fixed"}
INDEX = {"index.kind": "flat"}
REVISION = {"model": "minilm", "revision": "1"}

Key = Callable[[], Any]

CHANGES: dict[str, tuple[Key, Key]] = {
    "parse format": (lambda: stages.parse_key(".md", "h"), lambda: stages.parse_key(".txt", "h")),
    "parse bytes": (lambda: stages.parse_key(".md", "h"), lambda: stages.parse_key(".md", "i")),
    "chunk knob": (
        lambda: stages.chunk_namespace(KNOBS, "t"),
        lambda: stages.chunk_namespace({**KNOBS, "chunk.tokens": 128}, "t"),
    ),
    "chunk knob inactive": (
        lambda: stages.chunk_namespace(KNOBS, "t"),
        lambda: stages.chunk_namespace({**KNOBS, "chunk.overlap": 0.0}, "t"),
    ),
    "chunk tokenizer": (
        lambda: stages.chunk_namespace(KNOBS, "t"),
        lambda: stages.chunk_namespace(KNOBS, "u"),
    ),
    "embed revision": (
        lambda: stages.embed_namespace(REVISION),
        lambda: stages.embed_namespace({**REVISION, "revision": "2"}),
    ),
    "rerank revision": (
        lambda: stages.rerank_namespace(REVISION),
        lambda: stages.rerank_namespace({**REVISION, "revision": "2"}),
    ),
    "stage": (
        lambda: stages.embed_namespace(REVISION),
        lambda: stages.rerank_namespace(REVISION),
    ),
    "index knob": (
        lambda: stages.index_key(INDEX, "e", IDS, seed=0),
        lambda: stages.index_key({"index.kind": "hnsw"}, "e", IDS, seed=0),
    ),
    "index embedder": (
        lambda: stages.index_key(INDEX, "e", IDS, seed=0),
        lambda: stages.index_key(INDEX, "f", IDS, seed=0),
    ),
    "index chunk added": (
        lambda: stages.index_key(INDEX, "e", IDS, seed=0),
        lambda: stages.index_key(INDEX, "e", [*IDS, text_id("three")], seed=0),
    ),
    "index chunk repeated": (
        lambda: stages.index_key(INDEX, "e", IDS, seed=0),
        lambda: stages.index_key(INDEX, "e", [*IDS, IDS[0]], seed=0),
    ),
    "index seed": (
        lambda: stages.index_key(INDEX, "e", IDS, seed=0),
        lambda: stages.index_key(INDEX, "e", IDS, seed=1),
    ),
    "index lineage": (
        lambda: stages.index_key(INDEX, "e", IDS, seed=0),
        lambda: stages.index_key(INDEX, "e", IDS, seed=0, lineage="root+edits"),
    ),
    "lexical analyzer": (
        lambda: stages.lexical_key("en", IDS),
        lambda: stages.lexical_key("de", IDS),
    ),
    "lexical chunk": (
        lambda: stages.lexical_key("en", IDS),
        lambda: stages.lexical_key("en", IDS[:1]),
    ),
    "lexical lineage": (
        lambda: stages.lexical_key("en", IDS),
        lambda: stages.lexical_key("en", IDS, lineage="root+edits"),
    ),
    "generate model": (
        lambda: stages.generate_key(REVISION, {"max_tokens": 8}, "p"),
        lambda: stages.generate_key({**REVISION, "model": "m"}, {"max_tokens": 8}, "p"),
    ),
    "generate sampling": (
        lambda: stages.generate_key(REVISION, {"max_tokens": 8}, "p"),
        lambda: stages.generate_key(REVISION, {"max_tokens": 9}, "p"),
    ),
    "generate prompt": (
        lambda: stages.generate_key(REVISION, {"max_tokens": 8}, "p"),
        lambda: stages.generate_key(REVISION, {"max_tokens": 8}, "q"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_relevant_change_gives_another_key(change: str) -> None:
    before, after = CHANGES[change]
    assert before() == before()
    assert before() != after()


@pytest.mark.parametrize("stage", stages.VERSIONS)
def test_a_new_code_version_gives_another_key(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [before for name, (before, _) in CHANGES.items() if name.split()[0] == stage]
    old = [key() for key in keys]
    monkeypatch.setattr(stages, "VERSIONS", {**stages.VERSIONS, stage: 2})
    assert keys
    assert all(key() != was for key, was in zip(keys, old, strict=True))


def test_keys_do_not_depend_on_the_order_of_knobs_and_chunks() -> None:
    turned = dict(reversed(KNOBS.items()))
    assert stages.chunk_namespace(KNOBS, "t") == stages.chunk_namespace(turned, "t")
    forth = stages.index_key(INDEX, "e", IDS, seed=0)
    assert forth == stages.index_key(INDEX, "e", IDS[::-1], seed=0)
    assert stages.lexical_key("en", IDS) == stages.lexical_key("en", IDS[::-1])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_an_address_ignores_key_order(value: dict[str, Any]) -> None:
    assert address(value) == address(dict(reversed(value.items())))


@given(json_values, json_values)
def test_addresses_are_equal_only_for_equal_values(a: Any, b: Any) -> None:
    assert address(a) != address(b) or a == b


@given(st.lists(st.binary(max_size=4)), st.lists(st.binary(max_size=4)))
def test_multisets_have_one_address(a: list[bytes], b: list[bytes]) -> None:
    assert (multiset_address(a) == multiset_address(b)) == (sorted(a) == sorted(b))


texts = st.text(max_size=8)


@given(texts, texts, texts, texts)
def test_document_hashes_see_title_and_text(t1: str, x1: str, t2: str, x2: str) -> None:
    a, b = Document("a", t1, x1), Document("b", t2, x2)
    assert (a.content_hash == b.content_hash) == ((t1, x1) == (t2, x2))


@pytest.mark.parametrize(
    ("title", "raw"), [("t", b"b"), ("u", b"a"), ("ta", b""), ("", b"ta"), ("t\0", b"a")]
)
def test_raw_hashes_see_title_and_bytes(title: str, raw: bytes) -> None:
    document = RawDocument("d", title, raw, "record")
    assert document.raw_hash != RawDocument("d", "t", b"a", "record").raw_hash


def test_raw_hashes_see_where_the_title_ends() -> None:
    a = RawDocument("d", "t\0a", b"b", "record")
    assert a.raw_hash != RawDocument("d", "t", b"a\0b", "record").raw_hash


@given(configs(REFERENCE))
def test_stage_knobs_partition_the_config(config: Config) -> None:
    names = dict.fromkeys(k.split(".")[0] for k in config)
    parts = [stages.stage_knobs(config, name) for name in names]
    assert {k: v for part in parts for k, v in part.items()} == dict(config)
    assert sum(map(len, parts)) == len(config)


def stage_by_table(changed: set[str]) -> str | None:
    """The first stage of the design's knob table that owns a changed knob."""
    order = ["chunk", "embed", "index", "retrieve", "rerank", "generate"]
    owners = {name.split(".")[0] for name in changed}
    return next((stage for stage in order if stage in owners), None)


@given(spaces_with_configs(2))
def test_the_first_invalidated_stage_is_the_tables(case: tuple[Space, list[Config]]) -> None:
    space, (before, after) = case
    differing = {k for k in {*before, *after} if before.get(k) != after.get(k)}
    assert stages.first_invalidated(space, before, after) == stage_by_table(differing)


@given(configs(REFERENCE))
def test_neighbours_invalidate_what_the_table_says(config: Config) -> None:
    for n in REFERENCE.neighbours(config):
        differing = {k for k in {*config, *n} if config.get(k) != n.get(k)}
        assert stages.first_invalidated(REFERENCE, config, n) == stage_by_table(differing)


@pytest.mark.parametrize(
    ("values", "stage"),
    [
        ({}, None),
        ({"threads.embed": 2, "cache.mb": 64, "threads.rerank": 2}, None),
        ({"generate.max_tokens": 16}, "generate"),
        ({"rerank.model": "bm25"}, "rerank"),
        ({"retrieve.k": 20}, "retrieve"),
        ({"index.kind": "hnsw"}, "index"),
        ({"embed.dim": 64, "retrieve.k": 20}, "embed"),
        ({"chunk.tokens": 64}, "chunk"),
    ],
)
def test_a_change_invalidates_from_its_stage(values: dict[str, Any], stage: str | None) -> None:
    after = REFERENCE.config(values)
    assert stages.first_invalidated(REFERENCE, REFERENCE.default(), after) == stage


def test_every_knob_names_a_stage_or_none() -> None:
    rng = np.random.default_rng(0)
    names = {name for _ in range(200) for name in REFERENCE.sample(rng)}
    assert {REFERENCE[name].stage for name in names} <= {None, *stages.STAGES}
