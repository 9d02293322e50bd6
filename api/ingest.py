"""The use case behind the OTLP routes: from a body to committed spans.

Decoding runs in a thread of its own, one body at a time, and waits while many spans are yet to be
written, so that memory is bounded; health checks are answered meanwhile. Requests beyond a fixed
number are refused and tried again by their senders, rather than queued without end.
"""

from __future__ import annotations

import asyncio
import platform
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from api.attribution import Attribution, revision_at
from autorag.errors import BusyError
from autorag.telemetry import Source, Span
from collectors.otlp import dialects
from collectors.otlp.answer import Signal, success
from collectors.otlp.receive import Received, receive_logs, receive_metrics, receive_traces
from store.telemetry import Batch, TelemetryStore

MOST_REQUESTS = 32
"""Requests whose bodies are in memory at once."""

MOST_WAITING_SPANS = 50_000
"""Decoded spans that may wait to be written before another body is decoded."""

NAME_CHARS = 120


class Ingest:
    """Takes in telemetry. Use as a context manager.

    Args:
        hardware: fingerprint of this machine, for what is sent from this machine.
    """

    def __init__(self, store: TelemetryStore, attribution: Attribution, hardware: str) -> None:
        self._store = store
        self._attribution = attribution
        self._hardware = hardware
        self._host = platform.node()
        self._decoder = ThreadPoolExecutor(1, "otlp-decoder")
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._room.set()
        self._running = 0
        self._waiting = 0

    def __enter__(self) -> Ingest:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.shutdown()

    @property
    def busy(self) -> bool:
        """Whether a request is being taken in."""
        return self._running > 0

    async def export(
        self,
        signal: Signal,
        wire: bytes,
        encoding: str | None,
        type_: str,
        *,
        here: bool,
        app: str | None,
    ) -> bytes:
        """Take in one request; returns the body of the answer once everything is on disk.

        Args:
            here: it was sent from this machine.
            app: whose key it came with, None for an admin key.

        Raises:
            PayloadError: the body cannot be read.
            BusyError, StoreError: it was not stored; it can be sent again.
        """
        if signal == "metrics":
            await self._decode(receive_metrics, wire, encoding, type_)
            return success(signal, type_)
        receive = receive_traces if signal == "traces" else receive_logs
        async with self._turn:
            await self._room.wait()
            source_of = partial(self._source, here, app)
            received: Received = await self._decode(receive, wire, encoding, type_, source_of)
            batch = self._with_revisions(received.batch)
            spans = sum(len(some) for _, some in batch)
            self._hold(spans)
        try:
            if batch:
                await asyncio.wrap_future(self._store.add(batch))
        finally:
            self._hold(-spans)
        return success(signal, type_, received.rejected, received.message)

    def enter(self) -> None:
        """Take a place for a request.

        Raises:
            BusyError: none is free.
        """
        if self._running >= MOST_REQUESTS:
            raise BusyError(f"{MOST_REQUESTS} requests are being taken in")
        self._running += 1

    def leave(self) -> None:
        """Give the place back."""
        self._running -= 1

    def _hold(self, spans: int) -> None:
        """So many more spans wait to be written."""
        self._waiting += spans
        if self._waiting < MOST_WAITING_SPANS:
            self._room.set()
        else:
            self._room.clear()

    async def _decode(self, receive: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoder, receive, *arguments)

    def _source(self, here: bool, app: str | None, resource: dict[str, Any]) -> Source:
        """Who sent something."""
        host = _text(resource.get("host.name"))
        same = host == self._host or (host is None and here)
        named = _text(resource.get("autorag.app"))
        service = _text(resource.get("service.name"))
        return Source(
            app or self._attribution.app_of((named, service)),
            named or service,
            _text(resource.get("autorag.revision")),
            _text(resource.get("autorag.document_version")),
            _text(resource.get("service.instance.id")),
            host,
            _text(resource.get("autorag.hardware")) or (self._hardware if same else None),
            dialects.VERSION,
        )

    def _with_revisions(self, batch: Batch) -> Batch:
        """The batch, with the revision that each span ran with where only the instance is told."""
        return [part for source, spans in batch for part in self._split(source, spans)]

    def _split(self, source: Source, spans: Sequence[Span]) -> Batch:
        applied = self._attribution.revisions(source.app, source.instance)
        if source.revision is not None or applied is None:
            return [(source, spans)]
        parts: dict[str | None, list[Span]] = defaultdict(list)
        for span in spans:
            parts[revision_at(applied, span.start_ns)].append(span)
        return [(replace(source, revision=r), some) for r, some in parts.items()]


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    shown = str(value)[:NAME_CHARS].replace("\0", " ")
    return shown.encode("utf-8", "replace").decode()
