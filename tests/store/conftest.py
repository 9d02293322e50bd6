"""The databases that the store is tested on."""

from tests.store.backends import backend, postgres

__all__ = ["backend", "postgres"]
