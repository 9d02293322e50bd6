"""Limits of what the service takes in: nothing that is sent costs more memory or time."""

from __future__ import annotations

import asyncio
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from google.rpc.status_pb2 import Status
from starlette.requests import Request

import api.ingest
import api.routes.telemetry
from api.attribution import Attribution
from api.ingest import MOST_REQUESTS, Ingest
from autorag.errors import BusyError
from collectors.otlp.body import BODY_LIMIT, PROTOBUF, WIRE_LIMIT
from store.engine import open_telemetry, sqlite_url
from store.telemetry import TelemetryStore
from store.writer import BatchWriter
from tests.api.exports import SPANS, export, refusal, stored, traces_body
from tests.api.serving import WITHIN_S, Serving, bare_command, serving
from tests.fakes import ManualClock

MIB = 1 << 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(bare_command(tmp_path_factory.mktemp("limits"))) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Serving) -> Iterator[httpx2.Client]:
    with service.client() as client:
        yield client


def gzip_bomb(mib: int) -> bytes:
    """A gzip body that expands to so many MiB: one compressed MiB of zeros, again and again."""
    member = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    member.compress(bytes(MIB))
    member.flush(zlib.Z_FULL_FLUSH)
    again = member.compress(bytes(MIB)) + member.flush(zlib.Z_FULL_FLUSH)
    head = b"\x1f\x8b\x08" + bytes(7)
    tail = struct.pack("<II", 0, (mib * MIB) % 2**32)
    return head + again * mib + b"\x03\x00" + tail


def test_a_body_that_expands_without_end_costs_little_memory(
    service: Serving, client: httpx2.Client
) -> None:
    bomb = gzip_bomb(4 << 10)
    assert len(bomb) < WIRE_LIMIT
    before = service.peak_memory_mb()
    with ThreadPoolExecutor(4) as threads:
        bombs = [threads.submit(export, client, bomb, content_encoding="gzip") for _ in range(4)]
        refusals = [refusal(b.result()) for b in bombs]
    assert [(status, code) for status, code, _ in refusals] == [(413, 8)] * 4
    assert str(BODY_LIMIT) in refusals[0][2]
    assert service.peak_memory_mb() - before < 4 * len(bomb) / MIB + 2.5 * BODY_LIMIT / MIB


class Upload:
    """An export that is sent piece by piece."""

    def __init__(self, service: Serving, **headers: str) -> None:
        self.connection = HTTPConnection(urlsplit(service.url).netloc, timeout=WITHIN_S)
        self.connection.putrequest("POST", "/v1/traces")
        named = {"Authorization": f"Bearer {service.key}", "Content-Type": PROTOBUF, **headers}
        for name, value in named.items():
            self.connection.putheader(name.replace("_", "-"), value)
        self.connection.endheaders()

    def close(self) -> None:
        self.connection.close()

    def wait_for_place(self) -> None:
        """Return when the service waits for the body; the header ``Expect`` must ask for it."""
        said = self.connection.sock.recv(100)
        assert said == b"HTTP/1.1 100 Continue\r\n\r\n"

    def send(self, piece: bytes) -> None:
        self.connection.send(piece)

    def answer(self) -> tuple[HTTPResponse, bytes]:
        response = self.connection.getresponse()
        return response, response.read()


def test_a_body_that_will_be_too_long_is_refused_before_it_is_read(service: Serving) -> None:
    with closing(Upload(service, Content_Length=str(WIRE_LIMIT + 1))) as upload:
        response, content = upload.answer()
    assert response.status == 413
    status = Status.FromString(content)
    assert status.code == 8
    assert str(WIRE_LIMIT) in status.message


def test_a_body_of_unknown_length_is_given_up_at_the_limit(service: Serving) -> None:
    with closing(Upload(service, Transfer_Encoding="chunked")) as upload:
        for _ in range(WIRE_LIMIT // MIB + 1):
            upload.send(f"{MIB:x}\r\n".encode() + bytes(MIB) + b"\r\n")
        response, content = upload.answer()
    assert response.status == 413
    assert Status.FromString(content).code == 8


def test_a_body_of_unknown_length_is_taken(service: Serving) -> None:
    content = traces_body(["chunked"])
    with closing(Upload(service, Transfer_Encoding="chunked")) as upload:
        for i in range(0, len(content), 500):
            piece = content[i : i + 500]
            upload.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        upload.send(b"0\r\n\r\n")
        response, _ = upload.answer()
    assert response.status == 200
    assert stored(service, "chunked") == SPANS


@contextmanager
def all_places_taken(service: Serving, contents: Sequence[bytes]) -> Iterator[list[Upload]]:
    """As many uploads of these as there are places, half sent."""
    assert len(contents) == MOST_REQUESTS
    with ExitStack() as stack:
        uploads = []
        for content in contents:
            headers = {"Content-Length": str(len(content)), "Expect": "100-continue"}
            uploads.append(stack.enter_context(closing(Upload(service, **headers))))
        for upload, content in zip(uploads, contents, strict=True):
            upload.wait_for_place()
            upload.send(content[: len(content) // 2])
        yield uploads


def test_too_many_at_once_are_told_to_come_again(service: Serving, client: httpx2.Client) -> None:
    contents = [traces_body([f"slow {i}"]) for i in range(MOST_REQUESTS)]
    with all_places_taken(service, contents) as uploads:
        response = export(client, b"")
        assert refusal(response)[:2] == (503, 14)
        assert int(response.headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        for upload, content in zip(uploads, contents, strict=True):
            upload.send(content[len(content) // 2 :])
        assert {upload.answer()[0].status for upload in uploads} == {200}
    assert {stored(service, f"slow {i}") for i in range(MOST_REQUESTS)} == {SPANS}
    assert export(client, b"").status_code == 200


def test_senders_that_go_away_leave_their_places(service: Serving, client: httpx2.Client) -> None:
    with all_places_taken(service, [b"x" * 1000] * MOST_REQUESTS):
        assert export(client, b"").status_code == 503
    until = time.monotonic() + WITHIN_S
    while export(client, b"").status_code == 503:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert export(client, b"").status_code == 200


def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.routes.telemetry, "BODY_WITHIN_S", 0.05)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    request = Request({"type": "http", "headers": []}, receive)
    with pytest.raises(BusyError, match="did not come"):
        asyncio.run(api.routes.telemetry._body(request))


def test_nothing_more_is_decoded_while_much_waits_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.ingest, "MOST_WAITING_SPANS", 2 * SPANS)
    decoded: list[bytes] = []
    receive = api.ingest.receive_traces

    def counted(wire: bytes, *arguments: Any) -> Any:
        decoded.append(wire)
        return receive(wire, *arguments)

    monkeypatch.setattr(api.ingest, "receive_traces", counted)
    engine = open_telemetry(sqlite_url(tmp_path / "a.db"))
    may_write = threading.Event()

    async def take_in(ingest: Ingest) -> None:
        exports = [
            asyncio.create_task(
                ingest.export("traces", traces_body([i]), None, PROTOBUF, here=True, app=None)
            )
            for i in range(5)
        ]
        while len(decoded) < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        assert len(decoded) == 2
        may_write.set()
        await asyncio.gather(*exports)

    with BatchWriter(engine) as writer:
        writer.submit(lambda _: may_write.wait(WITHIN_S))
        store = TelemetryStore(engine, writer, ManualClock())
        with Ingest(store, Attribution(), "f00d") as ingest:
            asyncio.run(take_in(ingest))
    engine.dispose()
    assert len(decoded) == 5
