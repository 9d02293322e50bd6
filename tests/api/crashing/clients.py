"""Clients that use all of the service, in a process of their own, and remember what they were told.

A client sends a request until it is answered: again after a lost connection, 429 or 503, POSTs with
the same idempotency key. Whatever it was told stands in its journal; an answer that no client
should see stands in ``wrong``. Every client has an app of its own, which nobody else touches, so
that what must be there follows from its journal; some apps are shared, where only the order is
open.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import httpx2

from autorag.manifest import Manifest
from collectors.otlp.body import PROTOBUF
from tests.api.exports import a_trace, body
from tests.evaluator import DECLARATION

SHARED = 4
"""Apps to which all clients propose."""

GIVE_UP_S = 180.0
"""A service that answers nothing for so long has not recovered."""

THINK_S = 0.2
"""Longest pause of a client between two things that it does: the workers, which are nice to the
service, get to do something too."""

PAUSES_S = {"busy": (0.02, 0.1), "no answer": (0.05, 0.3)}
"""Between two tries."""

KNOBS: Mapping[str, Any] = {
    "reference": ["retrieve.k", "generate.contexts", "chunk.tokens", "chunk.overlap"]
}
REMEMBERED = 10
"""Requests with a key that a client sends again at the end."""

TUNE_TRIALS = 3


class Unexpected(Exception):
    """An answer that there must not be."""


@dataclass(frozen=True)
class Entry:
    """Something that a client was told. ``got`` is the body of the answer."""

    what: str
    app: str | None
    sent: Any
    got: Any


@dataclass(frozen=True)
class Load:
    """What clients are made of. ``evaluator`` is where apps are tuned, on documents in ``docs`` of
    the service's data folder."""

    url: str
    key: str
    seed: int
    clients: int
    evaluator: str
    docs: str


@dataclass
class News:
    """What became of the load since it was asked last."""

    journal: list[Entry] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def taken(self) -> tuple[list[Entry], list[str], Counter[str]]:
        """All of it; nothing is left."""
        with self.lock:
            found = self.journal, self.wrong, self.counts
            self.journal, self.wrong, self.counts = [], [], Counter()
        return found

    def add(self, entry: Entry) -> None:
        with self.lock:
            self.journal.append(entry)

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def complain(self, text: str) -> None:
        with self.lock:
            self.wrong.append(text)


@dataclass
class OwnApp:
    """The app of a client, as it knows it."""

    name: str
    key: str
    declared: bool
    active: int = 1
    newest: int = 1
    been_active: set[int] = field(default_factory=lambda: {1})
    documents: dict[str, str] = field(default_factory=dict)


class Sender:
    """Sends until it is answered."""

    def __init__(self, name: str, load: Load, news: News) -> None:
        self.name = name
        self.load = load
        self.news = news
        self.random = random.Random(f"{load.seed} {name}")
        self.http = httpx2.Client(base_url=load.url, timeout=30.0)
        self.numbers = itertools.count(1)
        self.answered_once: deque[tuple[tuple[Any, ...], int, bytes]] = deque(maxlen=REMEMBERED)

    def send(
        self,
        method: str,
        path: str,
        *expected: int,
        key: str | None = None,
        once: bool = False,
        **content: Any,
    ) -> tuple[httpx2.Response, int]:
        """The answer, and how often it was asked for.

        Args:
            key: the admin key if left out.
            once: with an idempotency key.
        """
        bearer = key or self.load.key
        headers = {"Authorization": f"Bearer {bearer}", **content.pop("headers", {})}
        if once:
            headers["Idempotency-Key"] = f"{self.name}-{next(self.numbers)}"
        answer, tries = self._answer(method, path, headers, content)
        if answer.status_code not in expected:
            raise Unexpected(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        if once and answer.status_code < 300:
            asked = (method, path, headers, content)
            self.answered_once.append((asked, answer.status_code, answer.content))
        return answer, tries

    def ask_again(self) -> None:
        """Whether the requests with a key that were answered last are answered alike."""
        for (method, path, headers, content), status, told in self.answered_once:
            answer, _ = self._answer(method, path, headers, content)
            if (answer.status_code, answer.content) != (status, told):
                self.news.complain(
                    f"{method} {path} was answered {status} {told[:200]!r}, then with the same "
                    f"key {answer.status_code} {answer.content[:200]!r}"
                )

    def _answer(
        self, method: str, path: str, headers: Mapping[str, str], content: Mapping[str, Any]
    ) -> tuple[httpx2.Response, int]:
        until = time.monotonic() + GIVE_UP_S
        for tries in itertools.count(1):
            why = "busy"
            try:
                answer = self.http.request(method, path, headers=headers, **content)
            except httpx2.TransportError:
                self.news.count(why := "no answer")
            else:
                self.news.count(str(answer.status_code))
                self._judge(method, path, answer)
                if answer.status_code not in (429, 503):
                    return answer, tries
            if time.monotonic() > until:
                raise Unexpected(f"{method} {path}: not answered for {GIVE_UP_S:.0f} s")
            time.sleep(self.random.uniform(*PAUSES_S[why]))
        raise AssertionError

    def _judge(self, method: str, path: str, answer: httpx2.Response) -> None:
        if answer.status_code in (500, 502, 504) or b"locked" in answer.content.lower():
            self.news.complain(f"{method} {path}: {answer.status_code} {answer.text[:300]}")


class Client(Sender):
    """One client: what it does next is drawn."""

    app: OwnApp | None = None
    key_id: int | None = None

    def act(self) -> None:
        """Do something."""
        time.sleep(self.random.uniform(0, THINK_S))
        if self.app is None:
            self._register()
            return
        doing: dict[Callable[[OwnApp], None], int] = {
            self._propose: 10,
            self._roll_back: 4,
            self._freeze: 2,
            self._acknowledge: 8,
            self._report: 12,
            self._export: 12,
            self._documents: 8,
            self._measure: 6,
            self._job: 6,
            self._rotate: 3,
            self._share: 8,
            self._delete: 1,
        }
        (act,) = self.random.choices(list(doing), list(doing.values()))
        act(self.app)

    # -- apps and settings -----------------------------------------------------------------

    def _register(self) -> None:
        name = f"{self.name}-{next(self.numbers)}"
        space = KNOBS if self.random.random() < 0.7 else None
        sent = {"name": name, "space": space, "settings": self._values()}
        answer, _ = self.send("POST", "/v1/apps", 201, once=True, json=sent)
        got = answer.json()
        self.app = OwnApp(name, got["key"], space is not None)
        self._told("register", name, sent, got["app"])

    def _propose(self, app: OwnApp) -> None:
        self._revised(app, "/revisions", {"settings": self._values()})

    def _roll_back(self, app: OwnApp) -> None:
        earlier = sorted(app.been_active - {app.active})
        if earlier:
            self._revised(app, f"/revisions/{self.random.choice(earlier)}/rollback", {})

    def _revised(self, app: OwnApp, path: str, sent: dict[str, Any]) -> None:
        """Make a revision, which is then what is delivered."""
        got = self._of_app(app, "POST", path, 201, once=True, json=sent)[0].json()
        self._told("rollback" if "rollback" in path else "propose", app.name, (path, sent), got)
        app.newest = got["number"]
        self._became_active(app, app.newest)

    def _freeze(self, app: OwnApp) -> None:
        """Freeze, propose once or twice, thaw."""
        for frozen in (True, False):
            sent = {"frozen": frozen}
            got = self._of_app(app, "POST", "/freeze", 200, once=True, json=sent)[0].json()
            self._told("freeze", app.name, sent, got)
            if frozen:
                for _ in range(self.random.randint(0, 2)):
                    asked = {"settings": self._values()}
                    answer, _ = self._of_app(app, "POST", "/revisions", 201, once=True, json=asked)
                    self._told("propose", app.name, ("/revisions", asked), answer.json())
                    app.newest = answer.json()["number"]
        self._became_active(app, app.newest)

    def _became_active(self, app: OwnApp, number: int) -> None:
        answer, _ = self._of_app(app, "GET", "/settings", 200)
        if answer.json()["revision"] != number:
            raise Unexpected(f"{app.name}: revision {number} was told, then {answer.text[:300]}")
        app.active = number
        app.been_active.add(number)

    def _acknowledge(self, app: OwnApp) -> None:
        sent = {
            "instance": f"i{self.random.randrange(3)}",
            "revision": self.random.choice(sorted(app.been_active)),
            "state": self.random.choice(("received", "applied", "failed")),
            "values": {"retrieve.k": self.random.randint(1, 50)},
        }
        answer, _ = self._of_app(app, "POST", "/acks", 200, once=True, json=sent)
        self._told("ack", app.name, sent, answer.json()["ack"])

    def _share(self, app: OwnApp) -> None:
        name, sent = f"shared-{self.random.randrange(SHARED)}", {"settings": self._values()}
        path = f"/v1/apps/{name}/revisions"
        answer, _ = self.send("POST", path, 201, once=True, json=sent)
        self._told("share", name, ("/revisions", sent), answer.json())

    def _delete(self, app: OwnApp) -> None:
        answer, tries = self.send("DELETE", f"/v1/apps/{app.name}", 204, 404)
        if tries == 1 and answer.status_code == 404:
            raise Unexpected(f"{app.name} was not there to be deleted")
        self._told("delete", app.name, None, None)
        kept = [item for item in self.answered_once if f"/{app.name}/" not in item[0][1]]
        self.answered_once.clear()
        self.answered_once.extend(kept)
        self.app = None

    # -- what apps tell ----------------------------------------------------------------------

    def _report(self, app: OwnApp) -> None:
        name = f"b{next(self.numbers)}"
        observed = {"stage": "retrieve", "metric": "duration_ms", "unit": "ms"}
        first = self.random.random()
        values = [first + n for n in range(self.random.randint(1, 40))]
        sent = {
            "batch": name,
            "instance": "i0",
            "observations": [{**observed, "value": v} for v in values],
        }
        answer, tries = self._of_app(app, "POST", "/observations", 200, json=sent)
        got = answer.json()
        if got["duplicate"] and tries == 1:
            raise Unexpected(f"{app.name}: {name} was there before it was sent")
        if not got["duplicate"] and got["accepted"] != len(values):
            raise Unexpected(f"{app.name}: {len(values)} observations, {answer.text}")
        self._told("batch", app.name, name, values)

    def _export(self, app: OwnApp) -> None:
        """A trace in two requests, children before parents."""
        spans = a_trace(f"{app.name} {next(self.numbers)}")
        for some in (spans[2:], spans[:2]):
            self.send(
                "POST",
                "/v1/traces",
                200,
                key=app.key,
                content=body(some),
                headers={"Content-Type": PROTOBUF},
            )
            self._told("spans", app.name, [(s.trace_id, s.span_id) for s in some], None)

    def _documents(self, app: OwnApp) -> None:
        """All documents, or what changed; sometimes nothing did."""
        before, after = app.documents, dict(app.documents)
        changed = {
            f"d{self.random.randrange(40)}": f"h{self.random.randrange(9)}" for _ in range(4)
        }
        removed = sorted(set(self.random.sample(sorted(after), min(2, len(after)))) - set(changed))
        after = {id_: hash_ for id_, hash_ in (after | changed).items() if id_ not in removed}
        root = Manifest(after).root
        if before and self.random.random() < 0.6:
            sent = {"base": Manifest(before).root, "changed": changed, "removed": removed}
        else:
            sent = {"documents": after}
        answer, tries = self._of_app(app, "PUT", "/documents", 200, 409, json=sent)
        told = answer.json()
        if answer.status_code == 409:
            # The request that was not answered had been carried out.
            told = self._of_app(app, "GET", "", 200)[0].json()["documents"]
        if told["root"] != root or (answer.status_code == 409 and tries == 1):
            raise Unexpected(f"{app.name}: documents {root}, {answer.text}")
        app.documents = after
        self._told("documents", app.name, after, None)
        # What waited for a change of documents is delivered by a revision of its own.
        app.active = app.newest = self._of_app(app, "GET", "/settings", 200)[0].json()["revision"]
        app.been_active.add(app.active)

    def _measure(self, app: OwnApp) -> None:
        if not app.declared:
            return
        answer, _ = self._of_app(app, "POST", "/suggestions", 200, json={"client": self.name})
        trial = answer.json()["trial"]
        if trial is None:
            return
        metrics = {
            "ndcg_at_10": self.random.random(),
            "latency_p95_ms": self.random.uniform(1, 200),
            "context_tokens": self.random.uniform(1, 3000),
        }
        path = f"/trials/{trial}/result"
        self._of_app(app, "POST", path, 200, once=True, json={"metrics": metrics})
        self._told("trial", app.name, metrics, trial)

    # -- operating ---------------------------------------------------------------------------

    def _job(self, app: OwnApp) -> None:
        answer, _ = self.send("POST", "/admin/v1/jobs", 202, 409, once=True, json={"kind": "prune"})
        if answer.status_code == 409:
            return
        job = answer.json()
        self._told("job", None, "prune", job["id"])
        if self.random.random() < 0.3:
            answer, _ = self.send("DELETE", f"/admin/v1/jobs/{job['id']}", 202, 409)
            if answer.status_code == 202 and answer.json()["state"] == "cancelled":
                self._told("cancelled", None, None, job["id"])

    def _rotate(self, app: OwnApp) -> None:
        """Make a second key, use it, and let it in no longer."""
        sent = {"app": app.name, "scopes": ["settings"]}
        made = self.send("POST", "/admin/v1/keys", 201, once=True, json=sent)[0].json()
        self._told("key", app.name, None, made["id"])
        self.send("GET", f"/v1/apps/{app.name}/settings", 200, key=made["key"])
        self.send("DELETE", f"/admin/v1/keys/{made['id']}", 204)
        self._told("revoked", app.name, None, made["id"])
        self.send("GET", f"/v1/apps/{app.name}/settings", 401, key=made["key"])

    # -- inside ------------------------------------------------------------------------------

    def _of_app(
        self, app: OwnApp, method: str, path: str, *expected: int, **more: Any
    ) -> tuple[httpx2.Response, int]:
        return self.send(method, f"/v1/apps/{app.name}{path}", *expected, key=app.key, **more)

    def _values(self) -> dict[str, Any]:
        drawn = {
            "retrieve.k": self.random.randint(10, 50),
            "generate.contexts": self.random.randint(1, 10),
            "chunk.tokens": self.random.choice((64, 128, 256, 512)),
            "chunk.overlap": self.random.choice((0.0, 0.1, 0.2)),
        }
        return dict(self.random.sample(sorted(drawn.items()), self.random.randint(1, 4)))

    def _told(self, what: str, app: str | None, sent: Any, got: Any) -> None:
        self.news.add(Entry(what, app, sent, got))


class Tuner(Sender):
    """Has one app after the other tuned, and sees to it that every tune ends."""

    app: str | None = None
    job: int | None = None

    def act(self) -> None:
        """Begin a tune, or look how it is."""
        if self.job is None:
            self._begin()
        time.sleep(0.2)
        job = self.send("GET", f"/admin/v1/jobs/{self.job}", 200)[0].json()
        if job["state"] == "dead":
            if job["error"] != "its worker died" and "ended" not in job["error"]:
                raise Unexpected(f"the tune of {self.app} failed: {job['error']}")
            self.send("POST", f"/admin/v1/jobs/{self.job}/retry", 202, 409, once=True)
        elif job["state"] == "done":
            self.news.add(Entry("tuned", self.app, job["id"], job["result"]))
            self.job = None

    def finish(self) -> None:
        """Go on until the tune has ended."""
        until = time.monotonic() + GIVE_UP_S
        while self.job is not None and time.monotonic() < until:
            self.act()

    def _begin(self) -> None:
        name = f"{self.name}-{next(self.numbers)}"
        sent = {"name": name, "space": DECLARATION, "objective": "max ndcg_at_10"}
        got = self.send("POST", "/v1/apps", 201, once=True, json=sent)[0].json()
        self.news.add(Entry("tunable", name, sent, got["app"]))
        workload = {"docs": self.load.docs, "evaluator": self.load.evaluator}
        self.send("PUT", f"/v1/apps/{name}/workload", 200, json=workload)
        asked = {
            "kind": "tune",
            "app": name,
            "arguments": {"trials": TUNE_TRIALS, "budget": "none", "strategy": "random"},
        }
        job = self.send("POST", "/admin/v1/jobs", 202, once=True, json=asked)[0].json()
        self.news.add(Entry("job", name, "tune", job["id"]))
        self.app, self.job = name, job["id"]


def run_load(load: Load, pipe: Connection) -> None:
    """Be the clients, as the other end of the pipe says: ``go`` and ``pause``, which returns what
    was told since; ``finish``, which ends what was begun; None ends it."""
    news = News()
    clients = [Client(f"c{n}", load, news) for n in range(load.clients)]
    tuner = Tuner("tuned", load, news)
    _share_apps(Sender("shared", load, news))
    pipe.send("ready")
    while (word := pipe.recv()) is not None:
        if word == "go":
            with _acting([*clients, tuner], news):
                assert pipe.recv() == "pause"
        else:
            _finish(clients, tuner, news)
        pipe.send(news.taken())


@contextmanager
def _acting(senders: list[Any], news: News) -> Iterator[None]:
    """Let them act while the block runs; what they began is answered when it ends."""
    stop = threading.Event()

    def run(sender: Any) -> None:
        while not stop.is_set():
            try:
                sender.act()
            except Unexpected as error:
                news.complain(f"{sender.name}: {error}")
                return
            except Exception as error:
                news.complain(f"{sender.name}: {error!r}")
                return

    threads = [threading.Thread(target=run, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _finish(clients: list[Client], tuner: Tuner, news: News) -> None:
    try:
        tuner.finish()
        for client in clients:
            client.ask_again()
    except Unexpected as error:
        news.complain(str(error))


def _share_apps(sender: Sender) -> None:
    for name in (f"shared-{n}" for n in range(SHARED)):
        sent = {"name": name, "space": KNOBS, "settings": {}}
        got = sender.send("POST", "/v1/apps", 201, once=True, json=sent)[0].json()
        sender.news.add(Entry("register", name, sent, got["app"]))
