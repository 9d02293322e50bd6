"""Gradient-boosted trees (XGBoost) with the settings that few, alike rows ask for.

Rows of one workload are alike, so a row is no independent example: leaves are large, steps are
small and weights say how much a row counts. Fitting is deterministic for a seed, on one thread. A
model is kept as XGBoost's own binary JSON, never as a pickle: reading a file runs no code of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag.errors import ModelError
from models.analytic.columns import Floats
from models.encoding import Matrix

if TYPE_CHECKING:
    import xgboost

ROUNDS = 300
PARAMETERS: dict[str, Any] = {
    "max_depth": 4,
    "eta": 0.06,
    "min_child_weight": 8.0,
    "reg_lambda": 4.0,
    "colsample_bytree": 0.7,
    "subsample": 0.8,
    "tree_method": "hist",
    "nthread": 1,
    "verbosity": 0,
}


class Trees:
    """A fitted model: rows of ``width`` columns to one number each."""

    def __init__(self, booster: xgboost.Booster, width: int) -> None:
        self._booster = booster
        self.width = width

    @classmethod
    def fit(
        cls,
        rows: Matrix,
        targets: Floats,
        *,
        seed: int,
        weights: Floats | None = None,
        rising: Collection[int] = (),
        parameters: Mapping[str, Any] | None = None,
    ) -> Trees:
        """Fit squared error on rows ``(n, width)`` and targets ``(n,)``.

        Args:
            weights: of the rows, ``(n,)``; scaled to a mean of 1.
            rising: columns that predictions must not fall with.
            parameters: in place of some of ``PARAMETERS``.
        """
        import xgboost

        if weights is not None:
            weights = weights / weights.mean()
        data = xgboost.DMatrix(rows, label=targets, weight=weights, nthread=1)
        chosen = {**PARAMETERS, **(parameters or {}), "seed": seed}
        if rising:
            signs = tuple(int(column in rising) for column in range(rows.shape[1]))
            chosen["monotone_constraints"] = signs
        booster = xgboost.train(chosen, data, ROUNDS)
        return cls(booster, rows.shape[1])

    def predict(self, rows: Matrix) -> Floats:
        """Predictions ``(n,)`` of rows ``(n, width)``."""
        return np.asarray(self._booster.inplace_predict(rows), dtype=np.float64)

    def contributions(self, rows: Matrix) -> Floats:
        """What each column adds to a prediction, and the base, ``(n, width + 1)`` (TreeSHAP:
        Lundberg, Erion and Lee 2018)."""
        import xgboost

        found = self._booster.predict(xgboost.DMatrix(rows, nthread=1), pred_contribs=True)
        return np.asarray(found, dtype=np.float64)

    def to_bytes(self) -> bytes:
        """XGBoost's own format."""
        return bytes(self._booster.save_raw("ubj"))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Trees:
        """What :meth:`to_bytes` gave.

        Raises:
            ModelError: it is something else.
        """
        import xgboost

        booster = xgboost.Booster({"nthread": 1})
        try:
            booster.load_model(bytearray(raw))
            width = int(booster.num_features())
        except xgboost.core.XGBoostError as error:
            raise ModelError("not a model of XGBoost's") from error
        return cls(booster, width)
