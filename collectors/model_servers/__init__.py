"""Model servers: what vLLM, llama.cpp and Ollama tell about themselves, in one form.

``scrape`` reads a page of metrics, ``server_stats`` says what happened between two pages, and
``generation_timing`` how an answer was timed.
"""

from collectors.model_servers.exposition import Page, parse_page
from collectors.model_servers.observations import Durations, GenerationTiming, Kind, ServerStats
from collectors.model_servers.servers import generation_timing, scrape, server_stats

__all__ = [
    "Durations",
    "GenerationTiming",
    "Kind",
    "Page",
    "ServerStats",
    "generation_timing",
    "parse_page",
    "scrape",
    "server_stats",
]
