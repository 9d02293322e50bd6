"""Collecting the measured table."""
