"""The job that trains models on everything that was measured, and promotes them if they are good.

A new set is a candidate. It is not worse than the set in production when

* no mean error on left-out corpora rose by more than ``models.accuracy`` allows: those that the set
  in production was left out on when it was made, and those that it has never seen;
* nor did one on what was measured since the set in production was made, which it has not seen:
  there, models that were made like the candidate, on what was measured before, stand for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.model_registry import Registry
from autorag.errors import InputError, ModelError
from autorag.experience import Experience
from autorag.model_sets import SHIPPED_VERSION, ModelSetRow, Verdict
from store.database import Session

if TYPE_CHECKING:
    from api.jobs import JobContext
    from api.training import Made, Material
    from models.accuracy import Change
    from models.training import ModelSet


def run_train(context: JobContext) -> Mapping[str, Any]:
    """Train, judge, and promote as asked. Nothing is made where it would be the same again.

    Raises:
        InputError: too little was measured.
        WorkCancelled: it was told to stop.
    """
    from api.training import OWN_TABLE, make

    asked, registry = context.job.arguments, Registry(context.settings.home)
    context.progress({"doing": "reading what was measured"})
    production, rows, experiences = context.database.read(_look)
    material = gather(OWN_TABLE, experiences)
    same = _same(material.data(asked["seed"]), production, rows, registry)
    if same is not None:
        return {"version": same, "made": False, "why": "nothing was measured since it was made"}

    def tell(doing: str, done: int, total: int) -> None:
        context.check()
        context.progress({"doing": doing, "done": done, "total": total})

    made = make(material, asked["seed"], tell)
    tell("comparing", 0, 1)
    verdict = judge(made, material, production, registry, asked["seed"])
    sha256 = registry.keep(made.models, made.about)
    return context.conclude(lambda s: _conclusion(s, made, sha256, verdict, registry, asked))


def judge(
    made: Made,
    material: Material,
    production: ModelSetRow | None,
    registry: Registry,
    seed: int,
) -> Verdict:
    """Whether a new set may take over from the one in production."""
    against = SHIPPED_VERSION if production is None else production.version
    try:
        before, about = registry.read(production)
    except ModelError as error:
        return Verdict(True, against, (f"the set in production cannot be read: {error}",))
    from models.accuracy import Accuracy, accuracy_on, changes

    recorded = Accuracy.from_json(about["accuracy"])
    seen = {x.corpus for x in before.quality.landscapes}
    unseen = accuracy_on(before, [e for e in material.examples if e.corpus not in seen])
    found = [
        *((f"left-out corpora, {c}", c) for c in changes(recorded.joined(unseen), made.accuracy)),
        *((f"measured since, {c}", c) for c in _since(before, about, material, seed)),
    ]
    if not found:
        return Verdict(False, against, ("no corpus tells of both sets",))
    worse = tuple(said for said, change in found if change.worse)
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
    """The version of a set that was made from the same and could be made no better."""
    if production is None:
        _, about = registry.read(None)
        if about["data"] == data:
            return SHIPPED_VERSION
    return next((r.version for r in rows if r.about["data"] == data), None)


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


def _conclusion(
    session: Session,
    made: Made,
    sha256: str,
    verdict: Verdict,
    registry: Registry,
    asked: Mapping[str, Any],
) -> dict[str, Any]:
    """Record the set; the result of the job."""
    row = session.model_sets.add(sha256, made.about, verdict)
    if verdict.better and asked["promote"]:
        row = session.model_sets.promote(row.version)
    registry.sweep(session.model_sets.forget())
    return {
        "version": row.version,
        "made": True,
        "state": row.state,
        "verdict": verdict.to_json(),
        **{name: made.about[name] for name in ("workloads", "corpora", "rows", "measured_until")},
        "errors": {what: made.accuracy.mean(what) for what in made.accuracy.errors},
    }
