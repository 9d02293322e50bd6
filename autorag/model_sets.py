"""Sets of trained models as rows: what may answer, what did, and what may not.

A set is made as a *candidate*. It goes into *production* when its verdict says that it is not worse
than the set that is there, which is *archived*; a rollback puts that one back. Version 0 is the set
that ships with the project: it is in production while no other is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["candidate", "production", "archived"]

SHIPPED_VERSION = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a set may be promoted.

    Attributes:
        against: the version that it was compared with.
        reasons: what is worse, where anything is; else what was compared.
    """

    better: bool
    against: int
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON."""
        return {"better": self.better, "against": self.against, "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True)
class ModelSetRow:
    """One set. Times are seconds since the epoch.

    Attributes:
        sha256: of its file.
        about: from what it was made and what it is worth.
        replaced: the version that was in production before it.
    """

    version: int
    sha256: str
    state: State
    about: Mapping[str, Any]
    verdict: Mapping[str, Any]
    replaced: int | None
    created_at: int
    promoted_at: int | None
    archived_at: int | None
