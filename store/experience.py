"""What models learn from: the trials of studies whose workload and machine are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import CursorResult, Row, Select, select

from autorag.errors import InputError
from autorag.experience import Experience, Measured
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from store.repositories import Repository
from store.tables import apps, hosts, studies, trials

READ_ROWS = 2_000


class ExperienceRepository(Repository):
    """Finished trials, by study."""

    def trials(self, *, hardware: str | None = None, newest: int | None = None) -> list[Experience]:
        """Studies of the reference pipeline with what they measured on the search's queries.

        Studies of deleted apps are left out, and those whose features or profile this version
        cannot read.

        Args:
            hardware: only those of the machine with this fingerprint.
            newest: only so many trials.
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
        if newest is not None:
            query = query.where(trials.c.id.in_(_newest(query, newest)))
        with self._reading() as connection:
            rows = connection.execution_options(yield_per=READ_ROWS).execute(query)
            found = list(_by_study(rows))
            names = {fingerprint for fingerprint, _ in found}
            known = select(hosts.c.fingerprint, hosts.c.profile).where(
                hosts.c.fingerprint.in_(names)
            )
            machines = {row.fingerprint: row.profile for row in connection.execute(known)}
        corpora = _corpora([row for _, row in found])
        return [
            experience
            for (fingerprint, row), corpus in zip(found, corpora, strict=True)
            if fingerprint in machines
            for experience in _experience(row, corpus, machines[fingerprint])
        ]


def _newest(query: Select[Any], count: int) -> Select[Any]:
    """The ids of the newest trials of a query."""
    ids = query.with_only_columns(trials.c.id).order_by(None)
    return ids.order_by(trials.c.id.desc()).limit(count)


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


def _corpora(found: Sequence[_Studied]) -> list[str]:
    """Of each study: the app, else the name of the workload. Those that measured the same documents
    and queries under other names are of one corpus, that of the first."""
    first: dict[str, str] = {}
    names = []
    for workload, app, _ in found:
        name = workload["name"] if app is None else app
        one, other = (first.setdefault(key, name) for key in (name, f"hash:{workload['hash']}"))
        if one != other:
            first = {key: one if corpus == other else corpus for key, corpus in first.items()}
        names.append(name)
    return [first[name] for name in names]


def _experience(studied: _Studied, corpus: str, profile: Mapping[str, Any]) -> Iterator[Experience]:
    workload, _, measured = studied
    try:
        features = WorkloadFeatures.from_json(workload["features"])
        machine = HardwareProfile.from_json(profile)
    except InputError:
        return
    name, labelled = f"{corpus}:{workload['hash'][:8]}", workload["query_source"] == "labelled"
    yield Experience(name, corpus, labelled, features, machine, measured)
