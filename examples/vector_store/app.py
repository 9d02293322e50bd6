"""An app that searches Qdrant, which AutoRAG tunes by asking it to answer with other settings.

python examples/vector_store/app.py --docs notes/

and then, with questions whose relevant documents are known,

autorag tune --docs notes/ --queries questions.jsonl --evaluator http://127.0.0.1:8400 --space …

``POST /evaluate`` answers questions with the settings that come along, and tells what each stage
took; ``POST /ask {"question"}`` answers with the app's own, which come from the service when
``AUTORAG_URL`` and ``AUTORAG_KEY`` are set; ``GET /settings`` shows them.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from client.autorag_client import Client
from parts.json_server import json_server
from passages import Found, Passages, Settings, read_documents

SPACE = json.loads(Path(__file__).with_name("space.json").read_text(encoding="utf-8"))
DEFAULTS = {knob["name"]: knob["default"] for knob in SPACE["knobs"]}


def main() -> None:
    args = command_line()
    documents = read_documents(args.docs)
    passages = Passages(documents)

    def build(settings: Settings) -> None:
        passages.collection(settings)

    client = own_client(args.name, build)

    def settings() -> Settings:
        return DEFAULTS if client is None else client.settings

    def ask(body: dict[str, Any]) -> dict[str, Any]:
        found = passages.search(body["question"], settings())
        return {"passages": [p.payload for p in found.points], "stage_ms": found.stage_ms}

    build(settings())
    routes = {
        "POST /evaluate": lambda body: evaluate(passages, body),
        "POST /ask": ask,
        "GET /settings": lambda _: dict(settings()),
    }
    with client or nullcontext(), json_server(args.host, args.port, routes) as server:
        if client is not None:
            client.send_documents({d.id: digest(d.title + "\n" + d.text) for d in documents})
        print(f"answering at http://{args.host}:{server.server_port}", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def evaluate(passages: Passages, body: Mapping[str, Any]) -> dict[str, Any]:
    """What AutoRAG needs to judge a config: the ids of what was found, and what it took."""
    config = body["config"]
    collection = passages.collection(config)
    first = config["prompt.passages"]
    found = [(query["id"], passages.search(query["question"], config)) for query in body["queries"]]
    return {
        "results": [result(id_, answer, first) for id_, answer in found],
        "memory_mb": collection.bytes / 1e6,
        "build_s": collection.build_s,
    }


def result(query: str, found: Found, first: int) -> dict[str, Any]:
    return {
        "id": query,
        "doc_ids": [p.payload["doc"] for p in found.points],
        "scores": [p.score for p in found.points],
        "stage_ms": found.stage_ms,
        "context_tokens": sum(p.payload["tokens"] for p in found.points[:first]),
    }


def own_client(name: str, build: Callable[[Settings], None]) -> Client | None:
    """The service's settings for this app, when it is told where they are."""
    url, key = os.environ.get("AUTORAG_URL"), os.environ.get("AUTORAG_KEY")
    if not url or not key:
        return None
    return Client(url, name, key, defaults=DEFAULTS, on_change=build)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="An app that searches Qdrant.")
    parser.add_argument("--docs", type=Path, required=True, help="as for autorag tune")
    parser.add_argument("--name", default="passages", help="of the app at the service")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8400)
    return parser.parse_args()


def stop(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    main()
