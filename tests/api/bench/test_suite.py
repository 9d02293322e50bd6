"""The suite: one line a workload; what is wrong is named."""

from pathlib import Path

import pytest

from api.bench.suite import read_suite
from autorag.errors import InputError

ROOT = Path(__file__).parents[3]


def suite(folder: Path, text: str) -> Path:
    file = folder / "suite.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_workload_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEWHERE", "/data")
    lines = '[workloads]\na = { docs = "$SOMEWHERE/a", family = "wiki" }\nb = { family = "docs" }'
    a, b = read_suite(suite(tmp_path, lines))
    assert (a.name, a.corpus, a.family, a.parts) == ("a", "a", "wiki", ("quality",))
    assert a.folder == Path("/data/a")
    assert b.folder is None


def test_variants_share_a_corpus(tmp_path: Path) -> None:
    lines = '[workloads]\na-20 = { corpus = "a", family = "x", documents = 20, parts = ["index"] }'
    (variant,) = read_suite(suite(tmp_path, lines))
    assert (variant.corpus, variant.documents, variant.parts) == ("a", 20, ("index",))


def test_an_unset_variable_is_named_when_it_is_needed(tmp_path: Path) -> None:
    lines = '[workloads]\na = { docs = "$NOT_SET_ANYWHERE/a", family = "x" }'
    (workload,) = read_suite(suite(tmp_path, lines))
    with pytest.raises(InputError, match=r"a: docs = .*\$NOT_SET_ANYWHERE is not set") as refused:
        _ = workload.folder
    assert (refused.value.key, refused.value.value) == ("docs", "$NOT_SET_ANYWHERE/a")


@pytest.mark.parametrize(
    ("text", "told", "key", "value"),
    [
        ("[other]", r"no \[workloads\]", "workloads", None),
        ("[workloads]", r"no \[workloads\]", "workloads", {}),
        ("[workloads]\na = 3", "a: expected a table, got 3", "a", 3),
        ('[workloads]\na = { family = "" }', "a: family = ''", "family", ""),
        ('[workloads]\na = { family = "x", size = 3 }', "a: size = 3", "size", 3),
        ('[workloads]\na = { family = "x", documents = 3 }', "documents = 3", "documents", 3),
        ('[workloads]\na = { family = "x", queries = "all" }', "queries = 'all'", "queries", "all"),
        (
            '[workloads]\na = { family = "x", parts = ["speed"] }',
            "a: parts.0 = 'speed'.*quality, index, generation",
            "parts.0",
            "speed",
        ),
        ('[workloads]\n"a/b" = { family = "x" }', "a/b: name = 'a/b'", "name", "a/b"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, text: str, told: str, key: str, value: object
) -> None:
    with pytest.raises(InputError, match=told) as refused:
        read_suite(suite(tmp_path, text))
    assert (refused.value.key, refused.value.value) == (key, value)


def test_a_workload_without_a_family_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a: family") as refused:
        read_suite(suite(tmp_path, '[workloads]\na = { docs = "x" }'))
    assert refused.value.key == "family"


@pytest.mark.parametrize(
    ("text", "told"), [("workloads = [", r"suite\.toml: Invalid value"), (None, "No such file")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "suite.toml"
    if text is not None:
        path = suite(tmp_path, text)
    with pytest.raises(InputError, match=told) as refused:
        read_suite(path)
    assert (refused.value.key, refused.value.value) == ("suite", str(path))


def test_the_suite_of_the_project_can_be_read() -> None:
    workloads = read_suite(ROOT / "benchmarks/suite.toml")
    assert len({w.name for w in workloads}) == len(workloads) >= 12
    families: dict[str, set[str]] = {}
    for workload in workloads:
        families.setdefault(workload.corpus, set()).add(workload.family)
    assert all(len(names) == 1 for names in families.values()), "variants are of one family"
