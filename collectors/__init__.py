"""Collectors turn the outside world into typed observations."""
