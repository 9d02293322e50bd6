"""What the analytic models need to know of a workload.

Everything comes from the workload's features; what is known better (the chunks of a chunking that
was made before, the postings of the queries) is put in by ``dataclasses.replace``. Where a feature
is unknown, a typical value stands in, as said at each field.
"""

from __future__ import annotations

from dataclasses import dataclass

from autorag.errors import InputError
from autorag.features import Value, WorkloadFeatures

SPREAD = 3.0
"""95 % quantile over median, of lengths of which only the mean is known."""


@dataclass(frozen=True, slots=True)
class WorkloadShape:
    """A corpus and its queries, in numbers. The last four are None where they are not known.

    Attributes:
        documents: how many.
        tokens: of all documents, titles left out.
        document_tokens: 5 %, 50 % and 95 % quantile of a document's length.
        duplicate_share: documents whose text an earlier one has.
        title_share: documents with a title.
        vocabulary: distinct words; 20 000 where unknown.
        query_tokens: of a query, special tokens left out; 14 where unknown.
        lid: local intrinsic dimensionality; 15 where unknown.
        query_imbalance: mean size of the cell a query falls into over the balanced size; 1.3 where
            unknown.
        chunks: distinct chunks.
        chunk_tokens: mean length of a chunk, title included.
        query_postings: (word, chunk) pairs that scoring a query adds up.
        entries: (word, chunk) pairs of the lexical index.
    """

    documents: float
    tokens: float
    document_tokens: tuple[float, float, float]
    duplicate_share: float = 0.0
    title_share: float = 0.0
    vocabulary: float = 20_000.0
    query_tokens: float = 14.0
    lid: float = 15.0
    query_imbalance: float = 1.3
    chunks: float | None = None
    chunk_tokens: float | None = None
    query_postings: float | None = None
    entries: float | None = None

    @classmethod
    def from_features(cls, features: WorkloadFeatures) -> WorkloadShape:
        """The shape of a workload.

        Raises:
            InputError: the number of documents or of their tokens is unknown.
        """
        corpus, space, queries = features.corpus, features.embedding, features.queries
        documents = _needed("documents", corpus.documents)
        tokens = _needed("tokens", corpus.tokens)
        mean = tokens / max(1.0, documents)
        known = {
            "duplicate_share": corpus.duplicate_share,
            "title_share": corpus.title_share,
            "vocabulary": corpus.vocabulary_words,
            "query_tokens": queries.query_tokens_p50,
            "lid": space.lid,
            "query_imbalance": space.query_cell_imbalance or space.cell_imbalance,
        }
        return cls(
            documents,
            tokens,
            (
                _or(corpus.document_tokens_p5, mean / SPREAD),
                _or(corpus.document_tokens_p50, mean),
                _or(corpus.document_tokens_p95, mean * SPREAD),
            ),
            **{name: value for name, value in known.items() if value is not None},
        )


def _needed(name: str, value: Value) -> float:
    if value is None:
        raise InputError(f"feature {name} is unknown: nothing can be predicted without", key=name)
    return value


def _or(value: Value, other: float) -> float:
    return other if value is None else value
