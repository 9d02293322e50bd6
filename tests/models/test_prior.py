"""Beliefs: predictions as the optimizer reads them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from api.wiring import make_space
from autorag.optimizer.scales import scale
from autorag.ports import Belief
from autorag.space import Config
from models.candidates import Candidates
from models.predictor import Predictor, Task
from models.prior import STRANGE_LOG, LearnedPrior
from models.training import LEARNED
from tests.models.test_ranking import predicted
from tests.models.test_training import trained

SPACE = make_space()
METRICS = ("ndcg_at_10", "latency_p50_ms", "latency_p95_ms", "context_tokens", "memory_mb")


@cache
def configs(count: int = 40) -> tuple[Config, ...]:
    rng = np.random.default_rng(0)
    return tuple(dict.fromkeys(SPACE.sample(rng) for _ in range(count)))


def prior(task: Task | None = None) -> LearnedPrior:
    return LearnedPrior(trained(), task or predicted().task, SPACE)


def believed(metric: str, some: tuple[Config, ...] | None = None) -> Belief:
    found = prior().believe(metric, some or configs())
    assert found is not None
    return found


@pytest.mark.parametrize("metric", METRICS)
def test_the_mean_is_what_is_predicted(metric: str) -> None:
    predictor = Predictor(trained(), Candidates(configs(), configs()))
    wanted = predictor.on(predicted().task).metric(metric, np.arange(len(configs())))
    assert believed(metric).mean == pytest.approx(scale(metric, 100).of(wanted))


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_believed_of_a_config_does_not_depend_on_the_others(metric: str) -> None:
    whole, some = believed(metric), believed(metric, configs()[5:9])
    assert some.mean == pytest.approx(whole.mean[5:9])
    assert some.factors == pytest.approx(whole.factors[5:9], abs=1e-9)
    assert (some.residual, some.trust) == (whole.residual, whole.trust)
    joined = believed(metric, configs()[:5]).joined(believed(metric, configs()[5:]))
    assert joined.factors == pytest.approx(whole.factors, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_doubts_are_positive_and_finite(metric: str) -> None:
    found = believed(metric)
    assert np.isfinite(found.factors).all()
    assert ((found.factors**2).sum(axis=1) > 0).all()
    assert found.residual > 0


def test_other_ranking_metrics_are_believed_to_compare_as_ndcg_does() -> None:
    assert believed("recall_at_5").mean == pytest.approx(believed("ndcg_at_10").mean)


def test_what_is_better_on_one_known_workload_is_a_direction() -> None:
    found = believed("ndcg_at_10")
    landscapes = len(trained().quality.landscapes)
    apart = found.factors[:, 2 : 2 + landscapes]
    assert apart.shape == (len(configs()), landscapes)
    assert np.ptp(apart, axis=0).max() > 0.01


def test_a_part_that_was_never_measured_is_doubtful() -> None:
    known = [c for c in configs() if c.get("embed.model") == "static"]
    models = replace(trained(), choices=trained().choices - {"embed.model=static"})
    task = predicted().task
    doubtful = LearnedPrior(models, task, SPACE).believe("latency_p50_ms", known)
    usual = LearnedPrior(trained(), task, SPACE).believe("latency_p50_ms", known)
    assert doubtful is not None
    assert usual is not None
    variance = [(one.factors**2).sum(axis=1) for one in (doubtful, usual)]
    assert variance[0] - variance[1] == pytest.approx(np.full(len(known), STRANGE_LOG**2), rel=0.01)


def test_nothing_is_believed_of_what_models_do_not_know() -> None:
    assert prior().believe("answer_f1", configs()) is None
    assert prior().believe("rss_peak_mb", configs()) is None


def test_a_figure_that_the_profile_lacks_is_named() -> None:
    task = predicted().task
    bare = replace(task, profile=replace(task.profile, rates={}))
    lacking = LearnedPrior(trained(), bare, SPACE)
    assert lacking.believe("latency_p95_ms", configs()) is None
    assert lacking.believe("ndcg_at_10", configs()) is not None
    said = lacking.missing(["ndcg_at_10", "latency_p95_ms"], SPACE.default())
    assert said is not None
    assert "profile" in said
    assert prior().missing(LEARNED, SPACE.default()) is None
