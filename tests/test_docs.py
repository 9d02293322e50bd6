"""The documents tell what is there: every knob, metric, setting, command and option."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from api.app import create_app
from api.cli.main import app
from api.http.metrics import Metrics
from api.settings import Settings, environment_name
from api.wiring import make_space
from autorag.features import FEATURES
from autorag.metrics import METRICS
from autorag.space import Knob

ROOT = Path(__file__).parents[1]
CONFIGURATION = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
FEATURE_PAGE = (ROOT / "docs/features.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def row(knob: str) -> list[str]:
    """The cells of a knob's row."""
    line = next(li for li in CONFIGURATION.splitlines() if li.startswith("|") and f"`{knob}`" in li)
    return [cell.strip() for cell in line.strip("|").split("|")]


def settings_rows() -> dict[str, list[str]]:
    """The cells of each setting's row, by the setting that it names first."""
    table = CONFIGURATION.split("## Settings")[1]
    rows = [li.strip("|").split("|") for li in table.splitlines() if li.startswith("| `")]
    return {r[0].split("`")[1]: [cell.strip() for cell in r] for r in rows}


@pytest.mark.parametrize("knob", list(make_space()), ids=lambda k: k.name)
def test_every_knob_stands_there_with_its_default_and_how_it_is_applied(knob: Knob) -> None:
    _, _, default, applied, _ = row(knob.name)
    whole = isinstance(knob.default, float) and knob.default.is_integer()
    assert default == str(int(knob.default) if whole else knob.default)
    assert applied == knob.apply


def test_no_knob_stands_there_that_is_not() -> None:
    table = CONFIGURATION.split("## Knobs")[1].split("##")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    named = {name for cell in first_cells for name in re.findall(r"`(\w+\.\w+)`", cell)}
    assert named == {k.name for k in make_space()}


def test_every_metric_stands_there() -> None:
    table = CONFIGURATION.split("## Metrics")[1].split("##")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= set(METRICS)


def test_every_setting_stands_there() -> None:
    used = {
        name
        for folder in ("autorag", "api", "collectors", "models", "store")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"[\"'](AUTORAG_[A-Z_]+)[\"']", file.read_text(encoding="utf-8"))
    }
    assert used
    assert {u for u in used if f"`{u}`" not in CONFIGURATION} == set()


def test_every_field_of_the_settings_stands_there_with_its_default() -> None:
    told = {name: cells[1] for name, cells in settings_rows().items()}
    for name, field in Settings.model_fields.items():
        default = told.pop(environment_name(name))
        if isinstance(field.default, str | int | float):
            whole = isinstance(field.default, float) and field.default.is_integer()
            assert default == str(int(field.default) if whole else field.default)
    assert set(told) == {"AUTORAG_GENERATOR_URL"}
    summary = set(re.findall(r"AUTORAG_[A-Z_]+", sys.modules[Settings.__module__].__doc__ or ""))
    assert summary >= {environment_name(name) for name in Settings.model_fields}


def test_the_readme_names_only_commands_and_options_that_exist() -> None:
    named = dict(commands(typer.main.get_command(app)))
    options = {o for c in named.values() for p in c.params for o in p.opts}
    assert set(re.findall(r"autorag (\w+)", README)) <= {name.split()[0] for name in named}
    for group in ("db", "bench", "models"):
        told = re.findall(rf"autorag {group} (\w+)", README)
        assert {f"{group} {name}" for name in told} <= set(named)
    ours = "\n".join(line for line in README.splitlines() if "curl" not in line)
    assert set(re.findall(r"`?(--[a-z][a-z-]+)", ours)) <= options


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command, sub-commands too, by what is typed."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def test_every_feature_stands_there_as_it_is_declared() -> None:
    rows = [line.strip("|").split("|") for line in FEATURE_PAGE.splitlines() if line[:3] == "| `"]
    told = [tuple(cell.strip() for cell in row) for row in rows]
    declared = [(f"`{f.name}`", f.unit, f.scale, f.definition, f.source) for f in FEATURES]
    assert told == declared


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_local_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    missing = [
        t for t in targets if "://" not in t and not (ROOT / page).parent.joinpath(t).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("script", ["scripts/setup", "scripts/tune", "scripts/test", ".ci/run"])
def test_the_scripts_are_there_and_can_be_run(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111


def test_every_route_stands_in_the_description_of_the_service() -> None:
    page = (ROOT / "docs/service.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([A-Z]+ /[^`\s?]*)`", page.split("## Routes")[1].split("\n## ")[0]))
    paths = create_app(_never, Metrics()).openapi()["paths"]
    routes = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    assert told == routes


def _never() -> Any:
    raise AssertionError("the app does not run")
