"""Deleting what is no longer kept, in both databases."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine

from autorag.ports import Clock
from autorag.telemetry import UNASSIGNED
from store.apps import AppRepository
from store.deleting import Progress, Pruned
from store.engine import open_database, open_telemetry
from store.forgetting import forget
from store.retention import DELETED, apps_told_of, disown, prune


def prune_all(
    url: str,
    clock: Clock,
    *,
    days: float,
    rollup_days: float,
    progress: Progress = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Prune the database at ``url`` and its telemetry; see :func:`store.retention.prune` and
    :func:`store.forgetting.forget`. Telemetry of apps that are not registered any more goes too.

    Raises:
        InputError, StoreError: see :func:`store.engine.open_database`; what was done until then
            stays done.
    """
    control = open_database(url)
    try:
        telemetry = open_telemetry(url)
        try:
            _disown_unregistered(control, telemetry, clock)
            done = prune(
                telemetry,
                clock,
                days=days,
                rollup_days=rollup_days,
                progress=progress,
                cancelled=cancelled,
            )
        finally:
            telemetry.dispose()
        if not done.complete:
            return done
        return forget(control, clock, days=days, progress=progress, cancelled=cancelled, done=done)
    finally:
        control.dispose()


def _disown_unregistered(control: Engine, telemetry: Engine, clock: Clock) -> None:
    """Disown what came for an app after it was deleted."""
    told_of = apps_told_of(telemetry)
    # After that, so that an app which is registered meanwhile keeps what it sends.
    registered = AppRepository(control, clock).names()
    for app in sorted(told_of - {UNASSIGNED, DELETED, *registered}):
        disown(telemetry, app, clock)
