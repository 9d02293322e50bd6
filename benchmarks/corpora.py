"""Corpora that come in packages: documentation, manuals, code, law, literature, mail, dictionaries.

    python -m benchmarks.corpora --out FOLDER [NAME ...] [--list]

Each line of ``corpora.toml`` is a recipe: a package, which of its files, and how to read them. A
recipe becomes ``FOLDER/NAME/corpus.jsonl`` (lines of ``{"id", "title", "text"}``, which
``autorag tune --docs FOLDER/NAME`` reads) and ``FOLDER/NAME/source.json`` (package, version, the
licence that the package declares, counts, and the hash of the corpus). There are no queries:
AutoRAG makes pseudo-queries.

What is there already is skipped; a corpus appears whole or not at all. A recipe that fails does not
stop the others; then the exit code is 1. Texts stay where they were made: nothing of them belongs
into a repository.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autorag.documents import Document, document_to_json
from autorag.errors import AutoragError, InputError
from benchmarks.corpus_packages import KINDS, Package, fetch, files
from benchmarks.corpus_records import RECORD_READERS
from benchmarks.corpus_text import TEXT_READERS

TABLE = Path(__file__).with_name("corpora.toml")
READERS = {**TEXT_READERS, **RECORD_READERS}
MAX_BYTES = 20_000_000
MAX_DOCUMENTS = 20_000
MIN_BYTES = 60
"""Less is no document: a stub, an alias, a heading without a text."""

_CONTROL = re.compile(r".\x08|[\x00-\x08\x0b-\x1f\x7f]")
"""Control characters, and what is struck over by a backspace."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one corpus is made. ``version`` is empty where a release moves on under its name."""

    name: str
    family: str
    kind: str
    package: str
    version: str
    files: tuple[str, ...]
    reader: str
    options: Mapping[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Make the corpora that are asked for; 1 if one failed."""
    arguments = parse_arguments(argv)
    recipes = chosen(read_recipes(TABLE), arguments.names)
    if arguments.list:
        for recipe in recipes:
            print(f"{recipe.name:20} {recipe.family:12} {recipe.kind:7} {recipe.package}")
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    done = [made(recipe, arguments.out) for recipe in recipes]
    return int(not all(done))


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="recipes (default: all)")
    parser.add_argument("--out", type=Path, metavar="FOLDER")
    parser.add_argument("--list", action="store_true", help="print the recipes and stop")
    arguments = parser.parse_args(argv)
    if arguments.out is None and not arguments.list:
        parser.error("--out FOLDER says where the corpora go")
    return arguments


def read_recipes(table: Path) -> list[Recipe]:
    """The recipes of a table, in its order.

    Raises:
        InputError: a line that names an unknown reader or kind, or lacks something.
    """
    rows = tomllib.loads(table.read_text("utf-8"))["corpora"]
    return [_recipe(name, dict(row)) for name, row in rows.items()]


def _recipe(name: str, row: dict[str, Any]) -> Recipe:
    try:
        package, _, version = row.pop("package").partition("==")
        family, kind, globs = row.pop("family"), row.pop("kind"), row.pop("files")
        reader = row.pop("reader")
    except KeyError as missing:
        raise InputError(f"recipe {name} lacks {missing}", key=name) from None
    for key, value, known in (("kind", kind, KINDS), ("reader", reader, READERS)):
        if value not in known:
            raise InputError(f"recipe {name}: no {key} {value!r}", key=key, value=value)
    options = row.pop("options", {})
    if row:
        raise InputError(f"recipe {name}: unknown {sorted(row)}", key=name)
    return Recipe(name, family, kind, package, version, tuple(globs), reader, options)


def chosen(recipes: Sequence[Recipe], names: Sequence[str]) -> list[Recipe]:
    """The recipes named, in the table's order; all if none is.

    Raises:
        InputError: a name without a recipe.
    """
    unknown = set(names) - {recipe.name for recipe in recipes}
    if unknown:
        raise InputError(f"no recipe for {', '.join(sorted(unknown))}", key="NAME", value=unknown)
    return [recipe for recipe in recipes if not names or recipe.name in names]


def made(recipe: Recipe, out: Path) -> bool:
    """Make one corpus unless it is there; whether it is there now. Says what happened."""
    if (out / recipe.name).exists():
        print(f"{recipe.name}: there already", flush=True)
        return True
    try:
        source = make(recipe, out)
    except (AutoragError, OSError, ValueError) as error:
        print(f"{recipe.name}: FAILED: {error}", file=sys.stderr, flush=True)
        return False
    print(
        f"{recipe.name}: {source['documents']} documents, {source['characters']} characters, "
        f"{source['package']} {source['version']}",
        flush=True,
    )
    return True


def make(recipe: Recipe, out: Path) -> dict[str, Any]:
    """Fetch, read and write ``out/NAME`` in one rename; what ``source.json`` says.

    Raises:
        AutoragError: the package cannot be had, or nothing in it could be read.
    """
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{recipe.name}-") as scratch:
        package = fetch(recipe.kind, recipe.package, recipe.version, Path(scratch))
        documents = cut(kept(read(recipe, package.root)))
        if not documents:
            raise AutoragError(f"no documents in {recipe.files} of {recipe.package}")
        draft = Path(scratch) / "draft"
        draft.mkdir()
        source = write(recipe, package, documents, draft)
        shutil.move(draft, out / recipe.name)
    return source


def read(recipe: Recipe, root: Path) -> Iterator[Document]:
    """Every document of the recipe's files."""
    reader = READERS[recipe.reader]
    for name, raw in files(root, recipe.files):
        yield from reader(name, raw, **recipe.options)


def kept(documents: Iterable[Document]) -> Iterator[Document]:
    """Without stubs, repeated texts and control characters; ids made unique."""
    texts: set[bytes] = set()
    ids: dict[str, int] = {}
    for document in documents:
        text = _CONTROL.sub("", document.text).strip().encode("utf-8", "replace").decode()
        digest = hashlib.sha256(text.encode()).digest()
        if len(text.encode()) < MIN_BYTES or digest in texts:
            continue
        texts.add(digest)
        nth = ids[document.id] = ids.get(document.id, 0) + 1
        id_ = document.id if nth == 1 else f"{document.id}~{nth}"
        yield Document(id_, " ".join(document.title.split()), text)


def cut(documents: Iterable[Document]) -> list[Document]:
    """At most MAX_DOCUMENTS and MAX_BYTES: the first by the hash of their id, in their order."""
    everything = list(documents)
    rank = [hashlib.sha256(d.id.encode()).digest() for d in everything]
    size, chosen_positions = 0, []
    for position in sorted(range(len(everything)), key=rank.__getitem__)[:MAX_DOCUMENTS]:
        size += len(everything[position].text.encode())
        if size > MAX_BYTES:
            break
        chosen_positions.append(position)
    return [everything[position] for position in sorted(chosen_positions)]


def write(
    recipe: Recipe, package: Package, documents: Sequence[Document], folder: Path
) -> dict[str, Any]:
    """``corpus.jsonl`` and ``source.json``; what the latter says."""
    lines = (json.dumps(document_to_json(d), ensure_ascii=False) + "\n" for d in documents)
    corpus = "".join(lines).encode()
    source = {
        "name": recipe.name,
        "family": recipe.family,
        "kind": recipe.kind,
        "package": recipe.package,
        "version": package.version,
        "licence": package.licence,
        "documents": len(documents),
        "characters": sum(len(d.text) for d in documents),
        "sha256": hashlib.sha256(corpus).hexdigest(),
    }
    (folder / "corpus.jsonl").write_bytes(corpus)
    (folder / "source.json").write_text(json.dumps(source, indent=2, ensure_ascii=False) + "\n")
    return source


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"error: {error}")
