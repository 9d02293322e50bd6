"""Trials that an app measures itself."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select, update

from store.repositories import Repository
from store.tables import studies, suggestions, trials


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A trial that a client was asked to measure.

    Attributes:
        trial: its id, by which the client reports.
        number: of the trial in its study.
        state: of the trial.
    """

    trial: int
    study: int
    number: int
    client: str
    config: dict[str, object]
    state: str
    expires_at: int


class SuggestionRepository(Repository):
    """Suggestions: trials that were started for a client, which reports what it measured. Those
    that are pending are out; who hands them out sees to it that a client has one at a time."""

    def add(self, app_id: int, study: int, number: int, client: str, expires_at: int) -> Suggestion:
        """Hand a trial that was started to a client."""
        with self._transaction("the suggestion could not be recorded") as connection:
            wanted = select(trials.c.id).where(
                trials.c.study_id == study, trials.c.split == "search", trials.c.number == number
            )
            trial = connection.execute(wanted).scalar_one()
            row = {
                "trial_id": trial,
                "app_id": app_id,
                "client": client,
                "pending": True,
                "expires_at": expires_at,
            }
            connection.execute(insert(suggestions), row)
        found = self.find(app_id, trial)
        assert found is not None
        return found

    def find(self, app_id: int, trial: int) -> Suggestion | None:
        """The suggestion of an app's trial."""
        return next(iter(self._read(app_id, suggestions.c.trial_id == trial)), None)

    def pending(self, app_id: int) -> list[Suggestion]:
        """What is out to be measured, the oldest first."""
        return self._read(app_id, suggestions.c.pending)

    def end(self, trial: int) -> None:
        """The client reported, or never will."""
        ended = update(suggestions).where(suggestions.c.trial_id == trial)
        with self._transaction("the suggestion could not be ended") as connection:
            connection.execute(ended.values(pending=False))

    def _read(self, app_id: int, which: object) -> list[Suggestion]:
        columns = (
            trials.c.id,
            trials.c.study_id,
            trials.c.number,
            suggestions.c.client,
            trials.c.config,
            trials.c.state,
            suggestions.c.expires_at,
        )
        query = (
            select(*columns)
            .join(trials, trials.c.id == suggestions.c.trial_id)
            .join(studies, studies.c.id == trials.c.study_id)
            .where(suggestions.c.app_id == app_id, which)  # type: ignore[arg-type]
            .order_by(trials.c.id)
        )
        with self._reading() as connection:
            return [Suggestion(*row) for row in connection.execute(query)]
