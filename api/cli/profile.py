"""``autorag profile``."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.cli.console import progress_console
from api.cli.options import check_report
from api.cli.progress import LiveProgress
from api.pages.roofline import identity_rows, note_text, render_profile, spread_text, value_text
from api.settings import Settings
from api.wiring import hardware_profile, make_parts
from autorag.hardware import HardwareProfile
from autorag.ports import SystemClock

DEFAULT_PLOT = Path("roofline.html")


def run_profile(again: bool, plot: Path | None, as_json: bool) -> None:
    """Profile the machine, write the plot, print the figures."""
    page = DEFAULT_PLOT if plot is None and not as_json else plot
    if page is not None:
        check_report(page, "plot")
    parts = make_parts(Settings.from_environment(), 0)
    with LiveProgress(progress_console(quiet=as_json)) as progress:
        progress.preparing("the hardware profile")
        profile = hardware_profile(parts, progress.progress, again=again)
    if page is not None:
        write_page(profile, page)
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps(profile.to_json()), indent=None)
    else:
        print_profile(profile, page, parts.clock, Console())


def write_page(profile: HardwareProfile, path: Path) -> None:
    """Write the self-contained page."""
    draft = path.with_suffix(path.suffix + ".draft")
    draft.write_text(render_profile(profile), encoding="utf-8")
    draft.replace(path)


def print_profile(
    profile: HardwareProfile, page: Path | None, clock: SystemClock, console: Console
) -> None:
    """The machine, its figures, and what is missing."""
    for name, value in identity_rows(profile):
        console.print(f"{name}: {escape(value)}", highlight=False)
    console.print(_table(profile))
    for name, reason in profile.missing.items():
        console.print(f"[yellow]missing[/] {name}: {escape(reason)}", highlight=False)
    if profile.busy:
        console.print("[yellow]the machine was busy: some figures are lower than they should be[/]")
    age_s = clock.time() - profile.measured_at
    console.print(
        f"measured {_age(age_s)} in {profile.seconds:.0f} s; `autorag profile --again` measures "
        "again",
        highlight=False,
    )
    if page is not None:
        console.print(f"roofline plot: {page}", highlight=False)


def _table(profile: HardwareProfile) -> Table:
    table = Table()
    for heading in ("figure", "median", "spread", "unit", "repeats", "note"):
        number = heading in ("median", "spread", "repeats")
        table.add_column(heading, justify="right" if number else "left", no_wrap=heading != "note")
    for name, rate in profile.rates.items():
        table.add_row(
            name,
            value_text(rate.median),
            spread_text(rate),
            rate.unit,
            str(rate.repeats),
            escape(note_text(rate)),
        )
    return table


def _age(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"
