"""The job that tunes an app again, if anything changed since it was tuned last.

A result depends on the documents and queries, the objective, the space, the settings that it is
compared with, the machine, the models that the search asks, and how long it searches. When all of
these are what they were in the app's last study that ended, its result still holds, and nothing is
measured. That the app now runs with what that study recommended is no change: it is the answer that
the study gave.

Else the app is tuned as by a tune job, beginning with the configs that its earlier studies found
best. What a study of the same measured before it was interrupted is not measured again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.jobs import JobContext
from api.prepared import prepare
from api.strategies import models_asked
from api.tune_job import begin, search
from autorag.hashing import address
from autorag.workload import Workload
from collectors.hardware.identity import machine_fingerprint
from store.repositories import FinishedStudy

NEVER_TUNED = "never tuned"

SAID = {"budget_s": "budget", "default": "settings", "queries": "max_queries"}
"""Settings of a study that people know by another name."""


def run_retune(context: JobContext) -> Mapping[str, Any]:
    """Tune the app if anything changed, or when asked to in any case.

    Raises:
        InputError, MeasurementError, WorkCancelled: see :func:`api.tune_job.run_tune`.
    """
    work = begin(context, warm=True)
    settings = dict(prepare(work.workload, work.target, work.request, work.parts).settings)
    if work.target.hardware:
        settings["hardware"] = machine_fingerprint()
    models = models_asked(context.database, work.target, work.request)
    last = context.database.read(lambda session: session.studies.last_finished(work.app.id))
    if last is None:
        return search(context, work, {"retuned": True, "changed": [NEVER_TUNED]})
    changed = changes(last, work.workload, settings, models)
    if changed or context.job.arguments["force"]:
        return search(context, work, {"retuned": True, "changed": changed})
    return {"retuned": False, "why": _nothing(last, settings, models)}


def changes(
    last: FinishedStudy, workload: Workload, settings: Mapping[str, Any], models: int | None
) -> list[str]:
    """What is another than when the study began, by the names that people know it by.

    Args:
        settings: what beside workload and app makes two studies the same.
        models: version of the set of models that would be asked, None for none.
    """
    before = last.settings
    names = dict.fromkeys((*settings, *before))
    other = {n for n in names if address(before.get(n)) != address(settings.get(n))}
    found = _content(last.workload, workload, same_seed="seed" not in other)
    if found or "seed" in other:
        other.discard("queries")
    if settings["default"] == last.outcome["recommended"]["config"]:
        other.discard("default")
    if not _space_changed(before["space"], settings["space"]) and "default" in other:
        other.discard("space")
    found += [SAID.get(name, name) for name in names if name in other]
    asked = last.outcome.get("models")
    if None not in (asked, models) and asked != models:
        found.append("models")
    return found


def _content(last: Mapping[str, Any], workload: Workload, *, same_seed: bool) -> list[str]:
    """Which parts of the workload changed. Made-up queries follow from the documents and the seed,
    and what they were made of is not in the documents that are measured."""
    if last["hash"] == workload.hash_hex:
        return []
    if last["query_source"] != workload.query_source:
        return ["queries"]
    if workload.query_source == "pseudo":
        return ["documents"] if same_seed else []
    hashes = last.get("hashes")
    if hashes is None:
        return ["documents or queries"]
    now = workload.part_hashes
    return [name for name in now if hashes[name] != now[name]] or ["queries"]


def _space_changed(before: Sequence[Any], now: Sequence[Any]) -> bool:
    """Whether what may be varied is another."""
    varied = ([knob for knob in space if not _fixed(knob)] for space in (before, now))
    return len({address(knobs) for knobs in varied}) > 1


def _fixed(knob: Any) -> bool:
    """Whether a knob has one value, which is a setting then. (Older studies tell less of knobs.)"""
    return isinstance(knob, Mapping) and len(knob.get("values", ())) == 1


def _nothing(last: FinishedStudy, settings: Mapping[str, Any], models: int | None) -> str:
    names = ["documents", "queries", *(SAID.get(n, n) for n in settings if n != "queries")]
    same = names if models is None else [*names, "models"]
    why = f"nothing changed since study {last.id}: {', '.join(same)} are the same"
    adopted = settings["default"] != last.settings["default"]
    return f"{why} (settings: those that it recommended)" if adopted else why
