"""Training as the service does it: a new set, a verdict on it, and the set that answers.

A new set is a candidate. It is not worse than the set that answers when

* no mean error on left-out corpora rose by more than ``models.accuracy`` allows. What the set that
  answers errs there is what was recorded when it was made, where nothing was measured of the corpus
  later; what it says itself of corpora that it has never seen; and of those that were measured
  again what models say that are made like the candidate on what was known then;
* nor did one on what was measured since, which it has not seen: there, models that were made like
  the candidate, on what was measured before, stand for it;
* intervals, and the recall of approximate search, are still told where they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.model_registry import Registry
from autorag.errors import ConflictError, InputError, ModelError
from autorag.experience import Experience
from autorag.model_sets import SHIPPED_VERSION, ModelSetRow, Verdict
from autorag.ports import Progress
from store.database import Database, Session

if TYPE_CHECKING:
    from api.jobs import JobContext
    from api.training import Made, Material
    from models.accuracy import Accuracy, Change
    from models.training import ModelSet

Result = Mapping[str, Any]


def run_train(context: JobContext) -> Result:
    """The job.

    Raises:
        InputError: too little was measured.
        WorkCancelled: it was told to stop.
    """
    from api.training import OWN_TABLE

    asked = context.job.arguments

    def tell(doing: str, done: int, total: int) -> None:
        context.check()
        context.progress({"doing": doing, "done": done, "total": total})

    seed, promote = asked["seed"], asked["promote"]
    return learn(context.database, OWN_TABLE, seed, promote, tell, context.conclude)


def learn(
    database: Database,
    table: Path,
    seed: int,
    promote: bool,
    tell: Progress,
    conclude: Callable[[Callable[[Session], Result]], Result],
) -> Result:
    """Train on all that was measured, judge, and promote as asked. Nothing is made where it would
    be the same again.

    Args:
        table: folder of a measured table to learn from too, if it is there.
        tell: told how far it is; what it raises ends it.
        conclude: does the last work, in a transaction.

    Raises:
        InputError: too little was measured.
    """
    from api.training import make
    from models.files import pack_models

    tell("reading what was measured", 0, 1)
    production, rows, experiences = database.read(_look)
    material, registry = gather(table, experiences), Registry(database)
    known = _same(material.data(seed), production, rows, registry)
    if known is not None:
        return conclude(lambda session: _as_known(session, known, production, promote))
    made = make(material, seed, tell)
    tell("comparing", 0, 1)
    verdict = judge(made, material, production, registry, seed)
    content = pack_models(made.models, made.about)
    return conclude(lambda session: _conclusion(session, made, content, verdict, promote))


def judge(
    made: Made,
    material: Material,
    production: ModelSetRow | None,
    registry: Registry,
    seed: int,
) -> Verdict:
    """Whether a new set may take over from the one in production; where that cannot be read, from
    the one that ships, which answers instead."""
    from models.accuracy import changes

    against = SHIPPED_VERSION if production is None else production.version
    before, about, _ = registry.answering(production)
    old = _as_it_is(before, about, material, seed)
    found = [
        *((f"left-out corpora, {c}", c.worse) for c in changes(old, made.accuracy)),
        *((f"measured since, {c}", c.worse) for c in _since(before, about, material, seed)),
        *((lost, True) for lost in _lost(before, made.models)),
    ]
    if not found:
        return Verdict(False, against, ("no corpus tells of both sets",))
    worse = tuple(said for said, is_worse in found if is_worse)
    return Verdict(not worse, against, worse or tuple(said for said, _ in found))


def gather(table: Path, experiences: Sequence[Experience]) -> Material:
    """Everything that was measured: the table, where there is one, and what the store knows."""
    from api.training import Material, of_table
    from models.experience import experience_examples, experience_searches

    known = of_table(table) if table.is_dir() else Material((), (), None)
    return Material(
        (*known.examples, *experience_examples(experiences)),
        (*known.searched, *experience_searches(experiences)),
        known.table,
    )


def _look(
    session: Session,
) -> tuple[ModelSetRow | None, Sequence[ModelSetRow], Sequence[Experience]]:
    sets = session.model_sets
    return sets.production(), sets.all(), session.experience.trials()


def _same(
    data: str, production: ModelSetRow | None, rows: Sequence[ModelSetRow], registry: Registry
) -> int | None:
    """The version of a set that was made from the same and is in production, or waits beside it."""
    if production is None:
        _, about = registry.read(None)
        if about["data"] == data:
            return SHIPPED_VERSION
    against = SHIPPED_VERSION if production is None else production.version
    for row in rows:
        waits = row.state == "candidate" and row.verdict["against"] == against
        if row.about["data"] == data and (row.state == "production" or waits):
            try:
                registry.read(row)
            except ModelError:
                continue
            return row.version
    return None


def _as_known(
    session: Session, version: int, production: ModelSetRow | None, promote: bool
) -> dict[str, Any]:
    """The result where nothing new is made: a candidate that waits may go into production."""
    known = {"version": version, "made": False, "why": "nothing was measured since it was made"}
    if version == SHIPPED_VERSION or (production and version == production.version):
        return {**known, "state": "production"}
    row = _promoted(session, version) if promote else session.model_sets.get(version)
    return {**known, "state": row.state, "verdict": row.verdict}


def _as_it_is(
    before: ModelSet, about: Mapping[str, Any], material: Material, seed: int
) -> Accuracy:
    """The errors of the set that answers, on the rows that the candidate's are of."""
    from models.accuracy import Accuracy, accuracy_on
    from models.calibration import folds
    from models.examples import taken_after, taken_until
    from models.training import predicted_by

    then, moment = about["corpora_digests"], about["measured_until"]
    unseen = [e for e in material.examples if e.corpus not in then]
    later = {e.corpus for e in taken_after(material.examples, moment)}
    again = [c for c, d in material.corpora.items() if then.get(c, d) != d and c in later]
    found = Accuracy.from_json(about["accuracy"]).of_corpora(then.keys() - set(again))
    found = found.joined(accuracy_on(before, unseen))
    earlier = taken_until(material.examples, moment)
    for group in folds(again):
        known = [e for e in earlier if e.corpus not in group]
        asked = [e for e in material.examples if e.corpus in group]
        try:
            found = found.joined(Accuracy.of(predicted_by(known, asked, seed)))
        except InputError:
            continue
    return found


def _since(
    before: ModelSet, about: Mapping[str, Any], material: Material, seed: int
) -> Iterator[Change]:
    """What became of the errors on what was measured since a set was made."""
    from models.accuracy import Accuracy, accuracy_on, changes
    from models.examples import taken_after, taken_until
    from models.training import FEWEST_CONFIGS, predicted_by

    moment = about["measured_until"]
    taken = taken_after(material.examples, moment)
    late = [e for e in taken if sum(len(t.configs) for t in e.timed) >= FEWEST_CONFIGS]
    if not late:
        return
    try:
        like_it = predicted_by(taken_until(material.examples, moment), late, seed)
    except InputError:
        return
    yield from changes(accuracy_on(before, late), Accuracy.of(like_it))


def _lost(before: ModelSet, after: ModelSet) -> Iterator[str]:
    """What a set told and the next one does not."""
    if before.residuals.supported and not after.residuals.supported:
        yield "too few corpora for intervals, which are told now"
    if before.recall is not None and after.recall is None:
        yield "no recall of approximate search, which is told now"


def _promoted(session: Session, version: int) -> ModelSetRow:
    """A candidate, in production unless it is worse than the set that answers by now."""
    with suppress(ConflictError):
        session.model_sets.promote(version)
    return session.model_sets.get(version)


def _conclusion(
    session: Session, made: Made, content: bytes, verdict: Verdict, promote: bool
) -> dict[str, Any]:
    """Record the set; the result."""
    row = session.model_sets.add(content, made.about, verdict)
    if promote:
        row = _promoted(session, row.version)
    session.model_sets.forget()
    return {
        "version": row.version,
        "made": True,
        "state": row.state,
        "verdict": verdict.to_json(),
        **{name: made.about[name] for name in ("workloads", "corpora", "rows", "measured_until")},
        "errors": {what: made.accuracy.mean(what) for what in made.accuracy.errors},
    }
