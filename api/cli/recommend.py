"""``autorag recommend``: what models predict to be best, without measuring."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.cli.console import progress_console
from api.cli.models import host_effect, production_models
from api.cli.progress import LiveProgress
from api.landmarks import measure_landmarks
from api.settings import Settings
from api.wiring import hardware_profile, load_workload, make_parts, make_space, workload_features
from autorag.metrics import METRICS
from autorag.objective import Objective
from collectors.prepare import needs_preparation, prepare_models
from models.calibration import COVERAGE
from models.candidates import Candidates
from models.files import read_models
from models.predictor import Predictor, Task
from models.ranking import check_predictable
from models.recommendation import Answer, recommend

INTERVAL = f"{COVERAGE:.0%} interval"


def run_recommend(
    docs: Path | None,
    queries: Path | None,
    objective: Objective,
    models: Path | None,
    count: int,
    landmarks: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Predict the best configs for documents, without measuring any but the landmarks."""
    check_predictable(objective)
    settings = Settings.from_environment()
    if models is None:
        known, about, trouble = production_models(settings)
    else:
        (known, about), trouble = read_models(models), None
    parts = make_parts(settings, seed)
    console = progress_console(quiet=as_json)
    workload = load_workload(docs, queries, parts)
    pool = Candidates.of(make_space(), seed=seed)
    with LiveProgress(console) as progress:
        profile = hardware_profile(parts, progress.progress, whole=True)
        marks = None
        if landmarks:
            if needs_preparation(settings.models):
                progress.preparing("the static embedder (once per machine)")
                prepare_models(settings.models)
            progress.preparing("landmarks")
            marks = measure_landmarks(workload, pool, parts, progress.progress)
        features = workload_features(workload, parts)
    task = Task(features, profile, host=host_effect(known, profile.fingerprint, settings))
    if marks is not None:
        task = replace(task, landmarks=marks.quality, labelled=marks.labelled)
    answer = recommend(Predictor(known, pool).on(task), objective, count)
    if trouble is not None:
        answer = replace(answer, reason=f"{answer.reason}; {trouble}")
    if as_json:
        row = {**_told(answer), "models": about, "workload": workload.summary()}
        if marks is not None:
            row["landmarks"] = marks.to_json(pool)
        Console(soft_wrap=True).print_json(json.dumps(row), indent=None)
    else:
        _print(answer, Console())


def _told(answer: Answer) -> dict[str, Any]:
    best, *others = (r.to_json() for r in answer.recommended)
    return {
        "recommended": best,
        "alternatives": others,
        "source": "models",
        "reason": answer.reason,
        "sure": answer.sure,
        "strangeness": round(answer.strangeness, 3),
        "alike": {name: round(weight, 3) for name, weight in answer.alike.items()},
    }


def _print(answer: Answer, console: Console) -> None:
    best = answer.recommended[0]
    console.print(escape(answer.reason), highlight=False)
    table = Table()
    for heading in ("metric", "predicted", INTERVAL, "unit"):
        table.add_column(heading, justify="left" if heading in ("metric", "unit") else "right")
    for name, (value, low, high) in best.predicted.items():
        table.add_row(name, f"{value:.4g}", f"{low:.3g} … {high:.3g}", METRICS[name].unit)
    console.print(table)
    for reason in best.reasons:
        console.print(f"  {escape(str(reason))}", highlight=False)
    console.print_json(json.dumps(best.config.to_json()))
