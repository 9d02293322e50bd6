"""Measuring a pipeline that runs elsewhere, through the HTTP evaluator of its app.

``POST {evaluator}/evaluate`` with ``{"config": {...}, "queries": [{"id", "question"}, ...]}``, and
``"generate": true`` when answers are wanted, is answered as ``collectors.evaluator_answer`` says.
Queries come in batches, one call after the other, with the same config in every call; the first
may build an index. The evaluator times its own stages: nothing is measured here.

``doc_ids`` are ids of documents, best first. A document that comes again is another chunk of it
and takes no new rank; gold is found when its document is, since the evaluator's chunks are not
known. Metrics that need a figure of every query (latency, context tokens) are absent when one
lacks it. Documents stand in for chunks: their ids are kept hashed as ``chunk_ids``.

A status of 400 or 422 means that this config cannot be run. Any other but 200 tells nothing about
the config, as when the evaluator cannot be reached: the measurement ends with ``UnreachableError``
and can be made another time. One that asks to be called again later (429 or 503 with
``Retry-After``) is.

An evaluator on this host is measured under the measuring lease, because what else is measured here
would slow it down. One on another host is not: other measurements need not wait for it, and that
nothing else runs beside it is its operator's care.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from autorag.errors import (
    AddressError,
    MeasurementCancelled,
    MeasurementError,
    UnavailableError,
    UnreachableError,
)
from autorag.evaluation.aggregate import QUANTILES, aggregate, stage_quantiles
from autorag.evaluation.answers import answer_em, answer_f1
from autorag.evaluation.gold import GoldUnit, Retrieved, first_ranks
from autorag.evaluation.ranking import ranking_metrics
from autorag.hashing import text_id
from autorag.ports import Measurement, Progress, QueryResult
from autorag.queries import Query
from autorag.racing import Race
from autorag.space import Config
from autorag.workload import Workload
from collectors.cancelling import Cancelling, never
from collectors.evaluator_answer import BatchAnswer, QueryAnswer, read_answer, refusal
from collectors.lease import measuring_lease
from collectors.outbound import Address, Answer, Outbound, embedded

BATCH = 32
LONGEST_CALL_S = 1800.0
"""An index may be built in one."""

RETRY_WAITS_S = (0.5, 1.0, 2.0)
"""An evaluator that cannot be reached may be restarting."""

REFUSALS = (400, 422)
"""Statuses that say that a config cannot be run."""

LATER = (429, 503)
LONGEST_RETRY_AFTER_S = 60.0
"""An evaluator that asks for a longer pause is not waited for."""

NAP_S = 0.2
LATENCY_STAGES = frozenset(("embed", "retrieve", "rerank"))


def check_evaluator(url: str, outbound: Outbound, key: str = "evaluator") -> tuple[Address, ...]:
    """Check the URL of an evaluator without calling it; returns the addresses of its host.

    Raises:
        AddressError: it must not be called, or has a query.
    """
    if "?" in url:
        raise AddressError(f"{key} = {url!r}: expected a URL without a query", key=key, value=url)
    return outbound.check(url, key)


class HttpMeasurer:
    """Measures configs of one workload by asking an evaluator.

    Args:
        url: of the evaluator, without ``/evaluate``.
        needed: metrics without which a measurement is of no use; one that lacks is an error.
        cancelled: asked about once a second while measuring; true ends it with ``WorkCancelled``.

    Raises:
        AddressError: the URL must not be called.
    """

    def __init__(
        self,
        workload: Workload,
        url: str,
        outbound: Outbound,
        *,
        needed: Sequence[str] = (),
        cancelled: Callable[[], bool] = never,
        waits_s: Sequence[float] = RETRY_WAITS_S,
    ) -> None:
        addresses = check_evaluator(url, outbound)
        self._here = any(_is_here(a) for a in addresses)
        self._url = f"{url.rstrip('/')}/evaluate"
        self._outbound = outbound
        self._queries = {q.id: q for q in workload.queries}
        self._documents = frozenset(d.id for d in workload.documents)
        self._needed = tuple(needed)
        self._cancelling = Cancelling(cancelled)
        self._waits_s = tuple(waits_s)

    def measure(
        self,
        config: Config,
        queries: Sequence[str],
        *,
        generate: bool = False,
        deadline: float | None = None,
        progress: Progress | None = None,
        race: Race | None = None,
    ) -> Measurement:
        """See :class:`autorag.ports.Measurer`; ``deadline`` is on ``time.monotonic``."""

        def poll() -> None:
            self._cancelling.check()
            if deadline is not None and time.monotonic() >= deadline:
                raise MeasurementCancelled("the deadline passed")

        started = time.monotonic()
        answers = []
        with self._lease(deadline, progress, poll):
            for start in range(0, len(queries), BATCH):
                if progress is not None:
                    progress("query", start, len(queries))
                poll()
                batch = queries[start : start + BATCH]
                answers.append(self._ask(config, batch, generate, poll))
        measured = self._measurement(answers, time.monotonic() - started)
        lacking = [m for m in self._needed if m not in measured.metrics]
        if lacking:
            raise MeasurementError(
                f"{self._url}: nothing was returned to compute {', '.join(lacking)} from, which "
                "the objective names"
            )
        return measured

    def _lease(
        self, deadline: float | None, progress: Progress | None, poll: Callable[[], None]
    ) -> AbstractContextManager[None]:
        def waiting() -> None:
            if progress is not None:
                progress("waiting for another measurement", 0, 0)

        return measuring_lease(None, waiting, poll) if self._here else nullcontext()

    def _ask(
        self, config: Config, batch: Sequence[str], generate: bool, poll: Callable[[], None]
    ) -> BatchAnswer:
        """Ask for one batch; again when the evaluator cannot be reached, or asks for it."""
        questions = [{"id": id_, "question": self._queries[id_].question} for id_ in batch]
        body = {"config": config.to_json(), "queries": questions}
        content = json.dumps({**body, "generate": True} if generate else body).encode()
        for wait_s in self._waits_s:
            try:
                return self._call(content, batch, poll)
            except UnavailableError as error:
                if error.retry_after_s is None:
                    raise
                _nap(error.retry_after_s, poll)
            except UnreachableError:
                _nap(wait_s, poll)
        return self._call(content, batch, poll)

    def _call(self, content: bytes, batch: Sequence[str], poll: Callable[[], None]) -> BatchAnswer:
        answer = self._outbound.post(self._url, content, answer_s=LONGEST_CALL_S, poll=poll)
        if answer.status != 200:
            why = f"{self._url} {refusal(answer.status, answer.content)}"
            if answer.status in REFUSALS:
                raise MeasurementError(why)
            raise UnavailableError(why, _retry_after_s(answer))
        return read_answer(answer.content, batch)

    def _measurement(self, answers: Sequence[BatchAnswer], seconds: float) -> Measurement:
        found = [q for batch in answers for q in batch.queries]
        self._check_documents(found)
        counted = all(q.context_tokens is not None for q in found)
        results = [_judge(self._queries[q.query], q, counted) for q in found]
        metrics = aggregate(results)
        if not all(LATENCY_STAGES.intersection(q.stage_ms) for q in found):
            metrics = {m: v for m, v in metrics.items() if m not in QUANTILES}
        for name, given in (
            ("memory_mb", [a.memory_mb for a in answers if a.memory_mb is not None]),
            ("build_s", [a.build_s for a in answers if a.build_s is not None]),
        ):
            if given:
                # Every call may repeat the figure, or only the first give it.
                metrics[name] = max(given)
        conditions = {"evaluator": self._url, "calls": len(answers), "seconds": seconds}
        return Measurement(metrics, stage_quantiles(results), (), {}, results, conditions)

    def _check_documents(self, found: Sequence[QueryAnswer]) -> None:
        """Refuse answers that speak of other documents altogether: of ids of chunks, say."""
        returned = {d for q in found for d in q.doc_ids}
        if returned and returned.isdisjoint(self._documents):
            raise MeasurementError(
                f"{self._url}: none of the doc_ids returned is the id of a document, "
                f"{min(returned)[:80]!r} for one"
            )


def _judge(query: Query, found: QueryAnswer, counted: bool) -> QueryResult:
    """The metrics of one query."""
    units = [GoldUnit(doc) for doc in dict.fromkeys(u.doc for u in query.units)]
    ranking = [[Retrieved(doc, 0, 0)] for doc in dict.fromkeys(found.doc_ids)]
    metrics = ranking_metrics(first_ranks(units, ranking))
    if counted and found.context_tokens is not None:
        metrics["context_tokens"] = found.context_tokens
    if found.answer is not None and query.has_answer:
        metrics["answer_f1"] = answer_f1(found.answer, query.answers)
        metrics["answer_em"] = answer_em(found.answer, query.answers)
    ids = [text_id(doc).hex() for doc in found.doc_ids]
    return QueryResult(query.id, metrics, found.stage_ms, ids, found.scores)


def _is_here(address: Address) -> bool:
    """Whether it is one of this host's own."""
    import psutil

    address = embedded(address)
    rows = (row for rows in psutil.net_if_addrs().values() for row in rows)
    own = {row.address.partition("%")[0] for row in rows}
    return address.is_loopback or address.is_unspecified or str(address) in own


def _retry_after_s(answer: Answer) -> float | None:
    """The pause that the evaluator asks for, when it is to be waited for."""
    text = answer.headers.get("retry-after", "").strip()
    if answer.status not in LATER or not (text.isascii() and text.isdigit()):
        return None
    return float(text) if float(text) <= LONGEST_RETRY_AFTER_S else None


def _nap(seconds: float, poll: Callable[[], None]) -> None:
    """Sleep, but wake up to be told to stop."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        poll()
        time.sleep(min(NAP_S, left))
