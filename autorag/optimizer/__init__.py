"""Deciding what to measure next."""

from autorag.optimizer.greedy import ModelFirstGreedy
from autorag.optimizer.random import RandomSearch
from autorag.optimizer.strategy import Strategy

__all__ = ["ModelFirstGreedy", "RandomSearch", "Strategy"]
