"""The contract of a trial log, which every kind of it keeps; and that of studies."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text

from autorag.errors import StoreError
from autorag.ports import Trial, TrialLog, TrialState
from store.engine import open_database
from store.repositories import FinishedStudy, SqlTrialLog, StudyRepository
from store.tables import studies, trial_queries, trials
from tests.fakes import ManualClock, MemoryTrialLog
from tests.store.backends import KINDS, Backend, opened
from tests.store.measured import CONFIG, OTHER, a_measurement, measurements, plain
from tests.store.registered import register

Logs = Callable[[], TrialLog]
"""Makes an empty log."""

Pairs = Callable[[], tuple[TrialLog, TrialLog]]
"""Makes the logs of two processes that run the same study, which is empty."""

ENDED: tuple[TrialState, ...] = ("failed", "skipped", "censored")
seconds = st.floats(0, 1e6)


@pytest.fixture(scope="module", params=["memory", *KINDS])
def new_logs(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Pairs]:
    if request.param == "memory":

        def make_two() -> tuple[TrialLog, TrialLog]:
            log = MemoryTrialLog()
            return log, log.again()

        yield make_two
        return
    folder = tmp_path_factory.mktemp("store")
    numbers = itertools.count()
    with opened(request.param, folder) as backend:

        def make() -> tuple[TrialLog, TrialLog]:
            number = next(numbers)
            study = backend.repository(StudyRepository).open({"hash": "w"}, {"number": number}).id
            one, other = (
                backend.repository(lambda e, c, r=runner: SqlTrialLog(e, c, study, "search", r))
                for runner in ("one", "other")
            )
            return one, other

        yield make


@pytest.fixture(scope="module")
def new_log(new_logs: Pairs) -> Logs:
    return lambda: new_logs()[0]


class TestTrialLog:
    """What every trial log does."""

    def test_it_is_empty_at_first(self, new_log: Logs) -> None:
        assert new_log().trials() == []

    def test_trials_come_in_number_order(self, new_log: Logs) -> None:
        log = new_log()
        for number in (2, 0, 1):
            log.start(number, CONFIG)
        log.close(1, "failed", "no", 0.0)
        assert [t.number for t in log.trials()] == [0, 1, 2]

    def test_a_started_trial_runs(self, new_log: Logs) -> None:
        log = new_log()
        log.start(0, CONFIG)
        assert [plain(t) for t in log.trials()] == [plain(Trial(0, CONFIG, "running"))]
        assert list(log.trials()[0].config.items()) == list(CONFIG.items())

    @settings(max_examples=15)
    @given(measurement=measurements(), took=seconds)
    def test_a_finished_trial_reads_back(
        self, new_log: Logs, measurement: Any, took: float
    ) -> None:
        log, m = new_log(), measurement
        log.start(0, OTHER)
        log.finish(0, m, took)
        measured = (m.metrics, m.stages, m.reused, took, None, m.build_s, m.conditions)
        wanted = Trial(0, OTHER, "finished", *measured)
        assert [plain(t) for t in log.trials()] == [plain(wanted)]
        assert [plain(q) for q in log.query_results(0)] == [plain(q) for q in m.queries]

    @pytest.mark.parametrize("state", ENDED)
    def test_a_closed_trial_reads_back(self, new_log: Logs, state: TrialState) -> None:
        log = new_log()
        log.start(0, CONFIG)
        log.close(0, state, "because é\nand more", 1.25)
        wanted = Trial(0, CONFIG, state, seconds=1.25, reason="because é\nand more")
        assert [plain(t) for t in log.trials()] == [plain(wanted)]
        assert log.query_results(0) == []

    def test_a_finished_trial_never_changes(self, new_log: Logs) -> None:
        log = new_log()
        log.start(0, CONFIG)
        log.finish(0, a_measurement("a"), 1.0)
        self.refuses_every_change(log, 0)

    @pytest.mark.parametrize("state", ENDED)
    def test_a_closed_trial_never_changes(self, new_log: Logs, state: TrialState) -> None:
        log = new_log()
        log.start(0, CONFIG)
        log.close(0, state, "because", 1.0)
        self.refuses_every_change(log, 0)

    def test_a_trial_that_was_never_started_cannot_end(self, new_log: Logs) -> None:
        self.refuses_every_change(new_log(), 7)

    def refuses_every_change(self, log: TrialLog, number: int) -> None:
        before = [plain(t) for t in log.trials()], log.query_results(number)
        with pytest.raises(StoreError, match=f"trial {number}"):
            log.finish(number, a_measurement("b", "c", ndcg=0.9), 2.0)
        with pytest.raises(StoreError, match=f"trial {number}"):
            log.close(number, "failed", "other", 2.0)
        assert ([plain(t) for t in log.trials()], log.query_results(number)) == before

    def test_a_trial_cannot_be_started_twice(self, new_log: Logs) -> None:
        log = new_log()
        log.start(0, CONFIG)
        with pytest.raises(StoreError, match="trial 0"):
            log.start(0, OTHER)
        assert [plain(t) for t in log.trials()] == [plain(Trial(0, CONFIG, "running"))]

    def test_a_result_is_recorded_whole_or_not_at_all(self, new_log: Logs) -> None:
        log = new_log()
        log.start(0, CONFIG)
        with pytest.raises(StoreError, match="trial 0"):
            log.finish(0, a_measurement("a", "b", "a"), 1.0)
        assert [plain(t) for t in log.trials()] == [plain(Trial(0, CONFIG, "running"))]
        assert log.query_results(0) == []
        log.finish(0, a_measurement("a", "b"), 1.0)
        assert [q.query for q in log.query_results(0)] == ["a", "b"]

    def test_discarding_forgets_running_trials_only(self, new_log: Logs) -> None:
        log = new_log()
        for number in range(4):
            log.start(number, CONFIG)
        log.finish(0, a_measurement("a"), 1.0)
        log.close(2, "skipped", "too long", 0.0)
        assert log.discard_running() == 2
        assert [(t.number, t.state) for t in log.trials()] == [(0, "finished"), (2, "skipped")]
        assert log.discard_running() == 0

    def test_a_discarded_number_is_free_again(self, new_log: Logs) -> None:
        log = new_log()
        log.start(0, CONFIG)
        log.discard_running()
        log.start(0, OTHER)
        log.finish(0, a_measurement("a"), 1.0)
        assert [t.config for t in log.trials()] == [OTHER]

    def test_whoever_lost_a_trial_cannot_end_it(self, new_logs: Pairs) -> None:
        """Another process took over the study and runs the trial of the same number."""
        lost, log = new_logs()
        lost.start(0, CONFIG)
        assert log.discard_running() == 1
        self.refuses_every_change(lost, 0)
        log.start(0, CONFIG)
        self.refuses_every_change(lost, 0)
        lost.discard(0)
        log.finish(0, a_measurement("a"), 1.0)
        self.refuses_every_change(lost, 0)
        assert [t.state for t in log.trials()] == ["finished"]

    def test_a_trial_can_be_discarded_by_its_number(self, new_log: Logs) -> None:
        log = new_log()
        for number in range(3):
            log.start(number, CONFIG)
        log.close(0, "failed", "no", 0.0)
        for number in (0, 1, 7):
            log.discard(number)
        assert [(t.number, t.state) for t in log.trials()] == [(0, "failed"), (2, "running")]

    def test_logs_do_not_mix(self, new_log: Logs) -> None:
        one, other = new_log(), new_log()
        one.start(0, CONFIG)
        other.start(0, OTHER)
        assert other.discard_running() == 1
        assert [t.config for t in one.trials()] == [CONFIG]


@pytest.fixture
def engine(backend: Backend) -> Engine:
    return backend.engine


@pytest.fixture
def repository(backend: Backend) -> StudyRepository:
    return backend.repository(StudyRepository)


WORKLOAD = {"name": "w", "hash": "1234"}


def a_log(engine: Engine, study: int, split: str = "search") -> SqlTrialLog:
    return SqlTrialLog(engine, ManualClock(), study, split)


def measured(log: SqlTrialLog, number: int, config: Any) -> None:
    log.start(number, config)
    log.finish(number, a_measurement("a"), 1.0)


def test_the_two_splits_of_a_study_do_not_mix(engine: Engine, repository: StudyRepository) -> None:
    study = repository.open(WORKLOAD, {}).id
    search, report = (a_log(engine, study, split) for split in ("search", "report"))
    measured(search, 0, CONFIG)
    report.start(0, OTHER)
    assert [t.config for t in search.trials()] == [CONFIG]
    assert report.query_results(0) == []
    with pytest.raises(StoreError):
        search.close(0, "failed", "", 0.0)
    assert search.discard_running() == 0
    assert report.discard_running() == 1
    assert [t.state for t in search.trials()] == ["finished"]


def test_every_row_of_a_failed_transaction_is_gone(
    engine: Engine, repository: StudyRepository
) -> None:
    log = a_log(engine, repository.open(WORKLOAD, {}).id)
    log.start(0, CONFIG)
    with pytest.raises(StoreError):
        log.finish(0, a_measurement("a", "b", "a"), 1.0)
    with engine.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(trial_queries)) == 0


def test_a_database_that_cannot_be_read_is_a_store_error(
    engine: Engine, repository: StudyRepository
) -> None:
    log = a_log(engine, repository.open(WORKLOAD, {}).id)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE trials RENAME TO gone"))
    with pytest.raises(StoreError):
        log.trials()


def test_what_a_trial_was_measured_under_is_kept(
    engine: Engine, repository: StudyRepository
) -> None:
    log = a_log(engine, repository.open(WORKLOAD, {}).id)
    measured(log, 0, CONFIG)
    with engine.begin() as connection:
        row = connection.execute(select(trials)).one()
    assert (row.config_hash, row.build_s) == (CONFIG.hash_hex, {"chunk": 0.5})
    assert (row.started_at, row.finished_at) == (1_000_000, 1_000_000)


def test_the_same_settings_find_the_unfinished_study(repository: StudyRepository) -> None:
    first = repository.open(WORKLOAD, {"seed": 1, "trials": 2})
    again = repository.open({**WORKLOAD, "name": "moved"}, {"trials": 2, "seed": 1})
    assert (first.resumed, again.resumed) == (False, True)
    assert first.id == again.id


def test_an_unfinished_study_is_found_by_another_process(
    backend: Backend, repository: StudyRepository
) -> None:
    first = repository.open(WORKLOAD, {})
    later = open_database(backend.url)
    assert StudyRepository(later, ManualClock()).open(WORKLOAD, {}).id == first.id
    later.dispose()


@pytest.mark.parametrize(
    ("workload", "changed"), [({"hash": "other"}, {"seed": 1}), (WORKLOAD, {"seed": 2})]
)
def test_another_workload_or_setting_is_another_study(
    repository: StudyRepository, workload: dict[str, Any], changed: dict[str, Any]
) -> None:
    first = repository.open(WORKLOAD, {"seed": 1})
    other = repository.open(workload, changed)
    assert not other.resumed
    assert other.id != first.id


def test_a_study_of_an_app_is_that_apps_alone(
    backend: Backend, repository: StudyRepository
) -> None:
    shop, other = (register(backend, name).id for name in ("shop", "other"))
    opened = [repository.open(WORKLOAD, {}, app_id=app) for app in (shop, other, None, shop)]
    assert [row.resumed for row in opened] == [False, False, False, True]
    assert len({row.id for row in opened[:3]}) == 3
    assert opened[3].id == opened[0].id


def test_a_finished_study_is_not_continued(engine: Engine, repository: StudyRepository) -> None:
    first = repository.open(WORKLOAD, {})
    repository.finish(first.id, {"trials": 3})
    second = repository.open(WORKLOAD, {})
    assert not second.resumed
    assert second.id != first.id
    with engine.begin() as connection:
        row = connection.execute(select(studies).where(studies.c.id == first.id)).one()
    assert (row.state, row.outcome, row.finished_at) == ("finished", {"trials": 3}, 1_000_000)


def test_a_finished_study_never_changes(engine: Engine, repository: StudyRepository) -> None:
    study = repository.open(WORKLOAD, {}).id
    repository.finish(study, {"trials": 3})
    repository.finish(study, {"trials": 4})
    with engine.begin() as connection:
        assert connection.scalar(select(studies.c.outcome)) == {"trials": 3}


def test_a_study_in_which_nothing_happened_for_long_is_not_continued(backend: Backend) -> None:
    repository = backend.repository(StudyRepository)
    empty, tried = (repository.open(WORKLOAD, {"seed": s}).id for s in (1, 2))
    backend.clock.advance(60)
    log = backend.repository(lambda e, c: SqlTrialLog(e, c, tried, "search"))
    log.start(0, CONFIG)
    backend.clock.advance(60)

    def again(seed: int, within_s: float | None) -> int:
        return repository.open(WORKLOAD, {"seed": seed}, within_s=within_s).id

    assert (again(1, 120), again(2, 60)) == (empty, tried)
    log.close(0, "failed", "no", 1.0)
    backend.clock.advance(60)
    assert again(2, 60) == tried
    assert (again(1, None), again(2, None)) == (empty, tried)
    new = [again(1, 120), again(2, 59)]
    assert not {empty, tried} & set(new)
    assert [again(1, 120), again(2, 59)] == new


def test_a_log_of_nobody_ends_what_another_one_started(
    engine: Engine, repository: StudyRepository
) -> None:
    study = repository.open(WORKLOAD, {}).id
    a_log(engine, study).start(0, CONFIG)
    a_log(engine, study).close(0, "failed", "no", 1.0)
    assert [t.state for t in a_log(engine, study).trials()] == ["failed"]


def test_measured_configs_are_those_of_all_studies_of_the_workload(
    engine: Engine, repository: StudyRepository
) -> None:
    one, two = (repository.open(WORKLOAD, {"seed": s}).id for s in (1, 2))
    elsewhere = repository.open({"hash": "other"}, {}).id
    measured(a_log(engine, one), 0, CONFIG)
    measured(a_log(engine, two, "report"), 0, OTHER)
    measured(a_log(engine, elsewhere), 0, CONFIG)
    assert set(repository.measured_configs("1234", besides=0)) == {CONFIG, OTHER}
    assert repository.measured_configs("other", besides=0) == [CONFIG]
    assert repository.measured_configs("unknown", besides=0) == []


def test_what_an_app_measured_comes_by_study(backend: Backend, repository: StudyRepository) -> None:
    engine, app, other = backend.engine, register(backend, "one").id, register(backend, "two").id
    old, new, mine = (repository.open(WORKLOAD, {"seed": seed}, app_id=app).id for seed in range(3))
    measured(a_log(engine, old), 0, CONFIG)
    measured(a_log(engine, old), 1, OTHER)
    measured(a_log(engine, new), 0, OTHER)
    measured(a_log(engine, new, "report"), 0, CONFIG)
    a_log(engine, new).start(1, CONFIG)
    measured(a_log(engine, mine), 0, CONFIG)
    measured(a_log(engine, repository.open(WORKLOAD, {}, app_id=other).id), 0, CONFIG)
    metrics = a_measurement("a").metrics
    found = repository.measured_by_study(app, 10, besides=mine)
    assert found == [[(OTHER, metrics)], [(OTHER, metrics), (CONFIG, metrics)]]
    assert repository.measured_by_study(app, 2, besides=mine) == [[(OTHER, metrics)]] * 2


def test_the_study_that_ended_last_is_found(backend: Backend, repository: StudyRepository) -> None:
    app, other = register(backend, "one").id, register(backend, "two").id
    assert repository.last_finished(app) is None
    one, two, _ = (repository.open(WORKLOAD, {"seed": s}, app_id=app).id for s in range(3))
    repository.finish(repository.open(WORKLOAD, {}, app_id=other).id, {})
    assert repository.last_finished(app) is None
    repository.finish(two, {"best": 2})
    assert repository.last_finished(app) == FinishedStudy(two, WORKLOAD, {"seed": 1}, {"best": 2})
    backend.clock.advance(1)
    repository.finish(one, {"best": 1})
    assert repository.last_finished(app) == FinishedStudy(one, WORKLOAD, {"seed": 0}, {"best": 1})


def test_only_finished_trials_count_as_measured(
    engine: Engine, repository: StudyRepository
) -> None:
    log = a_log(engine, repository.open(WORKLOAD, {}).id)
    log.start(0, CONFIG)
    log.start(1, OTHER)
    log.close(1, "failed", "no", 1.0)
    assert repository.measured_configs("1234", besides=0) == []
