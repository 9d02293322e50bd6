"""Predictors: analytic, later learned."""
