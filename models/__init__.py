"""Predictors: analytic, and learned on top of it."""
