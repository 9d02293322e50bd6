"""What passes between the profiler and its probing child."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from collectors.hardware.sampling import EFFORTS, Setting

OUT_OF_TIME = "not measured within"
"""How the reason of a figure begins that a calmer machine would have had time for."""


@dataclass(frozen=True, slots=True)
class Job:
    """Which figures a child probes, how, and for how many seconds at most."""

    setting: Setting
    figures: tuple[str, ...]
    limit_s: float

    def to_json(self) -> str:
        """Read back by :meth:`from_json`."""
        setting = {**asdict(self.setting), "effort": self.setting.effort.name}
        row = {"setting": setting, "figures": self.figures, "limit_s": self.limit_s}
        return json.dumps(row, default=str)

    @classmethod
    def from_json(cls, text: str) -> Job:
        row = json.loads(text)
        setting = row["setting"]
        parts = {
            "effort": EFFORTS[setting["effort"]],
            "home": Path(setting["home"]),
            "models": Path(setting["models"]),
        }
        return cls(Setting(**{**setting, **parts}), tuple(row["figures"]), row["limit_s"])
