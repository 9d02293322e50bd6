"""Deciding what to measure next."""

from autorag.optimizer.bayesian import BayesianSearch
from autorag.optimizer.candidates import FixedCandidates, SpaceCandidates, valid_configs
from autorag.optimizer.greedy import ModelFirstGreedy
from autorag.optimizer.random import RandomSearch
from autorag.optimizer.strategy import (
    EXHAUSTED,
    Proposal,
    Stop,
    Strategy,
    best_trial,
    pareto_trials,
)
from autorag.optimizer.warm import WarmStart, best_before

__all__ = [
    "EXHAUSTED",
    "BayesianSearch",
    "FixedCandidates",
    "ModelFirstGreedy",
    "Proposal",
    "RandomSearch",
    "SpaceCandidates",
    "Stop",
    "Strategy",
    "WarmStart",
    "best_before",
    "best_trial",
    "pareto_trials",
    "valid_configs",
]
