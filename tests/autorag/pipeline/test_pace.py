"""Slow moments of the machine are seen, and what was asked in them is asked again."""

from __future__ import annotations

from autorag.pipeline.build import BuildContext
from autorag.pipeline.measure import ROUNDS, run_queries
from autorag.pipeline.pace import FIRST_WAIT_S, LATELY_S, POLL_S, SLOW, Pace
from autorag.pipeline.rag import Pipeline, Result
from tests.autorag.pipeline.corpus import config, documents, queries

CALM, SLOWED = 1.0, 1.5


class Machine:
    """Its loop takes what is said next, then ``rest``."""

    def __init__(self) -> None:
        self.rest = CALM
        self.next: list[float] = []
        self.slept: list[float] = []
        self.clock = 0.0

    def loop(self) -> float:
        return self.next.pop(0) if self.next else self.rest

    def pace(self) -> Pace:
        return Pace(self.loop, self.slept.append, lambda: self.clock)


class Asking(Pipeline):
    """Remembers what it was asked, and what it answered."""

    results: list[Result]
    asked: list[str]

    def retrieve(self, question: str) -> Result:
        self.asked.append(question)
        self.results.append(super().retrieve(question))
        return self.results[-1]


def asking(context: BuildContext, **knobs: int) -> Asking:
    pipeline = Asking.open(config(**knobs), documents(), context)
    assert isinstance(pipeline, Asking)
    pipeline.asked, pipeline.results = [], []
    return pipeline


def test_a_calm_machine_is_asked_once(shared_context: BuildContext) -> None:
    pipeline = asking(shared_context)
    found = run_queries(pipeline, queries(), Machine().pace())
    assert pipeline.asked == [q.question for q in queries()]
    assert (len(found.results), found.slow) == (len(queries()), 0)


def test_what_was_asked_in_a_slow_moment_is_asked_again(shared_context: BuildContext) -> None:
    machine, pipeline = Machine(), asking(shared_context)
    pace = machine.pace()
    machine.next = [CALM, CALM, CALM, SLOWED, CALM]
    found = run_queries(pipeline, queries(), pace)
    again = [q.question for q in queries()[2:4]]
    assert pipeline.asked == [q.question for q in queries()] + again
    assert found.slow == 0
    order = [r.rows.tolist() for r in found.results]
    assert order == [pipeline.retrieve(q.question).rows.tolist() for q in queries()]


def test_the_calmest_result_of_each_query_counts(shared_context: BuildContext) -> None:
    machine, pipeline = Machine(), asking(shared_context)
    pace = machine.pace()
    first = queries()[:1]
    calmer, slower = SLOW * 1.1, SLOW * 1.3
    machine.next = [slower, slower, CALM, calmer, calmer, CALM, slower, slower, CALM, slower]
    found = run_queries(pipeline, first, pace)
    assert len(pipeline.asked) == 1 + ROUNDS
    assert found.results[0] is pipeline.results[1]
    assert found.slow == 1


def test_a_machine_that_stays_slow_is_measured_as_it_is(shared_context: BuildContext) -> None:
    machine, pipeline = Machine(), asking(shared_context)
    pace = machine.pace()
    machine.rest = SLOWED
    found = run_queries(pipeline, queries(), pace)
    assert pipeline.asked == [q.question for q in queries()]
    assert found.slow == len(queries()) == len(found.results)
    assert FIRST_WAIT_S <= sum(machine.slept) <= FIRST_WAIT_S + 5


def test_waiting_ends_with_the_slow_moment() -> None:
    machine = Machine()
    pace = machine.pace()
    machine.next = [SLOWED, SLOWED, CALM]
    assert pace.wait()
    assert machine.slept == [POLL_S, POLL_S]


def test_what_is_slow_follows_a_machine_that_changed() -> None:
    machine = Machine()
    pace = machine.pace()
    assert pace.slow(SLOWED)
    machine.rest = SLOWED
    for _ in range(3):
        machine.clock += LATELY_S + 1
        pace.now()
    assert not pace.slow(SLOWED)


def test_a_long_slow_moment_does_not_become_the_machines_own_speed() -> None:
    machine = Machine()
    pace = machine.pace()
    machine.rest = SLOWED
    for _ in range(5000):
        machine.clock += LATELY_S / 6000
        pace.now()
    assert pace.slow(SLOWED)


def test_a_repeated_question_is_not_asked_again_from_the_cache(
    shared_context: BuildContext,
) -> None:
    """The second of two is answered from the cache; the first alone is asked again."""
    machine, pipeline = Machine(), asking(shared_context, cache__mb=64)
    pace = machine.pace()
    machine.next = [CALM, SLOWED, SLOWED]
    found = run_queries(pipeline, [queries()[0]] * 2, pace)
    assert len(pipeline.asked) == 3
    assert [bool(r.stage_ms) for r in found.results] == [True, False]
    assert found.results[0] is pipeline.results[2]


def test_the_loop_takes_time_on_every_machine() -> None:
    pace = Pace()
    assert all(0 < pace.now() < 1 for _ in range(20))
