"""The documents that apps have: ids and content hashes."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from autorag.manifest import Difference, Manifest
from store.repositories import Repository
from store.tables import documents

DELETED_AT_ONCE = 500


class ManifestRepository(Repository):
    """The documents of each app, as its last manifest told them. Only what differs is written."""

    def load(self, app_id: int) -> Manifest:
        """The manifest as it is; empty before one came."""
        query = select(documents.c.document, documents.c.content_hash)
        with self._reading() as connection:
            rows = connection.execute(query.where(documents.c.app_id == app_id))
            return Manifest(dict(iter(rows)))

    def change(self, app_id: int, after: Manifest, difference: Difference) -> None:
        """Bring the rows to ``after``, which differs from them as told."""
        moved = difference.renamed
        gone = [*difference.deleted, *difference.modified, *(old for old, _ in moved)]
        new = [*difference.added, *difference.modified, *(id_ for _, id_ in moved)]
        new_rows = [{"app_id": app_id, "document": id_, "content_hash": after[id_]} for id_ in new]
        with self._transaction("the documents could not be recorded") as connection:
            for i in range(0, len(gone), DELETED_AT_ONCE):
                some = documents.c.document.in_(gone[i : i + DELETED_AT_ONCE])
                connection.execute(delete(documents).where(documents.c.app_id == app_id, some))
            if new_rows:
                connection.execute(insert(documents), new_rows)
