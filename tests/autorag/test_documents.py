"""Documents are read from every form the design names; what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.documents import (
    FORMATS,
    Document,
    document_from_json,
    document_to_json,
    load_documents,
)
from autorag.errors import DocumentsError, InputError
from autorag.pipeline.parse import parse

ROWS = [
    {"id": "a", "title": "Alpha", "text": "First text."},
    {"id": "b", "text": "Second text."},
    {"id": "c", "title": None, "text": ""},
]


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def refused(path: Path) -> DocumentsError:
    with pytest.raises(DocumentsError) as error:
        load_documents(path)
    assert isinstance(error.value, InputError)
    assert path.name in str(error.value)
    return error.value


def test_lines_become_documents_in_file_order(tmp_path: Path) -> None:
    documents = load_documents(write_lines(tmp_path / "any.jsonl", ROWS))
    assert [d.id for d in documents] == ["a", "b", "c"]
    assert [parse(d) for d in documents] == [
        ("Alpha", "First text."),
        ("", "Second text."),
        ("", ""),
    ]


def test_a_folder_may_hold_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("not a document")
    write_lines(tmp_path / "corpus.jsonl", ROWS)
    assert load_documents(tmp_path) == load_documents(tmp_path / "corpus.jsonl")


def test_blank_lines_are_skipped_and_still_counted(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('\n{"id": "a", "text": "x"}\n  \n{"id": "a", "text": "y"}\n')
    assert refused(path).key == f"{path}:4"


def test_line_separators_inside_a_text_end_no_line(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"id": "a", "text": "one\u2028two\x85three"}\r\n', encoding="utf-8")
    (document,) = load_documents(path)
    assert parse(document)[1] == "one\u2028two\x85three"


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"id": "a", "text": "x"}\n', encoding="utf-8-sig")
    assert [d.id for d in load_documents(path)] == ["a"]


def test_a_folder_of_text_files_is_read_in_order_of_name(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("z.txt", "b_c.md", "sub/a.RST", "p.html", "q.htm", "skipped.py", ".hidden.txt"):
        (tmp_path / name).write_text("# Heading\n\nbody")
    documents = load_documents(tmp_path)
    assert [d.id for d in documents] == ["b_c.md", "p.html", "q.htm", "sub/a.RST", "z.txt"]
    assert [d.format for d in documents] == [".md", ".html", ".htm", ".rst", ".txt"]
    assert documents[0].title == "b c"


def test_hidden_folders_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.txt").write_text("hidden")
    (tmp_path / "b.txt").write_text("seen")
    assert [d.id for d in load_documents(tmp_path)] == ["b.txt"]


def test_one_text_file_is_a_corpus_of_one(tmp_path: Path) -> None:
    (tmp_path / "only.txt").write_bytes(b"text")
    (document,) = load_documents(tmp_path / "only.txt")
    assert (document.id, document.raw) == ("only.txt", b"text")


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    error = refused(path)
    assert (error.key, error.value) == ("docs", str(path))


def test_a_folder_without_documents_is_named(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x")
    error = refused(tmp_path)
    assert (error.key, error.value) == ("docs", str(tmp_path))
    assert all(format_ in str(error) for format_ in FORMATS)


def test_a_file_without_lines_is_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "empty.jsonl", [])
    assert refused(path).key == "docs"


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b")
    assert ".jsonl" in str(refused(path))


DEEP = pytest.param("[" * 100_000, id="deep")
LONG = pytest.param('{"id": ' + "1" * 5000 + "}", id="long")


@pytest.mark.parametrize("line", ['{"id": "b", "text": ', "not json", '{"id": "b"', DEEP, LONG])
def test_a_malformed_line_is_named_by_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"id": "a", "text": "x"}\n' + line + "\n")
    error = refused(path)
    assert error.key == f"{path}:2"
    assert f"{path}:2" in str(error)


@pytest.mark.parametrize(
    "row",
    [
        [],
        "text",
        3,
        None,
        {},
        {"text": "no id"},
        {"id": "", "text": "x"},
        {"id": 7, "text": "x"},
        {"id": "b"},
        {"id": "b", "text": 7},
        {"id": "b", "text": "x", "title": 7},
    ],
)
def test_a_line_that_is_no_document_is_named_by_number(tmp_path: Path, row: Any) -> None:
    path = write_lines(tmp_path / "d.jsonl", [ROWS[0], row])
    error = refused(path)
    assert error.key == f"{path}:2"
    assert f"{path}:2" in str(error)


def test_a_duplicate_id_is_named_with_both_lines(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "d.jsonl", [*ROWS, {"id": "b", "text": "again"}])
    error = refused(path)
    assert (error.key, error.value) == (f"{path}:4", "b")
    assert "duplicate document id 'b' (first on line 2)" in str(error)


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'{"id": "a", "text": "\xff"}\n')
    assert "not UTF-8" in str(refused(path))


@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))
def test_a_document_survives_json(id_: str, title: str, text: str) -> None:
    document = Document(id_, title, text)
    assert document_from_json(json.loads(json.dumps(document_to_json(document)))) == document
