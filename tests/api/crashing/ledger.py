"""What must be in the databases, worked out from what clients were told, and what is there instead.

Every app is followed through its journal with the rules of :mod:`autorag.apps`, so that not only
the rows are compared but also what is delivered. Clients must be at rest: all that they sent was
answered.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from api.spaces import Spaces
from autorag.apps import Delivery, deliver, deliver_all
from autorag.manifest import Manifest
from autorag.space import Space
from store.engine import reading
from store.tables import (
    acks,
    apps,
    documents,
    jobs,
    keys,
    observations,
    revisions,
    spans,
    studies,
    suggestions,
    traces,
    trials,
)
from tests.api.crashing.clients import TUNE_TRIALS, Entry

ENDED = ("done", "cancelled", "dead")
MOST_SHOWN = 5
"""Differences of a kind that are shown."""


@dataclass
class Expected:
    """One app as it must be."""

    name: str
    space: Space
    deleted: bool = False
    frozen: bool = False
    active: int = 0
    configs: dict[int, dict[str, Any]] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)
    delivered: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    pending: Mapping[str, Any] = field(default_factory=dict)
    built: Mapping[str, Any] = field(default_factory=dict)
    settings_version: int = 0
    documents: dict[str, str] | None = None
    documents_version: int = 0
    acks: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    trials: dict[int, dict[str, float]] = field(default_factory=dict)
    keys: dict[int, bool] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def register(self, values: Mapping[str, Any]) -> None:
        config = self.space.config(values)
        self._add(1, config.to_json())
        self._activate(1, deliver_all(self.space, config, {}))

    def revise(self, path: str, sent: Mapping[str, Any], got: Mapping[str, Any]) -> None:
        """A proposal, or going back."""
        if "rollback" in path:
            config = self.space.config({}, base=self.configs[int(path.split("/")[2])])
        else:
            config = self.space.config(sent["settings"], base=self.configs[self.active])
        number = got["number"]
        if got["config"] != config.to_json():
            self.wrong.append(f"{self.name}: revision {number} was told with another config")
        if number != len(self.configs) + 1:
            self.wrong.append(f"{self.name}: {number} after {len(self.configs)} revisions")
        self._add(number, config.to_json())
        if not self.frozen:
            self._activate(number, deliver(self.space, config, self.settings, self.built))

    def freeze(self, frozen: bool) -> None:
        self.settings_version += frozen != self.frozen
        self.frozen = frozen
        newest = max(self.configs)
        if not frozen and self.states[newest] == "proposed":
            config = self.space.config({}, base=self.configs[newest])
            self._activate(newest, deliver(self.space, config, self.settings, self.built))

    def send_documents(self, sent: dict[str, str]) -> None:
        if sent == self.documents:
            return
        self.documents = sent
        self.documents_version += 1
        if self.pending:
            config = self.space.config({}, base=self.configs[self.active])
            number = max(self.configs) + 1
            self._add(number, config.to_json())
            self._activate(number, deliver_all(self.space, config, self.built))

    def _add(self, number: int, config: dict[str, Any]) -> None:
        self.configs[number] = config
        self.states[number] = "proposed"

    def _activate(self, number: int, delivery: Delivery) -> None:
        for other, state in self.states.items():
            if state == "active" or (state == "proposed" and other < number):
                self.states[other] = "superseded"
        self.states[number] = "active"
        self.active = number
        self.delivered[number] = self.settings = delivery.settings.to_json()
        self.pending, self.built = dict(delivery.pending), dict(delivery.built)
        self.settings_version += 1


@dataclass
class Ledger:
    """All that was told."""

    apps: dict[str, Expected] = field(default_factory=dict)
    jobs: dict[int, str] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    tuned: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    tunable: set[str] = field(default_factory=set)
    spans: dict[str, list[tuple[bytes, bytes]]] = field(default_factory=lambda: defaultdict(list))
    batches: dict[str, Counter[tuple[float, ...]]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    deletions: int = 0
    entries: Counter[str] = field(default_factory=Counter)
    spaces: Spaces = field(default_factory=Spaces)

    def enter(self, journal: Iterable[Entry]) -> None:
        """Take in what was told."""
        shared = []
        for entry in journal:
            self.entries[entry.what] += 1
            if entry.what == "share":
                shared.append(entry)
            else:
                self._enter(entry)
        for entry in sorted(shared, key=lambda e: int(e.got["number"])):
            path, sent = entry.sent
            self.apps[str(entry.app)].revise(path, sent, entry.got)

    def _enter(self, entry: Entry) -> None:
        name, sent, got = str(entry.app), entry.sent, entry.got
        match entry.what:
            case "register":
                if name in self.apps:
                    raise ValueError(f"{name} was registered twice")
                self.apps[name] = Expected(name, self.spaces.declared(sent["space"]))
                self.apps[name].register(sent["settings"])
            case "propose" | "rollback":
                path, asked = sent
                self.apps[name].revise(path, asked, got)
            case "freeze":
                self.apps[name].freeze(sent["frozen"])
            case "documents":
                self.apps[name].send_documents(sent)
            case "ack":
                self.apps[name].acks[got["instance"], got["revision"]] = got
            case "trial":
                self.apps[name].trials[got] = sent
            case "key":
                self.apps[name].keys[got] = True
            case "revoked":
                self.apps[name].keys[got] = False
            case "delete":
                self.apps[name].deleted = True
                self.deletions += 1
            case "spans":
                self.spans[name] += sent
            case "batch":
                self.batches[name][tuple(got)] += 1
            case "job":
                if got in self.jobs:
                    raise ValueError(f"job {got} was told twice")
                self.jobs[got] = sent
            case "cancelled":
                self.cancelled.add(got)
            case "tunable":
                self.tunable.add(name)
            case "tuned":
                self.tuned[name] = got

    # -- comparing ----------------------------------------------------------------------------

    def differences(self, control: Engine, telemetry: Engine, *, ended: bool) -> list[str]:
        """What is not as it must be; one line each.

        Args:
            ended: nothing runs any more, and all telemetry has settled.
        """
        found = [line for app in self.apps.values() for line in app.wrong]
        with reading(control) as connection:
            found += self._of_apps(connection)
            found += self._of_jobs(connection, ended)
            found += self._of_tunes(connection)
        with reading(telemetry) as connection:
            found += self._of_spans(connection)
            found += self._of_batches(connection)
            if ended:
                found += self._of_settling(connection)
        return found

    def _of_apps(self, connection: Connection) -> Iterator[str]:
        rows = {row.name: row for row in connection.execute(select(apps))}
        must = {name for name, app in self.apps.items() if not app.deleted} | self.tunable
        yield from _sets("apps", must, rows.keys())
        children = _children(connection)
        for name, row in rows.items():
            if name in self.apps and not self.apps[name].deleted:
                yield from _app_differences(self.apps[name], row, children)
        ids = {row.id for row in rows.values()}
        for what, owned in children.items():
            for orphan in owned.keys() - ids:
                yield f"{what} of an app {orphan} that there is not"

    def _of_jobs(self, connection: Connection, ended: bool) -> Iterator[str]:
        rows = {row.id: row for row in connection.execute(select(jobs))}
        if lost := self.jobs.keys() - rows.keys():
            yield f"jobs that were accepted are not there: {sorted(lost)}"
        more = [row for id_, row in rows.items() if id_ not in self.jobs]
        if len(more) > self.deletions:
            yield f"{len(more)} jobs that nobody was told of, {self.deletions} apps deleted"
        for id_, row in rows.items():
            live = row.state not in ENDED
            expected = f"{row.kind}:{'' if row.app_id is None else row.app_id}" if live else None
            if row.live != expected or (row.state == "running") != (row.lease is not None):
                yield f"job {id_} is {row.state}, live {row.live}, lease {row.lease}"
            if (row.ended_at is None) != live:
                yield f"job {id_} is {row.state} and ended at {row.ended_at}"
            if id_ in self.cancelled and row.state != "cancelled":
                yield f"job {id_} was told to be cancelled and is {row.state}"
            if ended and live:
                yield f"job {id_} did not end: {row.state}, attempts {row.attempts}, {row.error}"
            if row.attempts > row.most_attempts:
                yield f"job {id_} was tried {row.attempts} times"

    def _of_tunes(self, connection: Connection) -> Iterator[str]:
        """A tune that has ended has one study with every trial once, and its revision once."""
        ids = {r.name: r.id for r in connection.execute(select(apps.c.name, apps.c.id))}
        for name, result in self.tuned.items():
            mine = select(studies).where(studies.c.app_id == ids[name])
            made = connection.execute(mine).all()
            if [s.state for s in made] != ["finished"]:
                yield f"{name}: studies {[(s.id, s.state) for s in made]}"
            c = trials.c
            of_study = c.study_id.in_([s.id for s in made])
            rows = connection.execute(select(c.split, c.number, c.state).where(of_study)).all()
            searched = sorted(r.number for r in rows if r.split == "search")
            if searched != list(range(TUNE_TRIALS + 1)) or {r.state for r in rows} != {"finished"}:
                yield f"{name}: trials {[tuple(r) for r in rows]}"
            numbers = select(revisions.c.number).where(revisions.c.app_id == ids[name])
            count = len(connection.scalars(numbers).all())
            if count != 1 + (result["revision"] is not None):
                yield f"{name}: {count} revisions, the tune proposed {result['revision']}"

    def _of_spans(self, connection: Connection) -> Iterator[str]:
        query = select(traces.c.trace_id, spans.c.span_id).join(
            traces, traces.c.id == spans.c.trace
        )
        rows = Counter(map(tuple, connection.execute(query)))
        kept = {s for name, some in self.spans.items() if not self._gone(name) for s in some}
        gone = {s for name, some in self.spans.items() if self._gone(name) for s in some}
        if twice := [key for key, count in rows.items() if count > 1]:
            yield f"{len(twice)} spans are there twice"
        if lost := kept - rows.keys():
            yield f"{len(lost)} of {len(kept)} spans are lost"
        if more := rows.keys() - kept - gone:
            yield f"{len(more)} spans that nobody was told of"

    def _of_batches(self, connection: Connection) -> Iterator[str]:
        """Every batch once, with all its values. (A batch is a trace without spans.)"""
        c = observations.c
        without = ~select(spans.c.trace).where(spans.c.trace == c.trace).exists()
        query = select(c.trace, c.value, c.number).where(without).order_by(c.trace, c.number)
        values: dict[int, list[float]] = defaultdict(list)
        for trace, value, _ in connection.execute(query):
            values[trace].append(value)
        found = Counter(map(tuple, values.values()))
        kept: Counter[tuple[float, ...]] = Counter()
        gone: Counter[tuple[float, ...]] = Counter()
        for name, some in self.batches.items():
            (gone if self._gone(name) else kept).update(some)
        if lost := kept - found:
            yield f"{lost.total()} of {kept.total()} batches are lost or not whole"
        if more := found - kept - gone:
            yield f"{more.total()} batches that nobody was told of, or twice"

    def _of_settling(self, connection: Connection) -> Iterator[str]:
        """Every trace was settled into the same observations, however it came."""
        c = observations.c
        traced = select(spans.c.trace).where(spans.c.trace == c.trace).exists()
        columns = (c.number, c.at, c.stage, c.metric, c.value, c.weight)
        made: dict[int, list[Any]] = defaultdict(list)
        for trace, *row in connection.execute(
            select(c.trace, *columns).where(traced).order_by(c.trace, c.number)
        ):
            made[trace].append(tuple(row))
        count = connection.scalar(select(func.count(spans.c.trace.distinct())))
        shapes = Counter(map(tuple, made.values()))
        if len(shapes) > 1 or (len(made) != count):
            yield f"{count} traces settled into {len(made)} of {len(shapes)} different kinds"

    def _gone(self, name: str) -> bool:
        return self.apps[name].deleted


def _app_differences(app: Expected, row: Any, children: Mapping[str, Any]) -> Iterator[str]:
    root = None if app.documents is None else Manifest(app.documents).root
    expected = {
        "revision": app.active,
        "frozen": app.frozen,
        "settings": app.settings,
        "pending": app.pending,
        "built": app.built,
        "settings_version": app.settings_version,
        "root": root,
        "documents_version": app.documents_version,
    }
    for name, value in expected.items():
        if getattr(row, name) != value:
            yield f"{app.name}: {name} is {getattr(row, name)!r}, not {value!r}"
    if not app.space.valid(row.settings):
        yield f"{app.name}: its settings are not valid"
    mine = {name: owned.get(row.id, []) for name, owned in children.items()}
    numbered = {n: (app.configs[n], app.states[n], app.delivered.get(n)) for n in app.configs}
    found = {r.number: (r.config, r.state, r.delivered) for r in mine["revisions"]}
    yield from _maps(app.name, "revision", numbered, found)
    if [r.state for r in mine["revisions"]].count("active") != 1:
        yield f"{app.name}: not one active revision"
    yield from _maps(
        app.name,
        "document",
        app.documents or {},
        {r.document: r.content_hash for r in mine["documents"]},
    )
    told = {key: (a["state"], a["values"], a["mismatched"]) for key, a in app.acks.items()}
    there = {(r.instance, r.revision): (r.state, r.values, r.mismatched) for r in mine["acks"]}
    yield from _maps(app.name, "acknowledgement", told, there)
    measured = {r.id: r.metrics for r in mine["trials"] if r.state == "finished"}
    yield from _maps(app.name, "trial", app.trials, measured)
    if [r.number for r in mine["trials"]] != list(range(len(mine["trials"]))):
        yield f"{app.name}: trials are not numbered in order"
    if sum(r.pending for r in mine["trials"]) > 1:
        yield f"{app.name}: its client has two suggestions"
    if len({r.study_id for r in mine["trials"]}) > 1:
        yield f"{app.name}: two studies"
    first, *others = sorted(mine["keys"], key=lambda r: r.id)
    if first.revoked_at is not None:
        yield f"{app.name}: its first key is revoked"
    yield from _maps(app.name, "key", app.keys, {r.id: r.revoked_at is None for r in others})


def _children(connection: Connection) -> dict[str, dict[int, list[Any]]]:
    """What belongs to each app, by its number."""
    asked = (
        select(trials, suggestions.c.app_id, suggestions.c.pending)
        .join(suggestions, suggestions.c.trial_id == trials.c.id)
        .order_by(trials.c.study_id, trials.c.number)
    )
    queries = {
        "revisions": select(revisions),
        "documents": select(documents),
        "acks": select(acks),
        "trials": asked,
        "keys": select(keys).where(keys.c.app_id.is_not(None)),
        "studies": select(studies).where(studies.c.app_id.is_not(None)),
    }
    found: dict[str, dict[int, list[Any]]] = {}
    for name, query in queries.items():
        owned: dict[int, list[Any]] = defaultdict(list)
        for row in connection.execute(query):
            owned[row.app_id].append(row)
        found[name] = owned
    return found


def _maps(app: str, what: str, must: Mapping[Any, Any], found: Mapping[Any, Any]) -> Iterator[str]:
    yield from _sets(f"{app}: {what}", must.keys(), found.keys())
    different = [key for key in must.keys() & found.keys() if must[key] != found[key]]
    for key in different[:MOST_SHOWN]:
        yield f"{app}: {what} {key} is {found[key]!r}, not {must[key]!r}"


def _sets(what: str, must: Iterable[Any], found: Iterable[Any]) -> Iterator[str]:
    must, found = set(must), set(found)
    for title, some in (("lost", must - found), ("not told of", found - must)):
        if some:
            yield f"{what} {title}: {sorted(some)[:MOST_SHOWN]} ({len(some)})"
