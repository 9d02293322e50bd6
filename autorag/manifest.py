"""A manifest: which documents an app has and what is in them, without the documents.

An app names its documents by ids and their contents by hashes of its own making. Two manifests hold
the same exactly if their Merkle roots are equal: what decides whether anything must restart.

The tree is that of RFC 6962 (section 2.1) over the entries sorted by id, with BLAKE2b-160: a leaf
is ``H(0x00 | length of the id | id | content hash)``, a node ``H(0x01 | left | right)``, a node
without a neighbour moves up as it is, and the root of nothing is ``H()``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

from autorag.errors import InputError
from autorag.hashing import ADDRESS_BYTES
from autorag.jsonl import encodable

MOST_ID_CHARACTERS = 512
"""An id is part of a database key, and those of PostgreSQL end near 2 700 bytes."""

MOST_HASH_CHARACTERS = 128


class Manifest(Mapping[str, str]):
    """An immutable mapping id → content hash, in the order of ids.

    Raises:
        InputError: an id or a hash that is empty, too long, or no text that can be stored.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        for id_, content_hash in entries.items():
            _check_id(id_)
            _check_hash(id_, content_hash)
        self._entries = dict(sorted(entries.items()))

    def __getitem__(self, id_: str) -> str:
        return self._entries[id_]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Manifest({len(self)} documents, {self.root})"

    @cached_property
    def root(self) -> str:
        """The Merkle root in hex: equal for equal manifests only."""
        level = [_leaf(id_, content_hash) for id_, content_hash in self._entries.items()]
        if not level:
            return _hash(b"").hex()
        while len(level) > 1:
            pairs = zip(level[::2], level[1::2], strict=False)
            alone = level[len(level) & ~1 :]
            level = [_hash(b"\x01" + left + right) for left, right in pairs] + alone
        return level[0].hex()


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of the documents. Every document that changed is in one place only.

    Attributes:
        added, modified, deleted: ids, ascending.
        renamed: pairs of the old and the new id of documents with the same content hash, ascending.
    """

    added: tuple[str, ...]
    modified: tuple[str, ...]
    deleted: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]

    @property
    def documents(self) -> int:
        """How many documents changed."""
        return len(self.added) + len(self.modified) + len(self.deleted) + len(self.renamed)


def difference(before: Manifest, after: Manifest) -> Difference:
    """What leads from one manifest to another. Of several documents with the same content hash,
    the first deleted id is renamed to the first added one, and so on."""
    gone = [id_ for id_ in before if id_ not in after]
    new = [id_ for id_ in after if id_ not in before]
    renamed = tuple(sorted(_renamed(before, gone, after, new)))
    left, came = {old for old, _ in renamed}, {id_ for _, id_ in renamed}
    return Difference(
        tuple(id_ for id_ in new if id_ not in came),
        tuple(id_ for id_ in after if id_ in before and before[id_] != after[id_]),
        tuple(id_ for id_ in gone if id_ not in left),
        renamed,
    )


def apply_delta(manifest: Manifest, changed: Mapping[str, str], removed: Iterable[str]) -> Manifest:
    """The manifest after some documents were added or modified and others removed.

    Raises:
        InputError: a removed id that is not there, because a delta made for another manifest would
            else go unnoticed; an id both changed and removed; an entry no manifest can hold.
    """
    entries = dict(manifest)
    gone = set(removed)
    for id_ in sorted(gone):
        if id_ in changed:
            raise InputError(f"{id_!r} is both changed and removed", key="removed", value=id_)
        if id_ not in entries:
            raise InputError(f"cannot remove unknown document {id_!r}", key="removed", value=id_)
        del entries[id_]
    return Manifest({**entries, **changed})


def _renamed(
    before: Manifest, gone: Iterable[str], after: Manifest, new: Iterable[str]
) -> Iterator[tuple[str, str]]:
    by_hash: dict[str, list[str]] = defaultdict(list)
    for id_ in gone:
        by_hash[before[id_]].append(id_)
    came: dict[str, list[str]] = defaultdict(list)
    for id_ in new:
        came[after[id_]].append(id_)
    for content_hash, ids in by_hash.items():
        yield from zip(ids, came.get(content_hash, ()), strict=False)


def _leaf(id_: str, content_hash: str) -> bytes:
    raw = id_.encode()
    return _hash(b"\x00" + len(raw).to_bytes(4, "big") + raw + content_hash.encode())


def _hash(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=ADDRESS_BYTES).digest()


def _check_id(id_: str) -> None:
    if not _storable(id_, MOST_ID_CHARACTERS):
        raise InputError(
            f"a document id must be 1 to {MOST_ID_CHARACTERS} characters of valid Unicode, "
            f"not {_shown(id_)}",
            key="id",
            value=id_,
        )


def _check_hash(id_: str, content_hash: str) -> None:
    if not _storable(content_hash, MOST_HASH_CHARACTERS):
        raise InputError(
            f"document {id_!r}: a content hash must be 1 to {MOST_HASH_CHARACTERS} characters of "
            f"valid Unicode, not {_shown(content_hash)}",
            key=id_,
            value=content_hash,
        )


def _storable(text: str, most: int) -> bool:
    """PostgreSQL holds no NUL."""
    return isinstance(text, str) and 0 < len(text) <= most and "\0" not in text and encodable(text)


def _shown(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
