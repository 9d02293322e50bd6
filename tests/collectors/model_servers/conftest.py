"""Prepared models are shared with the tests of the command line."""

from tests.api.conftest import models

__all__ = ["models"]
