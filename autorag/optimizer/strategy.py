"""The interface of search strategies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from autorag.ports import Trial
from autorag.space import Config


class Strategy(Protocol):
    """Proposes configs. A strategy has no state: what it proposes depends on its settings (the
    seed among them) and the trials so far, so that a killed study continues where it was."""

    name: str

    def propose(self, trials: Sequence[Trial]) -> Config | None:
        """The config to measure next, or None when there is nothing left to try.

        Args:
            trials: all trials that ended, in order; the first is the default config. Skipped and
                failed ones count as infeasible and are not proposed again.
        """
