"""Who is told how a tune goes."""

from __future__ import annotations

from autorag.ports import Estimate
from autorag.study import Watcher


class TuneWatcher(Watcher):
    """Told what happens; the base class ignores it."""

    def planned(self, estimate: Estimate | None, resumed: int) -> None:
        """What it will take, None where nobody can tell; trials that are there already."""

    def preparing(self, what: str) -> None: ...

    def said(self, text: str) -> None:
        """Something worth knowing."""
