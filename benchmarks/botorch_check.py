"""Does the optimizer's expected improvement say what BoTorch's says? And what does either take?

    pip install -e '.[bench]'
    OMP_NUM_THREADS=1 python -m benchmarks.botorch_check [--observations 10 30 100]

The same Gaussian process (kernel, noise, mean; nothing is fitted) is given to
``qLogNoisyExpectedImprovement``, which integrates over 512 quasi-random draws, and to
``autorag.optimizer.acquisition``, which has the improvement of a candidate in closed form given
each of its draws of the measured values. Candidates are encoded configs of the reference pipeline.
Printed are how far the logarithms are apart where either is within e^-10 of its largest, the rank
correlation, whether both choose the same, what our choice loses by BoTorch's values, and seconds
(BoTorch's include calls of a kernel that is not torch's).
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from scipy.stats import spearmanr

from api.wiring import make_space
from autorag.optimizer.acquisition import Goal, draw, expected_improvement
from autorag.optimizer.candidates import encoded
from autorag.optimizer.posterior import (
    Explanation,
    Fitted,
    Observations,
    Posterior,
    _Base,
    kernel,
    squared_distances,
)
from benchmarks.lessons.page import table

CANDIDATES = 500
TOLD = Explanation(False, 0.0, 0.16, 1.5, 0.02)


def main() -> None:
    arguments = parse_arguments()
    warnings.simplefilter("ignore")
    rows = [compared(count) for count in arguments.observations]
    headings = ("observations", "median |Δ log|", "Spearman", "same choice", "our choice loses")
    print(table((*headings, "BoTorch s", "ours s"), rows))


def compared(observations: int) -> tuple[object, ...]:
    """One row."""
    space, rng = make_space(), np.random.default_rng(0)
    configs = [space.sample(rng) for _ in range(observations + CANDIDATES)]
    points = encoded(space, configs)
    values = 0.5 + 0.2 * np.sin(points[:, :6].sum(axis=1)) + 0.02 * rng.standard_normal(len(points))
    seen = Observations(np.arange(observations), values[:observations], np.ones(observations))
    rest = np.arange(observations, len(points))
    process = _Base.of(points, seen).fit(TOLD, None)
    started = time.perf_counter()
    known = Posterior((process,), np.ones(1))
    drawn = draw(Goal("ndcg_at_10", -1.0), known, rest, observations, rng)
    mine = np.log(np.maximum(expected_improvement(drawn, []), 1e-300))
    ours_s = time.perf_counter() - started
    theirs, theirs_s = botorch_values(process, seen, rest)
    near = np.maximum(mine - mine.max(), theirs - theirs.max()) > -10
    loses = 1.0 - float(np.exp(theirs[mine.argmax()] - theirs.max()))
    return (
        observations,
        f"{np.median(np.abs(mine - theirs)[near]):.3f}",
        f"{spearmanr(mine[near], theirs[near]).statistic:.3f}",
        "yes" if mine.argmax() == theirs.argmax() else "no",
        f"{loses:.1%}",
        f"{theirs_s:.3f}",
        f"{ours_s:.3f}",
    )


def botorch_values(
    process: Fitted, seen: Observations, rest: np.ndarray
) -> tuple[np.ndarray, float]:
    """Logarithms of the improvement of the candidates ``(k,)``, and seconds."""
    import torch
    from botorch.acquisition.logei import qLogNoisyExpectedImprovement
    from botorch.models import SingleTaskGP
    from botorch.sampling import SobolQMCNormalSampler
    from gpytorch.kernels import Kernel
    from gpytorch.means import ConstantMean

    class Ours(Kernel):  # type: ignore[misc]
        def forward(self, x1, x2, diag=False, **_):  # type: ignore[no-untyped-def]
            def one(a: np.ndarray, b: np.ndarray) -> np.ndarray:
                squares = squared_distances(a, b)
                like = kernel(squares, squares < 1e-12, TOLD.length)
                level: np.ndarray = TOLD.amplitude**2 * (1.0 + like)
                return level

            batch = torch.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
            a, b = (
                x.expand(*batch, *x.shape[-2:]).reshape(-1, *x.shape[-2:]).numpy() for x in (x1, x2)
            )
            made = np.stack([one(p, q) for p, q in zip(a, b, strict=True)])
            whole = torch.as_tensor(made).reshape(*batch, *made.shape[-2:])
            return whole.diagonal(dim1=-2, dim2=-1) if diag else whole

    x = torch.as_tensor(process.points)
    y = torch.as_tensor(seen.values)[:, None]
    mean = ConstantMean()
    mean.constant.data.fill_(float(process.mean[0]))
    model = SingleTaskGP(
        x[: len(y)],
        y,
        torch.full_like(y, TOLD.noise**2),
        covar_module=Ours(),
        mean_module=mean,
        outcome_transform=None,
    ).eval()
    started = time.perf_counter()
    with torch.no_grad():
        acquisition = qLogNoisyExpectedImprovement(
            model,
            x[: len(y)],
            sampler=SobolQMCNormalSampler(torch.Size([512]), seed=0),
            prune_baseline=False,
            cache_root=False,
        )
        found = acquisition(x[rest][:, None, :]).numpy()
    return found, time.perf_counter() - started


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--observations", type=int, nargs="+", default=[10, 30, 100])
    return parser.parse_args()


if __name__ == "__main__":
    main()
