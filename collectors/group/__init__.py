"""Measuring many configs of one chunking in one process, for the measured table."""
