"""The contract of trials that an app measures itself."""

from __future__ import annotations

import pytest

from autorag.apps import App
from autorag.errors import StoreError
from store.repositories import SqlTrialLog
from store.suggestions import SuggestionRepository
from tests.store.backends import Backend
from tests.store.measured import CONFIG, a_measurement
from tests.store.registered import register, start_trial

TRIALS = 3


@pytest.fixture
def app(backend: Backend) -> App:
    return register(backend)


@pytest.fixture
def study(backend: Backend, app: App) -> int:
    """A study of the app; its trials run."""
    (study,) = {start_trial(backend, app, number) for number in range(TRIALS)}
    return study


@pytest.fixture
def suggestions(backend: Backend) -> SuggestionRepository:
    return backend.repository(SuggestionRepository)


class TestSuggestions:
    """What every repository of suggestions does."""

    def test_there_are_none_at_first(self, suggestions: SuggestionRepository, app: App) -> None:
        assert suggestions.pending(app.id) == []
        assert suggestions.find(app.id, 1) is None

    def test_a_suggestion_is_the_trial_that_a_client_is_to_measure(
        self, suggestions: SuggestionRepository, app: App, study: int
    ) -> None:
        new = suggestions.add(app.id, study, 1, "bench", 4_000_000_000)
        assert (new.study, new.number, new.client) == (study, 1, "bench")
        assert (new.config, new.state) == (CONFIG.to_json(), "running")
        assert new.expires_at == 4_000_000_000
        assert suggestions.find(app.id, new.trial) == new
        assert suggestions.pending(app.id) == [new]

    def test_the_oldest_comes_first(
        self, suggestions: SuggestionRepository, app: App, study: int
    ) -> None:
        for number in (2, 0, 1):
            suggestions.add(app.id, study, number, f"client {number}", 1)
        assert [s.number for s in suggestions.pending(app.id)] == [0, 1, 2]

    def test_one_that_ended_is_found_but_is_out_no_longer(
        self, suggestions: SuggestionRepository, app: App, study: int
    ) -> None:
        one, other = (suggestions.add(app.id, study, n, "bench", 1) for n in (0, 1))
        suggestions.end(one.trial)
        suggestions.end(one.trial)
        assert suggestions.find(app.id, one.trial) == one
        assert suggestions.pending(app.id) == [other]

    def test_it_tells_how_its_trial_stands(
        self, suggestions: SuggestionRepository, app: App, study: int, backend: Backend
    ) -> None:
        new = suggestions.add(app.id, study, 0, "bench", 1)
        log = SqlTrialLog(backend.engine, backend.clock, study, "search")
        log.finish(0, a_measurement(), 1.0)
        found = suggestions.find(app.id, new.trial)
        assert found is not None
        assert found.state == "finished"

    def test_another_apps_are_not_found(
        self, suggestions: SuggestionRepository, app: App, study: int, backend: Backend
    ) -> None:
        new = suggestions.add(app.id, study, 0, "bench", 1)
        other = register(backend, "other")
        assert suggestions.find(other.id, new.trial) is None
        assert suggestions.pending(other.id) == []

    def test_a_trial_is_handed_out_once(
        self, suggestions: SuggestionRepository, app: App, study: int
    ) -> None:
        new = suggestions.add(app.id, study, 0, "bench", 1)
        with pytest.raises(StoreError, match="suggestion could not be recorded"):
            suggestions.add(app.id, study, 0, "another", 1)
        assert suggestions.pending(app.id) == [new]

    def test_a_trial_that_was_not_started_cannot_be_handed_out(
        self, suggestions: SuggestionRepository, app: App, study: int
    ) -> None:
        with pytest.raises(StoreError):
            suggestions.add(app.id, study, TRIALS, "bench", 1)
        assert suggestions.pending(app.id) == []

    def test_one_goes_with_its_trial(
        self, suggestions: SuggestionRepository, app: App, study: int, backend: Backend
    ) -> None:
        suggestions.add(app.id, study, 0, "bench", 1)
        SqlTrialLog(backend.engine, backend.clock, study, "search").discard_running()
        assert suggestions.pending(app.id) == []
