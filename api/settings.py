"""Settings from the environment.

==========================  ==================================================================
``AUTORAG_HOME``            where everything is kept (default ``~/.local/share/autorag``)
``AUTORAG_ADMIN_KEY``       the service's admin key (at least 24 characters)
``AUTORAG_ARTIFACTS_GB``    size limit of the artifact store (default 20)
``AUTORAG_GENERATOR_URL``   an OpenAI-compatible server that generates answers, with
                            ``AUTORAG_GENERATOR_MODEL`` and ``AUTORAG_GENERATOR_KEY``
==========================  ==================================================================
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autorag.errors import InputError

DEFAULT_ARTIFACTS_GB = 20.0
SHORTEST_KEY = 24


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are kept and how much of them."""

    home: Path
    artifacts_bytes: int
    admin_key: str | None = field(default=None, repr=False)

    @property
    def artifacts(self) -> Path:
        return self.home / "artifacts"

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def database(self) -> Path:
        return self.home / "autorag.db"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings.

        Raises:
            InputError: a value that cannot be used.
        """
        home = environment.get("AUTORAG_HOME")
        limit = environment.get("AUTORAG_ARTIFACTS_GB", str(DEFAULT_ARTIFACTS_GB))
        try:
            gigabytes = float(limit)
        except ValueError:
            gigabytes = 0.0
        if not (gigabytes > 0 and math.isfinite(gigabytes)):
            raise InputError(
                f"AUTORAG_ARTIFACTS_GB = {limit!r}: expected a number of gigabytes above 0",
                key="AUTORAG_ARTIFACTS_GB",
                value=limit,
            )
        folder = Path(home).expanduser() if home else Path.home() / ".local/share/autorag"
        return cls(folder.absolute(), int(gigabytes * 1e9), _admin_key(environment))


def _admin_key(environment: Mapping[str, str]) -> str | None:
    """The admin key; a refused one is not shown."""
    key = environment.get("AUTORAG_ADMIN_KEY")
    if key and (len(key) < SHORTEST_KEY or not key.isascii() or any(c.isspace() for c in key)):
        raise InputError(
            f"AUTORAG_ADMIN_KEY: {len(key)} characters: expected {SHORTEST_KEY} or more, "
            "ASCII without spaces",
            key="AUTORAG_ADMIN_KEY",
        )
    return key or None
