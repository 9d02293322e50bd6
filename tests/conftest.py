"""Hypothesis without deadlines: a busy machine is no failure."""

from hypothesis import settings

settings.register_profile("autorag", deadline=None)
settings.load_profile("autorag")
