"""What the service predicts without measuring: the models in production, laid over spaces.

Choosing the candidates of a space and laying the landscapes over them takes seconds and is kept; a
prediction takes milliseconds, and is kept for who asks the same again. Models are read when they
are asked for the first time. When another set goes into production it is read and laid over the
same spaces behind, while the old one answers; then it takes over at once. One that cannot be read
does not take over, and that is said.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock, Thread
from typing import TYPE_CHECKING

from api.evidence import Evidence
from api.model_registry import Registry, unreadable
from autorag.errors import InputError
from autorag.experience import Experience
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from autorag.hashing import address
from autorag.model_sets import SHIPPED_VERSION, ModelSetRow
from autorag.objective import Objective
from autorag.ports import Prior
from autorag.space import Config, Space, space_to_json

if TYPE_CHECKING:
    from models.hosts import HostEffect
    from models.predictor import Predictor
    from models.recommendation import Answer
    from models.training import ModelSet

log = logging.getLogger(__name__)

KEPT = 8
"""Spaces whose candidates are kept: some ten megabytes each."""

MOST_MACHINES = 64
"""Whose effects are kept."""

MOST_ANSWERS = 256
"""That are kept: apps ask the same again and again."""

SEED = 0

AGAIN_S = 60.0
"""After which models that could not be read are tried again."""


@dataclass(frozen=True)
class Loaded:
    """A set of models, laid over the spaces that were asked for last.

    Attributes:
        trouble: why another set, which is in production, does not answer.
    """

    version: int
    models: ModelSet
    trouble: str | None
    laid: OrderedDict[str, Predictor] = field(default_factory=OrderedDict)
    effects: dict[str, tuple[Sequence[Experience], HostEffect | None]] = field(default_factory=dict)
    answers: dict[str, tuple[HostEffect | None, Answer]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer, the version of the models that gave it, and what is to be known about it."""

    answer: Answer
    version: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """What is to be predicted, and what is known of it.

    Attributes:
        app: whose requests may tell, None for no app.
        ran: revision → config that the app ran with.
        production: the set of models that is to answer, None for the one that ships.
    """

    space: Space
    features: WorkloadFeatures
    profile: HardwareProfile
    objective: Objective
    count: int
    app: str | None
    ran: Mapping[int, Config]
    production: ModelSetRow | None


class Predictions:
    """Recommends for the reference pipeline, or a part of its knobs.

    Args:
        reference: the space of the reference pipeline.
    """

    def __init__(self, reference: Space, registry: Registry, evidence: Evidence) -> None:
        self._reference = reference
        self._registry = registry
        self._evidence = evidence
        self._current: Loaded | None = None
        self._wanted: int | None = None
        self._tried_at = 0.0
        self._lock = Lock()

    def prior(self, wanted: Wanted) -> Prior | None:
        """What models believe of the configs of a space; None where it has knobs that they do not
        know."""
        from models.predictor import Task
        from models.prior import LearnedPrior

        if any(self._foreign(wanted.space)):
            return None
        loaded = self._loaded(wanted.production)
        host = self._host(loaded, wanted.profile.fingerprint)
        factors = self._corrections(loaded, wanted, host)
        task = Task(wanted.features, wanted.profile, host=host, corrections=factors)
        return LearnedPrior(loaded.models, task, self._reference)

    def recommend(self, wanted: Wanted) -> Prediction:
        """The best configs of a space by prediction.

        Raises:
            InputError: the space has knobs, the objective metrics that models do not know, or the
                features or the profile lack what they need.
        """
        from models.predictor import Task
        from models.recommendation import recommend

        foreign = list(self._foreign(wanted.space))
        if foreign:
            raise InputError(
                f"models know the knobs of the reference pipeline, not {foreign[0]}",
                key="space",
                value=foreign[0],
            )
        loaded = self._loaded(wanted.production)
        host = self._host(loaded, wanted.profile.fingerprint)
        factors = self._corrections(loaded, wanted, host)
        name = _question(wanted, factors)
        with self._lock:
            known = loaded.answers.get(name)
        if known is None or known[0] is not host:
            task = Task(wanted.features, wanted.profile, host=host, corrections=factors)
            predicted = self._over(loaded, wanted.space).on(task)
            known = host, recommend(predicted, wanted.objective, wanted.count)
            with self._lock:
                loaded.answers[name] = known
                while len(loaded.answers) > MOST_ANSWERS:
                    loaded.answers.pop(next(iter(loaded.answers)))
        return Prediction(known[1], loaded.version, tuple(_notes(loaded, factors)))

    def _foreign(self, space: Space) -> Iterator[str]:
        return (knob.name for knob in space if knob.name not in self._known)

    def _host(self, loaded: Loaded, machine: str) -> HostEffect | None:
        """What trials on a machine that the models do not know show that it adds."""
        from models.experience import effect_on

        if loaded.models.ratios.knows(machine):
            return None
        tried = self._evidence.trials(machine)
        known, effect = loaded.effects.get(machine, (None, None))
        if known is not tried:
            effect = effect_on(loaded.models.ratios, tried)
            with self._lock:
                loaded.effects[machine] = tried, effect
                while len(loaded.effects) > MOST_MACHINES:
                    loaded.effects.pop(next(iter(loaded.effects)))
        return effect

    def _corrections(
        self, loaded: Loaded, wanted: Wanted, host: HostEffect | None
    ) -> Mapping[str, float]:
        """What the requests of the app show."""
        from models.correction import corrections

        if wanted.app is None or not wanted.ran:
            return {}
        ran = {n: self._reference.config({}, base=c) for n, c in wanted.ran.items()}
        told = self._evidence.traffic(wanted.app)
        traffic = [(ran[s.revision], s) for s in told if s.revision in ran]
        ratios = loaded.models.ratios
        effect = host or ratios.hosts.get(wanted.profile.fingerprint)
        return corrections(ratios, wanted.features, wanted.profile, effect, traffic)

    @cached_property
    def _known(self) -> set[str]:
        return {knob.name for knob in self._reference}

    def _loaded(self, production: ModelSetRow | None) -> Loaded:
        """The set that answers: the one in production, or the one before it while that is read."""
        wanted = _version(production)
        with self._lock:
            if self._current is None:
                models, _, version = self._registry.answering(production)
                trouble = None if version == wanted else unreadable(wanted)
                self._current, self._wanted = Loaded(version, models, trouble), wanted
                self._tried_at = time.monotonic()
            elif self._wanted != wanted or self._is_to_be_tried_again():
                self._wanted, self._tried_at = wanted, time.monotonic()
                work = production, self._current
                Thread(target=self._take_over, args=work, name="models", daemon=True).start()
            return self._current

    def _is_to_be_tried_again(self) -> bool:
        trouble = self._current is not None and self._current.trouble is not None
        return trouble and time.monotonic() - self._tried_at > AGAIN_S

    def _take_over(self, production: ModelSetRow | None, before: Loaded) -> None:
        """Read another set, lay it over the same candidates, and let it answer. Where that cannot
        be, the one before goes on, and says why."""
        from models.predictor import Predictor

        wanted = _version(production)
        try:
            models, _ = self._registry.read(production)
            loaded = Loaded(wanted, models, None)
            for name, old in dict(before.laid).items():
                loaded.laid[name] = Predictor(models, old.pool)
        except Exception:
            log.exception("models: version %d cannot take over", wanted)
            loaded = replace(before, trouble=unreadable(wanted))
        with self._lock:
            if self._wanted == wanted:
                self._current = loaded
        log.info("models: version %d answers", loaded.version)

    def _over(self, loaded: Loaded, space: Space) -> Predictor:
        """The predictor of a space; whoever comes while it is made waits."""
        from models.candidates import Candidates
        from models.predictor import Predictor

        name = address(space_to_json(space))
        with self._lock:
            if name not in loaded.laid:
                pool = Candidates.of(space, self._reference, seed=SEED)
                loaded.laid[name] = Predictor(loaded.models, pool)
            loaded.laid.move_to_end(name)
            while len(loaded.laid) > KEPT:
                loaded.laid.popitem(last=False)
            return loaded.laid[name]


def _notes(loaded: Loaded, factors: Mapping[str, float]) -> Iterator[str]:
    from models.correction import MOST

    if loaded.trouble is not None:
        yield loaded.trouble
    if factor := factors.get("latency_p50_ms"):
        more = " (more was seen)" if factor in (MOST, 1 / MOST) else ""
        yield f"times are × {factor:.2f}{more}, as the app's requests show"


def _question(wanted: Wanted, factors: Mapping[str, float]) -> str:
    """What an answer depends on beside the models and what the machine adds."""
    return address(
        [
            space_to_json(wanted.space),
            wanted.features.to_json(),
            wanted.profile.to_json(),
            str(wanted.objective),
            wanted.count,
            dict(factors),
        ]
    )


def _version(production: ModelSetRow | None) -> int:
    return SHIPPED_VERSION if production is None else production.version
