"""The composition root: which workload a command gets, and random numbers by purpose."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from api.settings import Settings
from api.wiring import (
    SEED_BOOTSTRAP,
    SEED_PSEUDO,
    SEED_SAMPLE,
    SEED_SPLIT,
    Parts,
    bind,
    cross_encoder_paths,
    document_tokens,
    load_workload,
    make_parts,
    make_space,
)
from autorag.demo import demo_questions
from autorag.documents import Document
from autorag.errors import ConfigError, DocumentsError, InputError, QueriesError
from autorag.workload import Workload
from tests.api.command import DOCUMENTS, QUERIES, write_lines


def parts_at(home: Path, seed: int = 0) -> Parts:
    return make_parts(Settings(home=home, artifacts_gb=1), seed)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return parts_at(tmp_path / "home")


@pytest.fixture
def unlabelled(docs: Path, tmp_path: Path) -> Path:
    """The documents without their queries."""
    folder = tmp_path / "notes"
    folder.mkdir()
    shutil.copy(docs / "corpus.jsonl", folder)
    return folder


def test_queries_are_found_beside_the_corpus(docs: Path, parts: Parts) -> None:
    workload = load_workload(docs, None, parts)
    assert (len(workload.documents), len(workload.queries)) == (DOCUMENTS, QUERIES)
    assert (workload.name, workload.query_source) == (docs.name, "labelled")


def test_queries_are_found_beside_a_corpus_file(docs: Path, parts: Parts) -> None:
    workload = load_workload(docs / "corpus.jsonl", None, parts)
    assert (workload.name, len(workload.queries)) == ("corpus", QUERIES)


def test_a_queries_file_that_is_named_goes_before_the_one_beside(
    docs: Path, parts: Parts, tmp_path: Path
) -> None:
    row = {"id": "one", "question": "What is tea?", "relevant": ["tea"]}
    path = write_lines(tmp_path / "mine.jsonl", [row])
    assert [q.id for q in load_workload(docs, path, parts).queries] == ["one"]


def test_without_queries_sentences_are_held_out(unlabelled: Path, parts: Parts) -> None:
    workload = load_workload(unlabelled, None, parts)
    assert workload.query_source == "pseudo"
    assert workload.queries
    texts = {d.id: d.text for d in workload.documents}
    assert not any(q.question in texts[q.units[0].doc] for q in workload.queries)


def test_held_out_sentences_come_from_the_seed(unlabelled: Path, tmp_path: Path) -> None:
    hashes = [
        load_workload(unlabelled, None, parts_at(tmp_path / "home", seed)).hash_hex
        for seed in (0, 0, 1)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_demo_is_there_without_documents(parts: Parts) -> None:
    workload = load_workload(None, None, parts)
    assert (workload.name, workload.query_source) == ("stdlib-docs", "labelled")
    assert len(workload.queries) == len(list(demo_questions()))
    assert len(workload.documents) > 100


def test_parsed_documents_are_reused(docs: Path, parts: Parts) -> None:
    first, second = (load_workload(docs, None, parts) for _ in range(2))
    assert (first.parse_reused, second.parse_reused) == (False, True)
    assert first.hash_hex == second.hash_hex


def test_a_missing_queries_file_is_named_before_documents_are_read(parts: Parts) -> None:
    with pytest.raises(QueriesError, match=r"nothing\.jsonl"):
        load_workload(Path("no-docs"), Path("nothing.jsonl"), parts)


def test_missing_documents_are_named(parts: Parts) -> None:
    with pytest.raises(DocumentsError, match="no-docs"):
        load_workload(Path("no-docs"), None, parts)


def test_every_purpose_has_random_numbers_of_its_own(tmp_path: Path) -> None:
    streams = (SEED_PSEUDO, SEED_SPLIT, SEED_SAMPLE, SEED_BOOTSTRAP)
    drawn = [int(parts_at(tmp_path, s).rng(r).integers(2**62)) for s in (0, 1) for r in streams]
    assert len(set(drawn)) == 8
    assert drawn[0] == int(parts_at(tmp_path, 0).rng(SEED_PSEUDO).integers(2**62))


def test_a_bound_space_knows_how_few_documents_there_are(docs: Path, parts: Parts) -> None:
    values = {"index.kind": "ivf_pq_fastscan"}
    space = make_space()
    assert space.config(values)["index.kind"] == "ivf_pq_fastscan"
    with pytest.raises(ConfigError, match="chunks to train on"):
        bind(space, load_workload(docs, None, parts)).config(values)


def test_equal_documents_are_counted_once() -> None:
    twins = tuple(Document(id_, "", "two words") for id_ in ("a", "b"))
    assert len(document_tokens(Workload("w", twins, ()))) == 1


def test_a_cross_encoder_is_a_folder_with_a_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    values = [{"rerank.model": str(tmp_path)}, {"rerank.model": "maxsim"}, {"retrieve.k": 5}]
    paths = cross_encoder_paths(values)
    assert paths == [str(tmp_path)]
    assert make_space(paths).config(values[0])["rerank.model"] == str(tmp_path)


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    found = Settings.from_environment(
        {"AUTORAG_HOME": str(tmp_path), "AUTORAG_ARTIFACTS_GB": "0.5"}
    )
    assert (found.home, found.artifacts_bytes) == (tmp_path, 5 * 10**8)
    assert Settings.from_environment({}).home.name == "autorag"


@pytest.mark.parametrize("size", ["0", "-1", "many", "nan", "inf"])
def test_a_size_that_cannot_be_used_is_named(size: str) -> None:
    with pytest.raises(InputError, match="AUTORAG_ARTIFACTS_GB"):
        Settings.from_environment({"AUTORAG_ARTIFACTS_GB": size})
