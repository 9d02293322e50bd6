"""Settings for probes that take milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from collectors.hardware.sampling import QUICK, Probe, Setting, Span, Values


def quick(folder: Path, span: Span = "one", threads: int = 1) -> Setting:
    return Setting(span, threads, QUICK, folder, folder, 1 << 20, 4 << 30)


def taken(probe: Probe, setting: Setting) -> Iterator[tuple[Values, str]]:
    """What every sampling of a probe takes, with its note."""
    for sampling in probe.samplings(setting):
        yield sampling.take(), sampling.note
