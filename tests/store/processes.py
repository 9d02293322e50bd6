"""Python processes that start their work at the same moment."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

WAIT = """
import sys, time
from pathlib import Path
def meet(folder, me):
    Path(folder, f"ready{me}").touch()
    while not Path(folder, "go").exists():
        time.sleep(0.001)
"""


def run_together(code: str, folder: Path, count: int, *arguments: str) -> list[str]:
    """Run the code in ``count`` processes; it imports, calls ``meet(sys.argv[1], sys.argv[2])``
    and goes on when all have. Returns what each wrote to standard error; empty when it ended well.
    """
    command = [sys.executable, "-c", WAIT + code, str(folder)]
    processes = [
        subprocess.Popen([*command, str(i), *arguments], stderr=subprocess.PIPE, text=True)
        for i in range(count)
    ]
    try:
        while not all((folder / f"ready{i}").exists() for i in range(count)):
            if any(p.poll() for p in processes):
                break
            time.sleep(0.01)
        (folder / "go").touch()
        ended = [p.communicate(timeout=60)[1] for p in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [e if p.returncode else "" for e, p in zip(ended, processes, strict=True)]
