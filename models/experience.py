"""Examples from what real workloads measured, beside those of the measured table.

Only configs of the reference pipeline are learned from: what physics says nothing of is left out. A
workload with few configs tells what things cost on its machine, and nothing of how quality depends
on the config (``models.training.FEWEST_CONFIGS``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from autorag.errors import InputError
from autorag.experience import Experience, Measured
from models.analytic.chunking import chunking
from models.analytic.columns import Floats
from models.analytic.knobs import Knobs
from models.analytic.shape import WorkloadShape
from models.analytic.stages import AnalyticModel
from models.encoding import CHOICES, encode_configs, encode_workload
from models.examples import MEASURED, QUALITY, Example, Timed
from models.hosts import HostEffect
from models.ratios import CONTEXT_TOKENS, TIMES, RatioModel, time_rows
from models.recall import ANN_RECALL, Searched, approximate, recall_rows

FAMILY = "apps"

_NEEDED = {
    *("chunk.splitter", "chunk.tokens", "retrieve.mode", "retrieve.k", "rerank.model"),
    *("generate.contexts", "cache.mb", "threads.embed", "threads.rerank", "threads.generate"),
}


def experience_examples(experiences: Sequence[Experience]) -> list[Example]:
    """An example a workload; of one without any config that can be learned from, none."""
    ordered = sorted(experiences, key=lambda e: (e.workload, e.profile.fingerprint))
    groups = (list(same) for _, same in groupby(ordered, key=lambda e: e.workload))
    return [example for same in groups for example in _example(same)]


def timed(one: Experience) -> Timed | None:
    """The times of a workload on its machine; None where there is nothing to learn from."""
    measured = [m for m in one.measured if _readable(m)]
    if not measured:
        return None
    try:
        shape = WorkloadShape.from_features(one.features)
        physics = AnalyticModel(one.profile).predict(Knobs.of([m.config for m in measured]), shape)
    except InputError:
        return None
    configs = tuple(m.config for m in measured)
    columns = {metric: _column(measured, metric) for metric in (*MEASURED, CONTEXT_TOKENS)}
    moments = np.array([m.measured_at for m in measured], dtype=np.float64)
    machine, knobs = one.profile.fingerprint, encode_configs(configs)
    return Timed(machine, configs, knobs, physics, columns, moments)


def effect_on(ratios: RatioModel, tried: Sequence[Experience]) -> HostEffect | None:
    """What trials on one machine show that it adds to trees that did not learn from it; None where
    ``models.hosts.FEWEST_TRIALS`` are not there."""
    found = [(one, part) for one in tried if (part := timed(one)) is not None]
    if not found:
        return None
    left: dict[str, list[Floats]] = {target: [] for target in ratios.trees if target in TIMES}
    for one, part in found:
        rows = time_rows(part.knobs, encode_workload(one.features), part.physics)
        for target, values in left.items():
            told = ratios.predict(part.knobs, rows, part.physics, target)
            values.append(np.log(part.measured[target] / told))
    knobs = np.vstack([part.knobs for _, part in found])
    effect = HostEffect.fit(knobs, {t: np.concatenate(v) for t, v in left.items()})
    return effect if effect.coefficients else None


def experience_searches(experiences: Sequence[Experience]) -> list[Searched]:
    """What searches in approximate indexes found, a workload after the other."""
    return [found for one in experiences if (found := _searched(one)) is not None]


def _searched(one: Experience) -> Searched | None:
    measured = [m for m in one.measured if _readable(m) and ANN_RECALL in m.metrics]
    if not measured:
        return None
    knobs = Knobs.of([m.config for m in measured])
    some = np.flatnonzero(approximate(knobs))
    try:
        shape = WorkloadShape.from_features(one.features)
    except InputError:
        return None
    if not some.size:
        return None
    knobs = knobs.take(some)
    rows = recall_rows(knobs, chunking(shape, knobs.cut).chunks, one.features)
    return Searched(one.corpus, rows, _column(measured, ANN_RECALL)[some])


def _example(same: Sequence[Experience]) -> Iterator[Example]:
    parts = tuple(found for one in same if (found := timed(one)) is not None)
    if not parts:
        return
    first = same[0]
    knobs = np.vstack([t.knobs for t in parts])
    quality = np.concatenate([t.measured[QUALITY] for t in parts])
    once = _once(knobs, quality)
    configs = [config for t in parts for config in t.configs]
    unknown = np.full(len(once), np.nan)
    yield Example(
        first.workload,
        first.corpus,
        FAMILY,
        first.labelled,
        first.features,
        tuple(configs[i] for i in once),
        knobs[once],
        quality[once],
        np.stack([unknown, unknown]),
        unknown,
        parts,
    )


def _once(knobs: np.ndarray, quality: Floats) -> list[int]:
    """Each config whose quality is known, once: as it was measured last."""
    known = {knobs[i].tobytes(): i for i in np.flatnonzero(np.isfinite(quality)).tolist()}
    return sorted(known.values())


def _readable(measured: Measured) -> bool:
    """Whether it is a config of the reference pipeline, of parts that are known here."""
    config = measured.config
    return config.keys() >= _NEEDED and all(
        config.get(knob) in (None, "none", *values) for knob, values in CHOICES.items()
    )


def _column(measured: Sequence[Measured], metric: str) -> Floats:
    return np.array([m.metrics.get(metric, np.nan) for m in measured], dtype=np.float64)
