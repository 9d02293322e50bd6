"""What people see while work runs, on standard error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from api.watching import TuneWatcher
from autorag.objective import Objective
from autorag.optimizer import Proposal
from autorag.ports import Estimate, Trial
from autorag.space import Config


class LiveProgress(TuneWatcher):
    """One live line for the stage at work, and a line for every trial that ended."""

    def __init__(self, console: Console, objective: Objective | None = None) -> None:
        self._console = console
        self._objective = objective
        self._default: Config | None = None
        self._best: Trial | None = None
        self._title = ""
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> LiveProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the live one."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def planned(self, estimate: Estimate | None, resumed: int) -> None:
        if resumed:
            self.say(f"continuing an interrupted study: {resumed} trials are there already")
        if estimate is None:
            self.say("how long it takes is known once the default is measured")
            return
        minutes, mb = estimate.seconds / 60, estimate.disk_bytes / 1e6
        self.say(f"about {minutes:.1f} minutes and {mb:.0f} MB of artifacts")

    def said(self, text: str) -> None:
        self.say(escape(text))

    def preparing(self, what: str) -> None:
        self._bar.reset(self._task, description=f"preparing {what}", total=None)

    def trial_started(self, number: int, proposal: Proposal, estimate: Estimate) -> None:
        if number == 0:
            self._default = proposal.config
        expected = f", about {estimate.seconds:.0f} s" if estimate.seconds else ""
        self._title = f"trial {number} ({self._changes(proposal.config)}){expected}"
        if proposal.why and number:
            self.say(f"[dim]{number:>3}  {escape(proposal.why)}{expected}[/]")
        self._bar.reset(self._task, description=self._title, total=None)

    def search_ended(self, reason: str) -> None:
        self.say(f"the search ends: {escape(reason)}")

    def report_started(self, config: Config) -> None:
        self._title = "measuring the report on queries the search never saw"
        self._bar.reset(self._task, description=self._title, total=None)

    def progress(self, stage: str, done: int, total: int) -> None:
        description = f"{self._title}: {stage} {done}/{total}" if total else stage
        self._bar.update(self._task, description=description, completed=done, total=total or None)

    def trial_ended(self, trial: Trial) -> None:
        if trial.number == 0:
            self._default = trial.config
        if trial.state != "finished":
            reason = escape(((trial.reason or "").splitlines() or [""])[-1])
            changed = self._changes(trial.config)
            self.say(f"[dim]{trial.number:>3}  {trial.state}: {reason}  {changed}[/]")
            return
        assert self._objective is not None
        rank = self._objective.rank
        best = self._best is None or rank(trial.metrics) < rank(self._best.metrics)
        self._best = trial if best else self._best
        mark = "[green]best[/]" if best else "    "
        self.say(
            f"{trial.number:>3}  {_figures(trial.metrics, self._objective)}  {mark}  "
            f"[dim]{trial.seconds:5.1f} s  {self._changes(trial.config)}[/]"
        )

    def _changes(self, config: Config) -> str:
        return changes(self._default, config) if self._default is not None else "the default"


def changes(before: Config, after: Config) -> str:
    """What differs, in one line."""
    changed = [f"{k}={new}" for k, (_, new) in before.changed(after).items() if new is not None]
    return escape(" ".join(changed)) or "the default"


def _figures(metrics: Mapping[str, float], objective: Objective) -> str:
    names: Sequence[str] = objective.metrics
    violated = {s.metric for s in objective.violations(metrics)}
    parts: list[Any] = []
    for name in names:
        text = f"{name} {metrics.get(name, float('nan')):.4g}"
        parts.append(f"[red]{text}[/]" if name in violated else text)
    return "  ".join(parts)
