"""The root tells content and nothing else, and differences and deltas lead where they say."""

from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import InputError
from autorag.manifest import Difference, Manifest, apply_delta, difference

ids = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
few_ids = st.sampled_from([f"d{i}" for i in range(12)])
hashes = st.sampled_from(["h1", "h2", "h3"]) | st.text("0123456789abcdef", min_size=1, max_size=40)
entries = st.dictionaries(few_ids | ids, hashes, max_size=20)


def h(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=20).digest()


def rfc_6962(leaves: list[bytes]) -> bytes:
    """The tree as the RFC defines it: split at the largest power of two below the length."""
    if len(leaves) < 2:
        return leaves[0] if leaves else h(b"")
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return h(b"\x01" + rfc_6962(leaves[:split]) + rfc_6962(leaves[split:]))


def leaf(id_: str, content_hash: str) -> bytes:
    raw = id_.encode()
    return h(b"\x00" + len(raw).to_bytes(4, "big") + raw + content_hash.encode())


@given(entries)
def test_the_root_is_that_of_rfc_6962(rows: dict[str, str]) -> None:
    leaves = [leaf(id_, rows[id_]) for id_ in sorted(rows)]
    assert Manifest(rows).root == rfc_6962(leaves).hex()


@given(entries, st.randoms(use_true_random=False))
def test_the_root_does_not_depend_on_order(rows: dict[str, str], shuffled: Any) -> None:
    items = list(rows.items())
    shuffled.shuffle(items)
    other = Manifest(dict(items))
    assert other.root == Manifest(rows).root
    assert list(other) == sorted(rows)


@given(entries, entries)
def test_roots_are_equal_exactly_if_the_contents_are(
    one: dict[str, str], other: dict[str, str]
) -> None:
    assert (Manifest(one).root == Manifest(other).root) == (one == other)
    assert (Manifest(one) == Manifest(other)) == (one == other)


@given(entries, few_ids | ids, hashes)
def test_any_change_changes_the_root(rows: dict[str, str], id_: str, content_hash: str) -> None:
    changed = {**rows, id_: content_hash}
    assert (Manifest(changed).root == Manifest(rows).root) == (rows.get(id_) == content_hash)


def test_where_an_id_ends_and_its_hash_begins_matters() -> None:
    assert Manifest({"ab": "c"}).root != Manifest({"a": "bc"}).root


def test_the_empty_manifest_has_a_root() -> None:
    assert Manifest({}).root == h(b"").hex()
    assert len(Manifest({})) == 0


@given(entries, entries)
def test_the_difference_leads_from_before_to_after(
    rows: dict[str, str], later: dict[str, str]
) -> None:
    before, after = Manifest(rows), Manifest(later)
    found = difference(before, after)
    came = [*found.added, *found.modified, *(new for _, new in found.renamed)]
    gone = [*found.deleted, *(old for old, _ in found.renamed)]
    assert apply_delta(before, {id_: after[id_] for id_ in came}, gone) == after
    assert found.documents == len(came) + len(found.deleted)
    assert (found.documents == 0) == (before.root == after.root)


@given(entries, entries)
def test_every_document_is_in_one_place(rows: dict[str, str], later: dict[str, str]) -> None:
    found = difference(Manifest(rows), Manifest(later))
    renamed = [id_ for pair in found.renamed for id_ in pair]
    named = [*found.added, *found.modified, *found.deleted, *renamed]
    assert len(named) == len(set(named))
    assert all(rows[old] == later[new] for old, new in found.renamed)
    assert not {rows[d] for d in found.deleted} & {later[a] for a in found.added}


@given(entries, entries)
def test_the_way_back_is_the_opposite(rows: dict[str, str], later: dict[str, str]) -> None:
    there = difference(Manifest(rows), Manifest(later))
    back = difference(Manifest(later), Manifest(rows))
    assert (there.added, there.modified, there.deleted) == (
        back.deleted,
        back.modified,
        back.added,
    )
    assert sorted(there.renamed) == sorted((old, new) for new, old in back.renamed)


def test_a_difference_by_example() -> None:
    before = Manifest({"a": "1", "b": "2", "c": "3", "e": "5", "f": "5"})
    after = Manifest({"a": "1", "b": "9", "d": "3", "g": "5", "z": "7"})
    assert difference(before, after) == Difference(
        added=("z",), modified=("b",), deleted=("f",), renamed=(("c", "d"), ("e", "g"))
    )


@given(entries, entries, st.sets(few_ids))
def test_a_delta_and_the_full_manifest_are_the_same(
    rows: dict[str, str], changed: dict[str, str], removed: set[str]
) -> None:
    gone = (removed & rows.keys()) - changed.keys()
    full = {id_: v for id_, v in {**rows, **changed}.items() if id_ not in gone}
    after = apply_delta(Manifest(rows), changed, sorted(gone))
    assert after == Manifest(full)
    assert after.root == Manifest(full).root


def test_removing_what_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="unknown document 'c'") as raised:
        apply_delta(Manifest({"a": "1", "b": "2"}), {}, ["a", "c"])
    assert (raised.value.key, raised.value.value) == ("removed", "c")


def test_changing_and_removing_the_same_document_is_refused() -> None:
    with pytest.raises(InputError, match="both changed and removed") as raised:
        apply_delta(Manifest({"a": "1"}), {"a": "2"}, ["a"])
    assert (raised.value.key, raised.value.value) == ("removed", "a")


def test_a_delta_leaves_its_base_as_it_was() -> None:
    base = Manifest({"a": "1", "b": "2"})
    root = base.root
    apply_delta(base, {"c": "3"}, ["a"])
    assert (dict(base), base.root) == ({"a": "1", "b": "2"}, root)


def test_a_manifest_does_not_follow_what_it_was_made_of() -> None:
    rows = {"a": "1"}
    manifest = Manifest(rows)
    rows["b"] = "2"
    assert list(manifest) == ["a"]
    with pytest.raises(TypeError):
        manifest["b"] = "2"  # type: ignore[index]


@pytest.mark.parametrize("wrong", ["", "x" * 513, "a\0b", "\ud800", 3])
def test_an_id_that_cannot_be_stored_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match="document id") as raised:
        Manifest({wrong: "1"})
    assert (raised.value.key, raised.value.value) == ("id", wrong)


@pytest.mark.parametrize("wrong", ["", "x" * 129, "a\0b", "\ud800", None])
def test_a_hash_that_cannot_be_stored_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match="document 'd': a content hash") as raised:
        Manifest({"d": wrong})
    assert (raised.value.key, raised.value.value) == ("d", wrong)
    assert len(str(raised.value)) < 200


def test_the_longest_id_and_hash_are_taken() -> None:
    assert len(Manifest({"i" * 512: "h" * 128})) == 1
