"""Searches replayed on the measured table: the parts of ``optimizer_replay``."""
