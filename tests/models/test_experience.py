"""What the store remembers is learned from as the measured table is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autorag.experience import Experience, Measured
from models.examples import QUALITY
from models.experience import experience_examples, timed
from models.training import FEWEST_CONFIGS, fit_landscapes
from tests.autorag.machines import profile
from tests.models.learned import Imagined, configs, example

MADE = example(Imagined("shop", 0.5))


def told(count: int = 40, **more: object) -> Experience:
    """What was measured of the first configs."""
    (once,) = MADE.timed
    measured = tuple(
        Measured(
            dict(config),
            {m: float(v[i]) for m, v in once.measured.items() if np.isfinite(v[i])},
            100 + i,
        )
        for i, config in enumerate(configs()[:count])
    )
    known = {"labelled": True, "features": MADE.features, "profile": profile(), **more}
    return Experience("shop:1", "shop", measured=measured, **known)  # type: ignore[arg-type]


def test_times_and_physics_are_those_of_the_workload() -> None:
    found, (known,) = timed(told()), MADE.timed
    assert found is not None
    assert found.measured_at.tolist() == list(range(100, 140))
    for metric, values in found.measured.items():
        assert np.array_equal(values, known.measured[metric][:40], equal_nan=True), metric
    assert np.array_equal(found.physics.latency_ms, known.physics.latency_ms[:40])


def test_repeats_are_times_of_their_own_and_one_quality() -> None:
    (found,) = experience_examples([told(), told(10)])
    assert [len(t.configs) for t in found.timed] == [40, 10]
    assert len(found.configs) == len({k.tobytes() for k in found.knobs}) == 40
    assert set(found.quality.tolist()) <= set(MADE.quality.tolist())


def test_what_is_not_of_the_reference_pipeline_is_left_out() -> None:
    other = replace(told(0), measured=(Measured({"search.good": True}, {QUALITY: 1.0}, 0),))
    strange = {**configs()[0], "rerank.model": "/a/cross-encoder"}
    one = replace(told(0), measured=(Measured(strange, {QUALITY: 1.0}, 0),))
    assert experience_examples([other, one]) == []
    (found,) = experience_examples([replace(told(), measured=told().measured + other.measured)])
    assert len(found.configs) == 40


def test_a_workload_that_physics_cannot_predict_is_left_out() -> None:
    features = replace(MADE.features, corpus=replace(MADE.features.corpus, tokens=None))
    assert experience_examples([told(features=features)]) == []


def test_few_configs_say_nothing_of_quality() -> None:
    few, enough = (experience_examples([told(n)]) for n in (FEWEST_CONFIGS - 1, FEWEST_CONFIGS))
    assert fit_landscapes(few, 0) == []
    assert len(fit_landscapes(enough, 0)) == 1
