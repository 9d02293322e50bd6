"""Making models that have to be made once per machine, in a process of its own.

python -m collectors.prepare FOLDER PARENT
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from autorag.errors import MeasurementError
from autorag.pipeline.embedders import EMBEDDERS, static_folder, static_model
from collectors.trial_process import die_with_parent


def needs_preparation(models: Path) -> bool:
    """Whether the static embedder can be, and has not been, distilled."""
    return EMBEDDERS["static"].installed and not static_folder(models).is_dir()


def prepare_models(models: Path) -> None:
    """Distil the static embedder (about 15 seconds, once per machine).

    Raises:
        MeasurementError: it failed; says why.
    """
    command = [sys.executable, "-P", "-m", "collectors.prepare", str(models), str(os.getpid())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MeasurementError(f"the static embedder could not be made: {done.stderr[-500:]}")


if __name__ == "__main__":
    die_with_parent(int(sys.argv[2]))
    static_model(Path(sys.argv[1]))
