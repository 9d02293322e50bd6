"""A service that is told to stop: who waits is answered, jobs are given back, nobody is left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.api.command import Command, write_workload
from tests.api.loopback import until
from tests.api.serving import WITHIN_S, Serving, serving
from tests.api.test_worker import evaluating, searching_app
from tests.api.working import TINY, Place, place_of


@pytest.fixture
def place(autorag: Command, tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "data" / "docs").mkdir(parents=True)
    write_workload(tmp_path / "data" / "docs")
    with place_of(autorag, tmp_path / "data") as place:
        yield place


def poll(service: Serving) -> httpx2.Response:
    """Wait for news of the app."""
    with service.client() as client:
        url = "/v1/apps/shop/settings"
        tag = client.get(url).headers["etag"]
        return client.get(url, params={"wait": 60}, headers={"If-None-Match": tag})


def test_it_answers_those_who_wait_and_gives_its_job_back(place: Place) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        asked.set()
        go_on.wait(WITHIN_S)

    environment = place.environment()
    chosen = {n: environment[n] for n in ("AUTORAG_DATA_DIR", "AUTORAG_ALLOWED_NETWORKS")}
    with evaluating(place, hang, go_on.is_set) as evaluator, ThreadPoolExecutor(1) as pool:
        job = place.enqueue("tune", searching_app(place, evaluator), **TINY)
        with serving(place.command, "--workers", 1, environment=chosen) as service:
            assert asked.wait(WITHIN_S), place.said()
            polling = pool.submit(poll, service)
            metrics = f"{service.url}/metrics"
            until(lambda: "autorag_long_polls 1.0" in httpx2.get(metrics).text)
            assert service.end() == 0
        go_on.set()
        assert polling.result().status_code == 304
    given_back = place.job(job.id)
    assert (given_back.state, given_back.attempts) == ("queued", 0)
    assert place.left() == []
