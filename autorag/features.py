"""Workload features: what a corpus, its queries and its traffic are, as numbers that carry over.

Models that transfer from one workload to another read a workload as one flat vector in a fixed
order. Every feature is declared once, with its unit, its definition and its source; the docstrings
of the groups, ``FEATURES`` and the table in the documentation all come from that declaration.
Definitions that do not grow with the corpus are preferred: what depends on how much is looked at is
taken over a fixed amount (*rarefied*). Nothing comes from measuring a config.

Unknown is None: a group that was not observed, or a figure that needs more than there is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from autorag.errors import InputError
from autorag.hashing import address

SCHEMA = 1
"""Raised whenever a feature is added, removed, moved or defined anew."""

Scale = Literal["linear", "log"]
Value = float | None
Group = TypeVar("Group")

LID_MLE = "Levina and Bickel 2005, inverses as MacKay and Ghahramani 2005"
HE = "He, Kumar and Chang 2012"


@dataclass(frozen=True, slots=True)
class Feature:
    """The declaration of one feature.

    Attributes:
        group: ``corpus``, ``embedding``, ``queries`` or ``traffic``.
        unit: ``share`` is 0..1, ``1`` has no unit.
        source: the paper, or nothing where the definition says it all.
        scale: ``log`` where ratios matter (counts, lengths), ``linear`` where differences do.
    """

    name: str
    group: str
    unit: str
    definition: str
    source: str
    scale: Scale


@dataclass(frozen=True, slots=True)
class About:
    """What stands beside a field."""

    unit: str
    definition: str
    source: str = ""
    scale: Scale = "linear"


def _count(unit: str, definition: str, source: str = "") -> About:
    return About(unit, definition, source, "log")


def _share(definition: str, source: str = "") -> About:
    return About("share", definition, source)


def _documented(group: type[Group]) -> type[Group]:
    """Add one line per field to the docstring of a dataclass."""
    lines = [f"    {f.name} [{f.unit}]: {f.definition} {f.source}" for f in _declared(group, "")]
    group.__doc__ = "\n".join([str(group.__doc__), "", *(line.rstrip() for line in lines)])
    return group


def _declared(group: Any, name: str) -> list[Feature]:
    """The features of a group, in the order of its fields."""
    hints = get_type_hints(group, include_extras=True)
    return [Feature(f, name, *astuple(hint.__metadata__[0])) for f, hint in hints.items()]


@_documented
@dataclass(frozen=True, slots=True)
class CorpusFeatures:
    """What the documents are. Words are runs of letters and digits, case folded; a character of a
    script written without spaces is a word. Tokens are those that chunks are counted in. A
    passage is a title and up to 100 consecutive words of its document."""

    documents: Annotated[Value, _count("documents", "How many there are.")]
    tokens: Annotated[Value, _count("tokens", "Tokens of all documents, titles left out.")]
    document_tokens_p5: Annotated[Value, _count("tokens", "Length of a document, 5 % quantile.")]
    document_tokens_p50: Annotated[Value, _count("tokens", "Length of a document, median.")]
    document_tokens_p95: Annotated[Value, _count("tokens", "Length of a document, 95 % quantile.")]
    title_share: Annotated[Value, _share("Documents that have a title.")]
    duplicate_share: Annotated[
        Value,
        _share(
            "Documents whose text an earlier document has too; documents without text left out."
        ),
    ]
    near_duplicate_share: Annotated[
        Value,
        _share(
            "Documents that have 80 % of their distinct runs of 5 words in common with another "
            "(Jaccard), among documents of at least 5 words; by MinHash of 64 hashes. Needs 90 % "
            "of the text read.",
            "Broder 1997",
        ),
    ]
    vocabulary_words: Annotated[
        Value,
        _count(
            "words",
            "Distinct words; where only a part is read, extended to the whole by Heaps' law at the "
            "slope of the last doubling. Grows with the corpus.",
            "Heaps 1978",
        ),
    ]
    rarefied_vocabulary_words: Annotated[
        Value,
        _count("words", "Distinct words expected in 5000 words drawn at random.", "Hurlbert 1971"),
    ]
    heaps_exponent: Annotated[
        Value,
        About(
            "1",
            "Growth of the vocabulary: log4 of distinct words expected in 5000 words over those in "
            "1250.",
            "Heaps 1978; Hurlbert 1971",
        ),
    ]
    zipf_exponent: Annotated[
        Value,
        About(
            "1",
            "Minus the slope of log frequency on log rank, ranks 10 to 300, each at least 5 times.",
            "Zipf 1949",
        ),
    ]
    idf_mean: Annotated[
        Value,
        About(
            "nats",
            "Mean of ln(passages / passages with the word) over the distinct words of every "
            "passage, among 512 passages at a time.",
            "Spärck Jones 1972",
        ),
    ]
    idf_sd: Annotated[Value, About("nats", "Standard deviation of the same.", "Spärck Jones 1972")]
    type_token_ratio: Annotated[
        Value,
        _share(
            "Distinct words among the first 25 of a passage, mean over passages that have 25.",
            "Covington and McFall 2010",
        ),
    ]
    number_share: Annotated[Value, _share("Words that are written in digits only.")]
    non_latin_share: Annotated[
        Value, _share("Words of another script than Latin, among words with letters.")
    ]
    english_share: Annotated[
        Value,
        _share(
            "Passages in English, among passages with letters: in Latin script, and English "
            "function words, of seven languages', are the most: 2 and 6 % of its distinct words.",
        ),
    ]
    other_language_share: Annotated[
        Value,
        _share(
            "Passages known to be in another language, by script or function words. The rest is "
            "undecided: names, code, tables."
        ),
    ]
    language_entropy_bits: Annotated[
        Value,
        About(
            "bits",
            "Entropy of the languages of the passages whose language is known.",
            "Shannon 1948",
        ),
    ]
    prose_share: Annotated[Value, _share("Characters in lines that are none of the following.")]
    table_share: Annotated[Value, _share("Characters in lines with two separators of columns.")]
    code_share: Annotated[Value, _share("Characters in lines that look like code or a command.")]
    markup_share: Annotated[Value, _share("Characters in lines with tags, or that are headings.")]
    list_share: Annotated[Value, _share("Characters in lines that start as an item of a list.")]


@_documented
@dataclass(frozen=True, slots=True)
class EmbeddingFeatures:
    """Shape of the corpus in the space of the static embedder, whatever a config embeds with. Up to
    2048 passages from all over the corpus, distinct ones, in blocks of 512 (all, where there are
    fewer) over which figures are averaged, so that corpora of different size compare. Euclidean
    distances between unit vectors."""

    lid: Annotated[
        Value,
        About(
            "1",
            "Local intrinsic dimensionality of a passage among the others: maximum likelihood over "
            "20 neighbours, inverses averaged.",
            LID_MLE,
            "log",
        ),
    ]
    relative_contrast: Annotated[
        Value,
        About(
            "1",
            "Mean distance of a passage to the others over mean distance to its nearest.",
            HE,
        ),
    ]
    cell_imbalance: Annotated[
        Value,
        About(
            "1",
            "Cells × sum of squared shares of passages, over k-means partitions into √n cells: 1 "
            "when all are equal. Mean size of a passage's cell over the balanced size.",
            "Jégou, Douze and Schmid 2011",
        ),
    ]
    mean_cosine: Annotated[Value, About("1", "Mean cosine of two passages.")]
    hubness_skew: Annotated[
        Value,
        About(
            "1",
            "Skewness of how often a passage is among the 10 nearest of another.",
            "Radovanović, Nanopoulos and Ivanović 2010",
        ),
    ]
    query_lid: Annotated[
        Value,
        About("1", "Local intrinsic dimensionality of a query among the passages.", LID_MLE, "log"),
    ]
    query_relative_contrast: Annotated[
        Value,
        About("1", "Mean distance of a query to passages over mean distance to its nearest.", HE),
    ]
    query_cell_imbalance: Annotated[
        Value, About("1", "Mean size of the cell a query falls into, over the balanced size.")
    ]
    query_shift: Annotated[
        Value,
        _share(
            "Energy coefficient between queries and passages: 0 when they are spread alike.",
            "Székely and Rizzo 2013",
        ),
    ]


@_documented
@dataclass(frozen=True, slots=True)
class QueryFeatures:
    """What is asked, from up to 500 queries. Gold labels are counted, never used to judge a search.
    Question words are English; a query counts for the first one in it."""

    queries: Annotated[Value, _count("queries", "How many there are.")]
    pseudo: Annotated[Value, About("flag", "1 when they are sentences held out of the documents.")]
    query_tokens_p5: Annotated[Value, _count("tokens", "Length of a query, 5 % quantile.")]
    query_tokens_p50: Annotated[Value, _count("tokens", "Length of a query, median.")]
    query_tokens_p95: Annotated[Value, _count("tokens", "Length of a query, 95 % quantile.")]
    question_mark_share: Annotated[
        Value, _share("Queries that end with a question mark of any script.")
    ]
    what_share: Annotated[Value, _share("Queries that ask what.")]
    who_share: Annotated[Value, _share("Queries that ask who, whom or whose.")]
    when_share: Annotated[Value, _share("Queries that ask when.")]
    where_share: Annotated[Value, _share("Queries that ask where.")]
    which_share: Annotated[Value, _share("Queries that ask which.")]
    why_share: Annotated[Value, _share("Queries that ask why.")]
    how_share: Annotated[Value, _share("Queries that ask how.")]
    yes_no_share: Annotated[
        Value, _share("Queries without these that start with an auxiliary verb.")
    ]
    oov_share: Annotated[
        Value,
        _share(
            "Words of a query that no passage has; mean over queries. Needs 90 % of the text read."
        ),
    ]
    overlap_corpus: Annotated[
        Value,
        _share(
            "Words of a query that some passage has, weighted by idf over passages, where a word "
            "that none has weighs most; mean over queries. Needs 90 % of the text read.",
            "Spärck Jones 1972",
        ),
    ]
    overlap_passage: Annotated[
        Value,
        _share(
            "The same for the one passage that has most of the query: how far words alone lead."
        ),
    ]
    overlap_margin: Annotated[
        Value,
        _share(
            "What that passage has more than the tenth best: how well words tell passages apart."
        ),
    ]
    familiar_share: Annotated[
        Value,
        _share(
            "Words of a query that 512 random passages are expected to have; mean over queries.",
            "Hurlbert 1971",
        ),
    ]
    relevant_per_query: Annotated[
        Value, About("documents", "Gold documents of a query, mean; unknown for pseudo-queries.")
    ]


@_documented
@dataclass(frozen=True, slots=True)
class TrafficFeatures:
    """How requests arrive, from their times and the hashes of their queries."""

    arrival_per_s: Annotated[
        Value,
        About("1/s", "Gaps between requests over the seconds from first to last.", scale="log"),
    ]
    burstiness: Annotated[
        Value,
        About(
            "1",
            "-1 when gaps are equal, 0 when they are random (Poisson), towards 1 in bursts; "
            "corrected for the number of gaps.",
            "Goh and Barabási 2008; Kim and Jo 2016",
        ),
    ]
    repetition_share: Annotated[
        Value,
        _share("Requests whose query was asked before within the same 1000 consecutive requests."),
    ]


GROUPS: Mapping[str, type] = {
    "corpus": CorpusFeatures,
    "embedding": EmbeddingFeatures,
    "queries": QueryFeatures,
    "traffic": TrafficFeatures,
}

FEATURES: tuple[Feature, ...] = tuple(
    feature for name, group in GROUPS.items() for feature in _declared(group, name)
)
"""Every feature, in the order of :meth:`WorkloadFeatures.vector`."""

_OF_GROUP = {name: [f for f in FEATURES if f.group == name] for name in GROUPS}


def schema_address() -> str:
    """Identifies the names, units, order and definitions, for models that were trained on them."""
    return address([SCHEMA, [[f.name, f.unit, f.scale, f.definition] for f in FEATURES]])


def unknown(group: type[Group]) -> Group:
    """A group of which nothing is known."""
    return group(**dict.fromkeys((f.name for f in _declared(group, "")), None))


@dataclass(frozen=True, slots=True)
class WorkloadFeatures:
    """All features of one workload.

    Attributes:
        reasons: why something is unknown, by group or by feature.
    """

    corpus: CorpusFeatures
    embedding: EmbeddingFeatures
    queries: QueryFeatures
    traffic: TrafficFeatures
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.values().items():
            if value is not None and not math.isfinite(value):
                raise InputError(f"feature {name} = {value}: not finite", key=name, value=value)

    def values(self) -> dict[str, Value]:
        """Feature → value, in the order of ``FEATURES``."""
        return {f.name: getattr(getattr(self, f.group), f.name) for f in FEATURES}

    def vector(self) -> tuple[Value, ...]:
        """The values alone, in the order of ``FEATURES``."""
        return tuple(self.values().values())

    def to_json(self) -> dict[str, Any]:
        """``{"schema", "values", "reasons"}``, read back by :meth:`from_json`."""
        return {"schema": SCHEMA, "values": self.values(), "reasons": dict(self.reasons)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> WorkloadFeatures:
        """The inverse of :meth:`to_json`.

        Raises:
            InputError: another schema, a name that is none or missing, a value that is no number.
        """
        if row.get("schema") != SCHEMA:
            raise InputError(
                f"features of schema {row.get('schema')!r}, this is schema {SCHEMA}",
                key="schema",
                value=row.get("schema"),
            )
        values = row.get("values")
        if not isinstance(values, Mapping):
            raise InputError("features without 'values'", key="values", value=values)
        values = dict(values)
        groups = {
            name: group(**{f.name: _number(f.name, values) for f in _OF_GROUP[name]})
            for name, group in GROUPS.items()
        }
        if values:
            name = next(iter(values))
            raise InputError(f"{name!r} is not a feature", key=name, value=values[name])
        return cls(**groups, reasons=dict(row.get("reasons", {})))


def _number(name: str, values: dict[str, Any]) -> Value:
    """Take one value out of ``values``."""
    if name not in values:
        raise InputError(f"feature {name} is missing", key=name)
    value = values.pop(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InputError(f"feature {name} = {value!r}: not a number", key=name, value=value)
    return value
