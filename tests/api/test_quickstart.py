"""The README's tour of the service works by copy and paste."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from tests.api.command import Command

ROOT = Path(__file__).parents[2]
WITHIN_S = 600


def test_the_tour_works_by_copy_and_paste(tmp_path: Path, autorag: Command) -> None:
    place = tmp_path / "checkout"
    place.mkdir()
    (place / ".venv").symlink_to(Path(sys.executable).parents[1])
    shutil.copytree(ROOT / "docs", place / "docs")
    script = tour().replace("autorag serve &", f"autorag serve --port {port()} 2>said &")
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(":8300", f":{port()}")],
        cwd=place,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("AUTORAG_")},
            "AUTORAG_HOME": str(autorag.home),
            "TMPDIR": str(autorag.temporary),
        },
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}\n{(place / 'said').read_text()}"
    assert '{"status":"ready"}' in ran.stdout
    assert '{"accepted":1,"duplicate":false}' in ran.stdout
    assert '"revision":1' in ran.stdout
    assert "running {" in ran.stdout
    assert re.search(r"^done \S+", ran.stdout, re.M), ran.stdout
    assert "CONFIG" in ran.stdout.split("done ")[1]


def tour() -> str:
    """The commands of the section, with the service ended whatever happens."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Run the service")[1]
    blocks = re.findall(r"```sh\n(.*?)```", section.split("\n## ")[0], re.S)
    assert len(blocks) == 2
    return "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "\n".join(blocks)


_PORTS: list[int] = []


def port() -> int:
    """A free port, the same for the whole test."""
    if not _PORTS:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            _PORTS.append(listener.getsockname()[1])
    return _PORTS[0]
