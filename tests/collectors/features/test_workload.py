"""All features of a workload: any text is described, the same seed gives the same figures, nothing
comes from measuring configs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autorag.documents import Document, load_documents
from autorag.evaluation.gold import GoldUnit
from autorag.features import FEATURES, WorkloadFeatures
from autorag.pipeline.parse import parse
from autorag.queries import Query, load_queries
from autorag.workload import Workload
from collectors.features import FeatureModels, installed_models, workload_features
from collectors.features.workload import NEED_WHOLE
from tests.collectors.features.corpora import MODELS, asked, document, workload, written

NO_MODELS = FeatureModels(None, None)
SHARES = [f.name for f in FEATURES if f.unit == "share"]

DESCRIBE = """
import sys
import numpy as np
from collectors.features import workload_features
from tests.collectors.features.corpora import MODELS, asked, workload, written
documents = written(80)
workload_features(workload(documents, asked(documents, 20)), MODELS, np.random.default_rng(0))
print(*sorted(sys.modules))
"""

MEASURING = {
    "autorag.study",
    "autorag.outcome",
    "autorag.optimizer",
    "autorag.evaluation.aggregate",
    "autorag.evaluation.ranking",
    "autorag.pipeline.build",
    "autorag.pipeline.generate",
    "autorag.pipeline.index",
    "autorag.pipeline.lexical",
    "autorag.pipeline.measure",
    "autorag.pipeline.rag",
    "autorag.pipeline.rerank",
    "collectors.measurer",
    "collectors.trial_job",
    "collectors.trial_process",
    "store",
    "api",
}


def described(w: Workload, seed: int = 0, models: FeatureModels = MODELS, **bounds: int) -> Any:
    return workload_features(w, models, np.random.default_rng(seed), **bounds)


@pytest.fixture(scope="module")
def invented() -> Workload:
    documents = written(120, length=200)
    return workload(documents, asked(documents, 60))


@pytest.fixture(scope="module")
def features(invented: Workload) -> WorkloadFeatures:
    made: WorkloadFeatures = described(invented)
    return made


def test_only_traffic_is_unknown_of_a_workload(features: WorkloadFeatures) -> None:
    assert features.reasons == {"traffic": "no requests were observed"}
    nothing = {name for name, value in features.values().items() if value is None}
    # 24 000 words have no 300th word 5 times; 120 documents have no 512 passages.
    assert nothing - {"zipf_exponent", "familiar_share"} == {
        "arrival_per_s",
        "burstiness",
        "repetition_share",
    }


def test_plain_figures(invented: Workload, features: WorkloadFeatures) -> None:
    corpus, queries = features.corpus, features.queries
    assert corpus.documents == len(invented.documents) == 120
    assert corpus.tokens == pytest.approx(120 * 200, rel=0.01)
    assert corpus.document_tokens_p50 == 200
    assert (corpus.title_share, corpus.duplicate_share) == (1, 0)
    assert corpus.prose_share == 1
    assert (queries.queries, queries.what_share, queries.question_mark_share) == (60, 1, 1)
    assert queries.oov_share == pytest.approx(1 / 6.5, abs=0.02)  # "what" alone


def test_the_same_seed_gives_the_same_figures(
    invented: Workload, features: WorkloadFeatures
) -> None:
    assert described(invented) == features


def test_the_seed_moves_only_what_is_drawn(invented: Workload, features: WorkloadFeatures) -> None:
    other = described(invented, seed=1).values()
    moved = {name for name, value in features.values().items() if value != other[name]}
    assert moved
    assert moved <= {
        "cell_imbalance",
        "query_cell_imbalance",
        "idf_mean",
        "idf_sd",
        "relative_contrast",
        "near_duplicate_share",
        *(f.name for f in FEATURES if f.group == "embedding"),
    }


def test_what_one_part_draws_does_not_move_another(
    invented: Workload, features: WorkloadFeatures
) -> None:
    """Looking at fewer documents closely moves lengths and formats and nothing else."""
    fewer = described(invented, close_characters=20_000).values()
    moved = {name for name, value in features.values().items() if value != fewer[name]}
    assert moved <= {"tokens", *(f.name for f in FEATURES if "_tokens_p" in f.name)}


def test_a_part_that_is_read_is_told(invented: Workload, features: WorkloadFeatures) -> None:
    size = sum(len(d.text) for d in invented.documents)
    part = described(invented, read_characters=size // 2)
    assert {k for k in part.reasons if k != "traffic"} == set(NEED_WHOLE)
    assert "% of the text" in part.reasons["oov_share"]
    values, whole = part.values(), features.values()
    assert {values[name] for name in NEED_WHOLE} == {None}
    assert values["documents"] == whole["documents"]
    assert values["vocabulary_words"] == pytest.approx(whole["vocabulary_words"], rel=0.2)
    assert values["lid"] == whole["lid"]


def test_without_models_the_rest_is_known(invented: Workload, features: WorkloadFeatures) -> None:
    found = described(invented, models=NO_MODELS)
    assert found.reasons["embedding"] == "the static embedder is not on this machine"
    values = found.values()
    needed = {f.name for f in FEATURES if f.group == "embedding" or "tokens" in f.unit}
    assert {values[name] for name in needed} == {None}
    kept = {k: v for k, v in features.values().items() if k not in needed}
    assert {k: v for k, v in values.items() if k not in needed} == kept


def test_without_queries_the_corpus_is_known(invented: Workload) -> None:
    found = described(replace(invented, queries=()))
    assert found.reasons["queries"] == "there are no queries"
    assert found.corpus.documents == 120
    assert found.embedding.lid is not None
    assert found.embedding.query_lid is None


def test_pseudo_queries_are_marked(invented: Workload) -> None:
    found = described(replace(invented, query_source="pseudo"))
    assert (found.queries.pseudo, found.queries.relevant_per_query) == (1, None)


def test_copies_of_one_document() -> None:
    text = written(1, length=300)[0].text
    found = described(workload([document(i, text) for i in range(200)]))
    assert found.corpus.duplicate_share == pytest.approx(199 / 200)
    assert found.corpus.near_duplicate_share == 1
    assert found.reasons["embedding"].startswith("fewer than")


@pytest.mark.parametrize(
    "texts", [[], [""], ["", " \n"], ["one"], ["東京は大きい。"], ["مدينة كبيرة"], ["12 34"]]
)
def test_next_to_nothing_is_described(texts: list[str]) -> None:
    found = described(workload([document(i, t) for i, t in enumerate(texts)]))
    assert found.corpus.documents == len(texts)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()


def test_another_script_is_described() -> None:
    rng = np.random.default_rng(0)
    characters = [chr(0x4E00 + int(n)) for n in rng.zipf(1.3, size=60_000) % 3000]
    texts = ["".join(characters[i : i + 200]) + "。" for i in range(0, 60_000, 200)]
    queries = [Query(f"q{i}", t[20:30] + "？", (GoldUnit(f"d{i}"),)) for i, t in enumerate(texts)]
    found = described(workload([document(i, t) for i, t in enumerate(texts)], queries))
    assert found.corpus.non_latin_share == 1
    assert (found.corpus.english_share, found.corpus.other_language_share) == (0, 1)
    assert found.corpus.document_tokens_p50 == 200
    assert found.queries.question_mark_share == 1
    assert found.queries.overlap_passage == pytest.approx(1)
    assert found.embedding.lid is not None


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.text(max_size=20), st.text(max_size=400)), max_size=12),
    st.lists(st.text(max_size=60), max_size=5),
    st.integers(1, 500),
)
def test_any_text_is_described(
    rows: list[tuple[str, str]], questions: list[str], characters: int
) -> None:
    documents = [Document(f"d{i}", title, text) for i, (title, text) in enumerate(rows)]
    queries = [Query(f"q{i}", q, (GoldUnit("d0"),)) for i, q in enumerate(questions)]
    found = described(
        workload(documents, queries), read_characters=characters, close_characters=characters
    )
    values = found.values()
    assert all(values[name] is None or 0 <= values[name] <= 1 + 1e-9 for name in SHARES)
    assert WorkloadFeatures.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_nothing_that_measures_is_so_much_as_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "collectors.features.embedding" in loaded
    assert loaded & MEASURING == set()


def test_nothing_that_measures_is_named() -> None:
    """Imports inside functions included."""
    root = Path(__file__).parents[3] / "collectors" / "features"
    text = "\n".join(p.read_text(encoding="utf-8") for p in sorted(root.glob("*.py")))
    assert {m for m in MEASURING if f"from {m}" in text or f"import {m}" in text} == set()
    assert not any(word in text for word in ("Measurement", "Trial", "TrialLog", "trials"))


QUICK = ("clapnq_dev", "cosqa_code", "xquad_en")
"""Real workloads that are described in seconds, prose and code; the others take longer."""


def real_folders() -> list[Any]:
    root = os.environ.get("AUTORAG_WORKLOADS")
    folders = sorted(p.parent for p in Path(root).glob("*/corpus.jsonl")) if root else []
    skip = pytest.param(None, marks=pytest.mark.skip("AUTORAG_WORKLOADS names no workloads"))
    slow = pytest.mark.slow
    return [pytest.param(f, id=f.name, marks=() if f.name in QUICK else slow) for f in folders] or [
        skip
    ]


@pytest.mark.workloads
@pytest.mark.parametrize("folder", real_folders())
def test_real_workloads_are_english_and_known(folder: Path, tmp_path: Path) -> None:
    documents = tuple(Document(d.id, *parse(d)) for d in load_documents(folder))
    queries = load_queries(folder / "queries.jsonl", {d.id: d for d in documents})
    found = described(Workload(folder.name, documents, tuple(queries)), models=MODELS)
    assert found.reasons.keys() == {"traffic"}
    assert found.corpus.english_share > 0.6
    assert found.corpus.other_language_share < 0.01
    assert 0.4 < found.queries.overlap_passage < 0.8
    formats = {f: getattr(found.corpus, f"{f}_share") for f in ("prose", "table", "code", "list")}
    assert max(formats, key=lambda f: formats[f]) == {
        "cosqa_code": "code",
        "tldr_commands": "list",
    }.get(folder.name, "prose")


def test_models_that_are_not_there_are_none(tmp_path: Path) -> None:
    assert installed_models(tmp_path).encode is None
