"""What models learn from: the trials of studies whose workload and machine are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from sqlalchemy import CursorResult, Row, select

from autorag.errors import InputError
from autorag.experience import Experience, Measured
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from store.repositories import Repository
from store.tables import apps, hosts, studies, trials

READ_ROWS = 2_000


class ExperienceRepository(Repository):
    """Finished trials, by study."""

    def trials(self, *, hardware: str | None = None) -> list[Experience]:
        """Studies of the reference pipeline with what they measured on the search's queries.

        Studies of deleted apps are left out, and those whose features or profile this version
        cannot read.

        Args:
            hardware: only those of the machine with this fingerprint.
        """
        query = (
            select(
                studies.c.id,
                studies.c.workload,
                studies.c.settings,
                apps.c.name.label("app"),
                trials.c.config,
                trials.c.metrics,
                trials.c.stages,
                trials.c.started_at,
            )
            .join(trials, trials.c.study_id == studies.c.id)
            .join(apps, apps.c.id == studies.c.app_id, isouter=True)
            .where(studies.c.state != "deleted")
            .where(trials.c.state == "finished", trials.c.split == "search")
            .order_by(studies.c.id, trials.c.number)
        )
        if hardware is not None:
            query = query.where(studies.c.settings["hardware"].as_string() == hardware)
        with self._reading() as connection:
            rows = connection.execution_options(yield_per=READ_ROWS).execute(query)
            found = list(_by_study(rows))
            names = {fingerprint for fingerprint, _ in found}
            known = select(hosts.c.fingerprint, hosts.c.profile).where(
                hosts.c.fingerprint.in_(names)
            )
            machines = {row.fingerprint: row.profile for row in connection.execute(known)}
        return [e for f, row in found if f in machines for e in _experience(row, machines[f])]


_Studied = tuple[Mapping[str, Any], str | None, tuple[Measured, ...]]
"""A workload as its study described it, the name of the app, and what was measured."""


def _by_study(rows: CursorResult[Any]) -> Iterator[tuple[str, _Studied]]:
    """Fingerprint of the machine, and what was measured there."""
    for _, group in groupby(rows, key=lambda row: row.id):
        first, *others = group
        fingerprint = first.settings.get("hardware")
        if fingerprint is not None and first.workload.get("features") is not None:
            measured = tuple(_measured(row) for row in (first, *others))
            yield fingerprint, (first.workload, first.app, measured)


def _measured(row: Row[Any]) -> Measured:
    stages = {
        f"{stage}_{quantile}": value
        for stage, quantiles in row.stages.items()
        for quantile, value in quantiles.items()
    }
    return Measured(row.config, {**row.metrics, **stages}, row.started_at)


def _experience(studied: _Studied, profile: Mapping[str, Any]) -> Iterator[Experience]:
    workload, app, measured = studied
    corpus = workload["name"] if app is None else app
    try:
        features = WorkloadFeatures.from_json(workload["features"])
        machine = HardwareProfile.from_json(profile)
    except InputError:
        return
    name, labelled = f"{corpus}:{workload['hash'][:8]}", workload["query_source"] == "labelled"
    yield Experience(name, corpus, labelled, features, machine, measured)
