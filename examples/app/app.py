"""A RAG app that gets its settings from AutoRAG while it runs, and reports to it.

AUTORAG_URL=http://127.0.0.1:8300 AUTORAG_ADMIN_KEY=… python examples/app/app.py --docs notes/

``POST /ask {"question"}`` answers with ranked contexts, and an answer where a generator is
installed; ``POST /reload`` reads the documents again; ``GET /settings`` shows what it runs with.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

import httpx2
from client.autorag_client import Client, Refused, register
from parts.json_server import json_server
from rag import Rag
from tracing import Tracing

from autorag.errors import AutoragError

DEFAULT_URL = "http://127.0.0.1:8300"
START_S = 30


def main() -> None:
    args = command_line()
    url = os.environ.get("AUTORAG_URL", DEFAULT_URL)
    key = app_key(url, args.name, args.home / f"{args.name}.key")
    rag = Rag(args.docs, args.home, answers=not args.no_answers)
    client = Client(
        url,
        args.name,
        key,
        args.instance,
        defaults=rag.defaults(),
        on_change=rag.apply,
        state_dir=args.home / "state",
    )
    begin(rag, client)
    tracing = Tracing(url, key, args.name, client.instance)

    def ask(body: dict[str, Any]) -> dict[str, Any]:
        return rag.ask(body["question"], tracing.tracer(client.revision))

    def reload(_: dict[str, Any]) -> dict[str, Any]:
        rag.reload()
        client.send_documents(rag.manifest())
        return {"documents": len(rag.manifest())}

    def settings(_: dict[str, Any]) -> dict[str, Any]:
        return {
            "instance": client.instance,
            "revision": client.revision,
            "settings": dict(client.settings),
            "pending": dict(client.pending),
        }

    routes = {"POST /ask": ask, "POST /reload": reload, "GET /settings": settings}
    with client, json_server(args.host, args.port, routes) as server:
        client.send_documents(rag.manifest())
        print(f"answering at http://{args.host}:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            tracing.close()
            rag.close()


def begin(rag: Rag, client: Client) -> None:
    """Build before the first question. Settings that were kept may be of another version of this
    app; the service has news then."""
    try:
        rag.apply(client.settings)
    except AutoragError as error:
        print(f"starting with the defaults: {error}", file=sys.stderr)
        rag.apply(rag.defaults())


def app_key(url: str, name: str, file: Path) -> str:
    """The app's key: that of ``AUTORAG_KEY``; that of an earlier start; that of registering now."""
    if key := os.environ.get("AUTORAG_KEY"):
        return key
    if file.is_file():
        return file.read_text(encoding="utf-8")
    admin_key = os.environ.get("AUTORAG_ADMIN_KEY")
    if admin_key is None:
        sys.exit("AUTORAG_KEY is not set, and neither is AUTORAG_ADMIN_KEY to register with")
    key = registered(url, admin_key, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(key, encoding="utf-8")
    return key


def registered(url: str, admin_key: str, name: str) -> str:
    """Register; the service may be starting too."""
    for _ in range(START_S):
        try:
            return register(url, admin_key, name)
        except httpx2.ConnectError:
            time.sleep(1)
        except Refused as error:
            sys.exit(f"cannot register: {error}")
    sys.exit(f"cannot register: nobody answers at {url}")


def command_line() -> argparse.Namespace:
    home = os.environ.get("AUTORAG_HOME", "~/.local/share/autorag")
    parser = argparse.ArgumentParser(description="A RAG app that AutoRAG configures.")
    parser.add_argument("--docs", type=Path, required=True, help="as for autorag tune")
    parser.add_argument("--name", default="example", help="of the app")
    parser.add_argument("--instance", help="of this process (default: made of host and process)")
    parser.add_argument("--home", type=Path, default=Path(home).expanduser(), help="for artifacts")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8310)
    parser.add_argument("--no-answers", action="store_true", help="rank contexts only")
    return parser.parse_args()


def stop(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    main()
