"""Where people see what work does: progress on standard error, results on standard output."""

from __future__ import annotations

from rich.console import Console


def progress_console(quiet: bool) -> Console:
    """Standard error; silent when ``quiet``, unless somebody watches."""
    console = Console(stderr=True)
    return Console(stderr=True, quiet=True) if quiet and not console.is_terminal else console
