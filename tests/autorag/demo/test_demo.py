"""The demo workload is large, deterministic, and its questions and documents fit together."""

import os
import re
import subprocess
import sys
from typing import Any

import pytest

from autorag.demo import DocRecord, demo_questions, stdlib_documents
from autorag.demo.stdlib_modules import REMOVED, public_modules

LONG_NAME = 8
DIGEST = (
    "import hashlib; from autorag.demo import stdlib_documents; "
    "print(hashlib.sha256(repr(stdlib_documents()).encode()).hexdigest())"
)


@pytest.fixture(scope="module")
def documents() -> list[DocRecord]:
    return stdlib_documents()


@pytest.fixture(scope="module")
def texts(documents: list[DocRecord]) -> dict[str, str]:
    return {document.id: document.text for document in documents}


@pytest.fixture(scope="module")
def questions() -> list[dict[str, Any]]:
    return demo_questions()


def folded(text: str) -> str:
    """Fold case and white space, the way answers are compared."""
    return re.sub(r"\s+", " ", text).strip().casefold()


def module_of(name: str, modules: set[str]) -> str:
    """Return the longest module name that a dotted name starts with; else ``builtins``."""
    parts = name.split(".")
    heads = [".".join(parts[:size]) for size in range(len(parts), 0, -1)]
    return next((head for head in heads if head in modules), "builtins")


def names_its_answer(question: dict[str, Any]) -> bool:
    """Tell whether a question contains the long last part of one of its gold names."""
    last_parts = [name.rsplit(".", 1)[-1].casefold() for name in question["relevant"]]
    text = question["question"].casefold()
    return any(len(part) > LONG_NAME and part in text for part in last_parts)


def test_thousands_of_documents(documents: list[DocRecord]) -> None:
    assert 4000 <= len(documents) <= 7000


def test_ids_are_unique_ordered_and_also_the_titles(documents: list[DocRecord]) -> None:
    ids = [document.id for document in documents]
    assert ids == sorted(set(ids))
    assert all(document.title == document.id for document in documents)


def test_no_text_is_empty(documents: list[DocRecord]) -> None:
    assert all(len(document.text.strip()) >= 20 for document in documents)


def test_two_calls_agree(documents: list[DocRecord]) -> None:
    assert stdlib_documents() == documents


def test_processes_agree_whatever_their_hash_seed() -> None:
    assert digest_in_new_process("1") == digest_in_new_process("2")


def digest_in_new_process(hash_seed: str) -> str:
    """Extract the corpus in a fresh interpreter with another hash seed; return its digest."""
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
    command = [sys.executable, "-c", DIGEST]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert not done.stderr
    return done.stdout.strip()


def test_texts_depend_on_no_address_or_local_path(documents: list[DocRecord]) -> None:
    prefixes = [prefix for prefix in {sys.prefix, sys.base_prefix} if len(prefix) > len("/usr")]
    leaks = [
        document.id
        for document in documents
        if re.search(r" at 0x[0-9a-f]{6}", document.text)
        or any(prefix in document.text for prefix in prefixes)
    ]
    assert leaks == []


def test_removed_and_private_modules_are_absent(documents: list[DocRecord]) -> None:
    roots = {document.id.split(".")[0] for document in documents}
    assert not roots & (REMOVED | {"this", "antigravity", "tkinter", "test", "idlelib"})
    parts = [part for document in documents for part in document.id.split(".")]
    assert not [part for part in parts if part.startswith("_")]


@pytest.mark.parametrize(
    "name",
    [
        "collections.deque",
        "collections.abc.MutableMapping",
        "functools.partial",
        "itertools.chain",
        "json.dumps",
        "os.path.join",
        "pathlib.Path.glob",
        "pathlib.PurePath.suffix",
        "random.randint",
        "str.maketrans",
        "str.split",
    ],
)
def test_public_names(texts: dict[str, str], name: str) -> None:
    assert name in texts


def test_inherited_methods_are_not_repeated(texts: dict[str, str]) -> None:
    assert "pathlib.Path.suffix" not in texts
    assert "collections.OrderedDict.items" not in texts


def test_about_three_hundred_questions(questions: list[dict[str, Any]]) -> None:
    assert 290 <= len(questions) <= 320
    assert len({question["id"] for question in questions}) == len(questions)
    assert len({folded(question["question"]) for question in questions}) == len(questions)


def test_questions_have_the_agreed_form(questions: list[dict[str, Any]]) -> None:
    for question in questions:
        assert {"id", "question", "relevant"} <= set(question)
        assert set(question) <= {"id", "question", "relevant", "answers"}
        assert 1 <= len(question["relevant"]) <= 4
        assert len(set(question["relevant"])) == len(question["relevant"])


def test_gold_documents_exist(questions: list[dict[str, Any]], texts: dict[str, str]) -> None:
    gold = {name for question in questions for name in question["relevant"]}
    assert sorted(gold - set(texts)) == []


def test_answers_stand_in_a_gold_document(
    questions: list[dict[str, Any]], texts: dict[str, str]
) -> None:
    answered = [question for question in questions if "answers" in question]
    assert 60 <= len(answered) <= 100
    for question in answered:
        gold = [folded(texts[name]) for name in question["relevant"]]
        for answer in question["answers"]:
            assert any(folded(answer) in text for text in gold), question["id"]


def test_questions_rarely_name_their_answer(questions: list[dict[str, Any]]) -> None:
    naming = sum(names_its_answer(question) for question in questions)
    assert naming <= 0.15 * len(questions)


def test_questions_cover_many_modules(questions: list[dict[str, Any]]) -> None:
    modules = set(public_modules())
    gold = {name for question in questions for name in question["relevant"]}
    assert len({module_of(name, modules) for name in gold}) >= 80
