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
    with pytest.raises(InputError, match=r"a: docs = .*\$NOT_SET_ANYWHERE is not set"):
        _ = workload.folder


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("workloads = [", "--suite"),
        ("[other]", r"no \[workloads\]"),
        ("[workloads]\na = 3", "a: expected a table, got 3"),
        ('[workloads]\na = { docs = "x" }', "a: family"),
        ('[workloads]\na = { family = "x", size = 3 }', "a: size = 3"),
        ('[workloads]\na = { family = "x", documents = 3 }', "a: documents = 3"),
        ('[workloads]\na = { family = "x", parts = ["speed"] }', "a: parts.0 = 'speed'.*quality"),
        ('[workloads]\n"a/b" = { family = "x" }', "a/b: name = 'a/b'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_suite(suite(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: No such file"):
        read_suite(tmp_path / "none.toml")


def test_the_suite_of_the_project_can_be_read() -> None:
    workloads = read_suite(ROOT / "benchmarks/suite.toml")
    assert len({w.name for w in workloads}) == len(workloads) >= 12
    families: dict[str, set[str]] = {}
    for workload in workloads:
        families.setdefault(workload.corpus, set()).add(workload.family)
    assert all(len(names) == 1 for names in families.values()), "variants are of one family"
