"""Asking a model server: its page of metrics, and what two pages or an answer tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autorag.errors import InputError, MeasurementError
from autorag.ports import Clock, SystemClock
from collectors.model_servers import llama_cpp, ollama, vllm
from collectors.model_servers.exposition import Page, Window, parse_page
from collectors.model_servers.observations import GenerationTiming, Kind, ServerStats

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 5.0
STATS = {"vllm": vllm.server_stats, "llama.cpp": llama_cpp.server_stats}
PREFIXES = {"vllm": vllm.PREFIX, "llama.cpp": llama_cpp.PREFIX}
TIMINGS = {
    "vllm": vllm.generation_timing,
    "llama.cpp": llama_cpp.generation_timing,
    "ollama": ollama.generation_timing,
}


def scrape(url: str, server: Kind, client: httpx2.Client, clock: Clock | None = None) -> Page:
    """Read a server's page of metrics once.

    Args:
        url: of the server, without a path: ``http://127.0.0.1:8000``.

    Raises:
        InputError: such a server has no page.
        MeasurementError: it could not be read; says why.
    """
    import httpx2

    if server not in STATS:
        raise InputError(f"{server} has no page of metrics", key="server", value=server)
    page = f"{url.rstrip('/')}/metrics"
    try:
        answer = client.get(page, timeout=TIMEOUT_S)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise MeasurementError(f"{server} {page}: {str(error) or type(error).__name__}") from error
    if answer.status_code != 200:
        raise MeasurementError(f"{server} {page}: {answer.status_code}: {answer.text[:200]}")
    try:
        found = parse_page(answer.text, server, (clock or SystemClock()).monotonic())
    except ValueError as error:
        raise MeasurementError(f"{server} {page}: not a page of metrics: {error}") from error
    if not any(name.startswith(PREFIXES[server]) for name in found.series):
        raise MeasurementError(f"{server} {page}: no metric {PREFIXES[server]}…")
    return found


def server_stats(later: Page, earlier: Page | None = None) -> ServerStats:
    """What a server did between two of its pages, or since it started.

    Raises:
        InputError: the pages are the wrong way round.
    """
    return STATS[later.server](Window.between(later, earlier))


def generation_timing(server: Kind, answer: Mapping[str, Any]) -> GenerationTiming:
    """How a server timed one answer: the decoded JSON, in a stream that of its last piece."""
    return TIMINGS[server](answer)
