"""The documents that apps have: ids and content hashes."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select

from autorag.manifest import Difference, Manifest
from store import bulk
from store.repositories import Repository
from store.tables import documents

_COLUMNS = ("app_id", "document", "content_hash")


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
        with self._transaction("the documents could not be recorded") as connection:
            if gone:
                one = delete(documents).where(
                    documents.c.app_id == bindparam("of"), documents.c.document == bindparam("it")
                )
                connection.execute(one, [{"of": app_id, "it": id_} for id_ in gone])
            rows = [(app_id, id_, after[id_]) for id_ in new]
            bulk.insert_rows(connection, documents, rows, columns=_COLUMNS, conflict=bulk.refuse)
