"""The AutoRAG client for the process of a RAG app: one file to copy, which needs httpx2 alone.

    client = Client(URL, "support", KEY, defaults={"retrieve.k": 10}, on_change=app.apply)
    with client:
        k = client.settings["retrieve.k"]      # at every query: whole, without waiting
        with client.stage("retrieve"):         # its duration is reported
            ...

Nothing that a request calls waits, reads a file or raises. Two daemon threads do the rest: one
waits for settings and applies them, one sends what was reported. While the service cannot be
reached the settings stay as they are; a process that starts then takes those that were applied last
on this host and, when there are none, the defaults. Start it after a fork, not before.
"""

from __future__ import annotations

import json
import logging
import math
import os
import random
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event, Lock, Thread
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import httpx2

log = logging.getLogger(__name__)

STATE_DIR = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state") / "autorag"
STAGES = frozenset(
    ("parse", "chunk", "embed", "index", "retrieve", "rerank", "generate", "request")
)
ANSWER_S = 10.0
FLUSH_S = 1.0
LONGEST_PAUSE_S = 60.0
LONGEST_ASKED_PAUSE_S = 600.0
LARGEST_BATCH = 1000
MOST_ACKS = 100
LONGEST_ERROR = 2000
WARN_EVERY_S = 60.0
AGAIN = (401, 403, 408, 409, 429)
"""Answers that are another one later (once the key is let in again, say), as those from 500 on
are."""

Settings = Mapping[str, Any]
OnChange = Callable[[Settings], Mapping[str, Any] | None]
_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,79}")
_UNIT = re.compile(r"[A-Za-z0-9%/]{1,16}")


class Refused(Exception):
    """The service refused; ``status`` is the code that it answered with."""

    def __init__(self, answer: httpx2.Response) -> None:
        super().__init__(f"{answer.request.url.path}: {answer.status_code} {answer.text[:500]}")
        self.status = answer.status_code
        self.retry_after = answer.headers.get("Retry-After")


def register(url: str, admin_key: str, name: str, **registration: Any) -> str:
    """For deployment scripts: register the app unless it is, and return a key for it. Keep the key:
    an app has at most two, and nobody can read one again.

    Args:
        registration: what ``POST /v1/apps`` takes: ``space``, ``objective``, ``settings``, ….

    Raises:
        Refused: the service says why not.
        httpx2.HTTPError: it cannot be reached.
    """
    with httpx2.Client(base_url=url, headers=_headers(admin_key), timeout=ANSWER_S) as http:
        answer = http.post("/v1/apps", json={"name": name, **registration})
        if answer.status_code == 409:
            answer = http.post("/admin/v1/keys", json={"app": name, "label": "register"})
    if answer.status_code != 201:
        raise Refused(answer)
    return str(answer.json()["key"])


@dataclass(frozen=True)
class _Document:
    """What the app runs with. Replaced as a whole, so that whoever reads it needs no lock."""

    settings: Settings
    revision: int | None
    pending: Mapping[str, Any]

    @classmethod
    def of(cls, row: Any) -> _Document:
        """Of an answer or a file.

        Raises:
            ValueError, LookupError, TypeError: it is no such thing.
        """
        return cls(_fixed(row["settings"]), int(row["revision"]), _fixed(row["pending"]))


class Client:
    """One instance of an app.

    Args:
        key: of the app.
        instance: name of this process among those of the app; made of host and process if left out.
        defaults: settings before the service was ever heard.
        on_change: applies settings and returns the values that it reads back afterwards. What it
            raises is told to the service, and the app keeps the settings that it has.
        state_dir: folder that keeps the settings applied last; None keeps them nowhere.
        most_reports: kept until they are sent; then the oldest are dropped.
        wait_s: how long a poll may wait for news.

    Attributes:
        dropped: reports that were lost: too many were kept, or the service refused them.
        documents: what the service answered to the manifest it has, None before it did.
    """

    def __init__(
        self,
        url: str,
        app: str,
        key: str,
        instance: str | None = None,
        *,
        defaults: Settings,
        on_change: OnChange | None = None,
        state_dir: Path | str | None = STATE_DIR,
        most_reports: int = 10_000,
        wait_s: int = 30,
    ) -> None:
        named = instance or f"{socket.gethostname()}-{os.getpid()}"
        self.instance = re.sub(r"[^A-Za-z0-9._:@/+-]", "-", named)[:120]
        self.dropped = 0
        self.documents: Mapping[str, Any] | None = None
        self._base = f"{url.rstrip('/')}/v1/apps/{app}"
        self._headers = _headers(key)
        self._on_change = on_change
        self._wait_s = wait_s
        self._file = _state_file(state_dir, app, self._base)
        self._document = self._load() or _Document(_fixed(defaults), None, _fixed({}))
        self._etag = ""
        self._applying, self._lock = Lock(), Lock()
        self._reports: deque[tuple[int | None, dict[str, Any]]] = deque()
        self._most_reports = most_reports
        self._unsent: dict[str, Any] | None = None
        self._acks: deque[tuple[str, dict[str, Any]]] = deque(maxlen=MOST_ACKS)
        self._manifest: Mapping[str, str] | None = None
        self._root: str | None = None
        self._sent_manifest: Mapping[str, str] = {}
        self._news, self._closed, self._sending_ends = Event(), Event(), Event()
        self._threads: list[Thread] = []

    @property
    def settings(self) -> Settings:
        """What to run with now: never half of a change."""
        return self._document.settings

    @property
    def revision(self) -> int | None:
        """The revision of the settings, None while they are the defaults."""
        return self._document.revision

    @property
    def pending(self) -> Mapping[str, Any]:
        """Knob → ``{"value", "apply"}`` that the revision wants besides, once documents change."""
        return self._document.pending

    def start(self) -> Client:
        """Begin to poll and to send."""
        if not self._threads:
            for loop, answer_s in (
                (self._keep_polling, self._wait_s + ANSWER_S),
                (self._keep_sending, ANSWER_S),
            ):
                http = httpx2.Client(base_url=self._base, headers=self._headers, timeout=answer_s)
                self._threads.append(Thread(target=loop, args=(http,), daemon=True, name="autorag"))
            for thread in self._threads:
                thread.start()
        return self

    def close(self, within_s: float = 10.0) -> None:
        """Let a change that is being applied end, and send what is left, for so long at most each.
        A poll that waits ends by itself and applies nothing."""
        self._closed.set()
        if self._applying.acquire(timeout=within_s):
            self._applying.release()
        self._sending_ends.set()
        self._news.set()
        if self._threads:
            self._threads[1].join(within_s)

    def __enter__(self) -> Client:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def report(self, stage: str, metric: str, value: float, unit: str = "1") -> None:
        """Report a measured value of a stage; it is sent in the background."""
        try:
            number = float(value)
            usable = stage in STAGES and _METRIC.fullmatch(metric) and _UNIT.fullmatch(unit)
        except Exception:  # whatever an app hands over
            usable = None
        if not usable or not math.isfinite(number):
            shown = ", ".join(map(_shown, (stage, metric, value, unit)))
            log.warning("report(%s): cannot be reported", shown)
            return
        row = {"stage": stage, "metric": metric, "value": number, "unit": unit}
        with self._lock:
            self._reports.append((self.revision, {**row, "at": int(time.time())}))
            if len(self._reports) > self._most_reports:
                self._reports.popleft()
                self.dropped += 1

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Report how long the block takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.report(name, "duration_ms", (time.perf_counter() - started) * 1e3, "ms")

    def send_documents(self, manifest: Mapping[str, str]) -> None:
        """Say which documents the app has (id → content hash). It is sent in the background, only
        what changed where the service knows the rest; see :attr:`documents`."""
        self._manifest = dict(manifest)
        self._news.set()

    # -- settings ---------------------------------------------------------------------------

    def _keep_polling(self, http: httpx2.Client) -> None:
        pauses = _Pauses("settings")
        with http:
            while not self._closed.is_set():
                try:
                    pause_s = self._poll(http, pauses)
                except Exception as error:  # the app goes on with what it has, whatever this is
                    pause_s = pauses.after(error)
                self._closed.wait(pause_s)

    def _poll(self, http: httpx2.Client, pauses: _Pauses) -> float:
        """Ask once and apply what came; returns the seconds until the next time."""
        asked = time.monotonic()
        known = {"If-None-Match": self._etag} if self._etag else {}
        asking = {"instance": self.instance, "wait": self._wait_s}
        answer = http.get("/settings", params=asking, headers=known)
        if answer.status_code not in (200, 304):
            raise Refused(answer)
        unchanged = answer.status_code == 304
        if not unchanged:
            self._take(answer)
        elif self._wait_s and time.monotonic() - asked < 1:
            return pauses.next_s()  # it did not wait, since it ends or has too many who do
        pauses.reset()
        return 0.0 if self._wait_s else _seconds(answer.headers.get("Poll-Interval"))

    def _take(self, answer: httpx2.Response) -> None:
        document = _Document.of(answer.json())
        with self._applying:
            if not self._closed.is_set():
                # Also if it fails: what cannot be applied is not tried again until it is changed.
                self._etag = answer.headers["ETag"]
                self._apply(document)

    def _apply(self, document: _Document) -> None:
        self._acknowledge(document, "received")
        try:
            read = self._on_change(document.settings) if self._on_change is not None else None
            values = json.loads(json.dumps(dict(read or {}), allow_nan=False))
        except Exception as error:
            log.exception("revision %s could not be applied", document.revision)
            text = f"{type(error).__name__}: {error}".replace("\0", "")
            text = text.encode(errors="replace").decode()[:LONGEST_ERROR]
            self._acknowledge(document, "failed", error=text)
            return
        self._document = document
        self._acknowledge(document, "applied", values=values)
        self._save(document)

    def _acknowledge(self, document: _Document, state: str, **more: Any) -> None:
        ack = {"instance": self.instance, "revision": document.revision, "state": state, **more}
        self._acks.append((uuid4().hex, ack))
        self._news.set()

    def _load(self) -> _Document | None:
        """The settings applied last on this host."""
        try:
            if self._file is not None and self._file.exists():
                return _Document.of(json.loads(self._file.read_text(encoding="utf-8")))
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            log.warning("%s is of no use: %s", self._file, error)
        return None

    def _save(self, document: _Document) -> None:
        if self._file is None:
            return
        row = {
            "revision": document.revision,
            "settings": dict(document.settings),
            "pending": dict(document.pending),
        }
        draft = self._file.with_suffix(f".{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(row), encoding="utf-8")
            draft.replace(self._file)
        except OSError as error:
            log.warning("settings are not kept in %s: %s", self._file, error)

    # -- sending ----------------------------------------------------------------------------

    def _keep_sending(self, http: httpx2.Client) -> None:
        kinds = (
            (self._send_acks, _Pauses("acknowledgements")),
            (self._send_manifest, _Pauses("documents")),
            (self._send_reports, _Pauses("reports")),
        )
        with http:
            while not self._sending_ends.is_set():
                self._news.wait(FLUSH_S)
                self._news.clear()
                for send, pauses in kinds:
                    if pauses.are_over():
                        self._try_to(send, http, pauses)
            for send, pauses in kinds:  # what came while the client was being closed
                self._try_to(send, http, pauses)

    @staticmethod
    def _try_to(
        send: Callable[[httpx2.Client], None], http: httpx2.Client, pauses: _Pauses
    ) -> None:
        """Send what there is of one kind. If that fails, the other kinds do not wait for it."""
        try:
            send(http)
        except Exception as error:  # nothing is lost: it is sent again
            pauses.after(error)
        else:
            pauses.reset()

    def _send_acks(self, http: httpx2.Client) -> None:
        while self._acks:
            key, ack = self._acks[0]
            _sent(http.post("/acks", json=ack, headers={"Idempotency-Key": key}))
            if self._acks and self._acks[0][0] == key:
                self._acks.popleft()

    def _send_manifest(self, http: httpx2.Client) -> None:
        while (manifest := self._manifest) is not None:
            answer = http.put("/documents", json=self._manifest_body(manifest))
            if answer.status_code == 409 and self._root is not None:
                self._root = None  # the service knows others than we thought: send all
                continue
            if _sent(answer):
                self.documents = answer.json()
                self._root, self._sent_manifest = answer.json()["root"], manifest
            if self._manifest is manifest:
                self._manifest = None

    def _manifest_body(self, manifest: Mapping[str, str]) -> dict[str, Any]:
        if self._root is None:
            return {"documents": manifest}
        before = self._sent_manifest
        changed = {id_: h for id_, h in manifest.items() if before.get(id_) != h}
        removed = [id_ for id_ in before if id_ not in manifest]
        return {"base": self._root, "changed": changed, "removed": removed}

    def _send_reports(self, http: httpx2.Client) -> None:
        while (batch := self._next_batch()) is not None:
            if not _sent(http.post("/observations", json=batch)):
                self.dropped += len(batch["observations"])
            self._unsent = None

    def _next_batch(self) -> dict[str, Any] | None:
        """Reports of one revision. They keep their name until they are sent: should the service
        have them already, it takes them once."""
        with self._lock:
            if self._unsent is None and self._reports:
                revision, rows = self._reports[0][0], []
                while self._reports and self._reports[0][0] == revision:
                    rows.append(self._reports.popleft()[1])
                    if len(rows) == LARGEST_BATCH:
                        break
                named = {"batch": uuid4().hex, "instance": self.instance, "revision": revision}
                self._unsent = {**named, "observations": rows}
        return self._unsent


class _Pauses:
    """Pauses after failures: they double, are never quite the same, and are not shorter than what
    the service asked for. A warning is given once a minute at most."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0
        self._ends = self._warns = -math.inf

    def reset(self) -> None:
        self._failures = 0

    def are_over(self) -> bool:
        return time.monotonic() >= self._ends

    def after(self, error: Exception) -> float:
        now = time.monotonic()
        level = logging.WARNING if now >= self._warns else logging.DEBUG
        if level == logging.WARNING:
            self._warns = now + WARN_EVERY_S
        log.log(level, "%s: %s: %s", self._what, type(error).__name__, error)
        pause_s = max(self.next_s(), _seconds(getattr(error, "retry_after", None)))
        self._ends = now + pause_s
        return pause_s

    def next_s(self) -> float:
        self._failures = min(self._failures + 1, 20)
        return random.uniform(0.5, 1) * min(LONGEST_PAUSE_S, 0.5 * 2.0**self._failures)


def _sent(answer: httpx2.Response) -> bool:
    """Whether the service took it.

    Raises:
        Refused: it may take it later.
    """
    if answer.status_code in AGAIN or answer.status_code >= 500:
        raise Refused(answer)
    if answer.status_code != 200:
        log.error("%s", Refused(answer))
    return bool(answer.status_code == 200)


def _fixed(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(values))


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _seconds(text: str | None) -> float:
    """Of a header; 0 for none, and for one that tells a date."""
    try:
        return min(max(float(text or 0), 0.0), LONGEST_ASKED_PAUSE_S)
    except ValueError:
        return 0.0


def _state_file(folder: Path | str | None, app: str, base: str) -> Path | None:
    """Apps of the same name at two services have a file each."""
    if folder is None:
        return None
    try:
        return Path(folder).expanduser() / f"{app}-{sha256(base.encode()).hexdigest()[:8]}.json"
    except RuntimeError as error:
        log.warning("settings are not kept in %s: %s", folder, error)
        return None


def _shown(value: object) -> str:
    try:
        return repr(value)[:80]
    except Exception:
        return f"a {type(value).__name__}"
