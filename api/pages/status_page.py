"""The status page: apps and their instances, jobs, and what goes wrong, on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from api.pages.page import STYLE, code, html_table, remark, section
from autorag import __version__
from autorag.apps import Ack, App
from autorag.jobs import Job
from autorag.ports import Clock
from store.database import Session

MOST_JOBS = 20
MOST_APPS = 200
MOST_INSTANCES = 20
"""Shown of an app."""

UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Status:
    """What the page shows."""

    apps: Sequence[tuple[App, Sequence[Ack]]]
    jobs: Sequence[Job]
    dead: int


def look(session: Session) -> Status:
    """Read what the page shows."""
    acks = session.acks
    apps = session.apps.all()[:MOST_APPS]
    return Status(
        [(a, acks.of_app(a.id, revision=a.revision, limit=MOST_INSTANCES)) for a in apps],
        session.jobs.newest(MOST_JOBS),
        session.jobs.counts()["dead"],
    )


def render(status: Status, polls: Mapping[str, Mapping[str, int]], clock: Clock) -> str:
    """The page as HTML.

    Args:
        polls: app → instance → when it last asked for settings.
    """
    now = int(clock.time())
    apps = html_table(
        ["app", ">revision", "settings", "waiting", "instances", "last change"],
        [_app_row(app, acks, polls.get(app.name, {}), now) for app, acks in status.apps],
    )
    jobs = html_table(
        [">job", "kind", "app", "state", ">attempts", "progress", "begun", "why"],
        [_job_row(job, now) for job in status.jobs],
    )
    dead = remark(f"{status.dead} jobs failed for good.") if status.dead else ""
    body = (
        f"<h1>AutoRAG {escape(__version__)}</h1>"
        + section("Apps", apps if status.apps else remark("None is registered."))
        + section("Jobs", dead + (jobs if status.jobs else remark("None.")))
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>AutoRAG</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    )


def _app_row(app: App, acks: Sequence[Ack], polls: Mapping[str, int], now: int) -> list[str]:
    frozen = " (frozen)" if app.frozen else ""
    settings = " ".join(f"{knob}={value}" for knob, value in app.settings.items())
    waiting = [f"{k} → {p['value']} ({p['apply']})" for k, p in app.pending.items()]
    return [
        escape(app.name) + frozen,
        str(app.revision),
        f"<details><summary>{len(app.settings)} knobs</summary>{code(settings)}</details>",
        "<br>".join(map(escape, waiting)) or "—",
        _instances(acks, polls, now),
        _ago(app.changed_at, now),
    ]


def _instances(acks: Sequence[Ack], polls: Mapping[str, int], now: int) -> str:
    """What the instances did with the active revision, and when they last asked."""
    told = {ack.instance: ack for ack in acks}
    names = sorted(told, key=lambda name: -polls.get(name, 0))
    names += [name for name in reversed(list(polls)) if name not in told]
    return (
        "<br>".join(
            f"{escape(name)} {_told(told.get(name))}, asked {_ago(polls.get(name), now)}"
            for name in names[:MOST_INSTANCES]
        )
        or "—"
    )


def _told(ack: Ack | None) -> str:
    """What an instance did."""
    if ack is None:
        return '<span class="even">nothing acknowledged</span>'
    well = ack.state != "failed" and not ack.mismatched
    said = f"{ack.state}{' otherwise' if ack.mismatched else ''}"
    return f'<span class="{"good" if well else "bad"}">{said}</span>'


def _job_row(job: Job, now: int) -> list[str]:
    progress = job.progress or {}
    shown = " ".join(f"{name} {value}" for name, value in progress.items())
    why = (job.error or "").splitlines()
    return [
        str(job.id),
        job.kind,
        escape(job.app or "—"),
        f'<span class="{"bad" if job.state == "dead" else "even"}">{job.state}</span>',
        f"{job.attempts} of {job.most_attempts}",
        escape(shown) or "—",
        _ago(job.started_at, now),
        f'<span class="why">{escape(why[-1])}</span>' if why else "—",
    ]


def _ago(then: int | None, now: int) -> str:
    """How long ago, in the largest unit that fits."""
    if then is None:
        return "—"
    seconds = max(0, now - then)
    unit, length = next((u for u in UNITS if seconds >= u[1]), UNITS[-1])
    return f"{seconds // length} {unit} ago"
