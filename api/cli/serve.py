"""``autorag serve``."""

from __future__ import annotations

import gc
import signal
import socket
from contextlib import AbstractAsyncContextManager

from rich.console import Console

from api.app import create_app
from api.auth import MadeKey, establish_admin_key
from api.http.metrics import Metrics
from api.http.middleware import guarded
from api.http.server import BACKLOG, make_server
from api.logs import set_up_logging
from api.service import Service, running_service
from api.settings import Settings
from api.supervisor import workers
from api.wiring import make_parts
from autorag.errors import InputError
from collectors.counters import capabilities
from collectors.hardware import read_identity
from collectors.hardware.identity import machine_fingerprint
from collectors.hardware.profile import profile_path, read_profile
from store.database import Database, Session
from store.engine import check_url, open_database, open_telemetry
from store.hosts import HostRepository
from store.keys import KeyRepository

SHUTDOWN_S = 7
"""How long requests may take when the service stops; `docker stop` kills it after ten seconds."""

PRUNE_CRON = "17 3 * * *"
"""When what is old is deleted, unless an operator says otherwise."""

COLLECT_AFTER = 50_000, 20, 50
"""Cyclic garbage is looked for this seldom: spans and rows, made by the thousand, have none."""


def run_serve(host: str, port: int, database: str | None, count: int | None) -> None:
    """Serve until a signal comes; what was accepted is finished first.

    Args:
        count: worker processes for jobs; as the settings say when None.

    Raises:
        InputError: the address cannot be used.
        StoreError: the database cannot be opened.
    """
    settings = Settings.from_environment()
    if database is not None:
        check_url(database)
        settings = settings.model_copy(update={"db": database})
    if count is not None:
        settings = settings.model_copy(update={"workers": count})
    parts = make_parts(settings, seed=0)
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    fingerprint = machine_fingerprint()
    metrics = Metrics()

    def running() -> AbstractAsyncContextManager[Service]:
        return running_service(settings, fingerprint, parts.clock)

    set_up_logging(settings)
    app = create_app(running, metrics)
    served = guarded(app, settings, metrics, lambda: app.state.service.callers)
    supervisor = workers(settings)

    def stop() -> None:
        supervisor.stop()
        app.state.service.watch.stop()

    with _listening(host, port) as listener:
        made = _prepared(settings)
        server = make_server(served, on_stop=stop, shutdown_s=SHUTDOWN_S)
        for ending in (signal.SIGINT, signal.SIGTERM):
            # The server catches them while it runs, and raises them again when it has ended.
            signal.signal(ending, server.handle_exit)
        _announce(console, _url(listener), made)
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        with supervisor:
            server.run(sockets=[listener])


def _prepared(settings: Settings) -> MadeKey | None:
    """See to the admin key, and that both databases open before anything is told. This machine is
    recorded when its profile is remembered: telemetry from it names it."""
    parts = make_parts(settings, seed=0)
    open_telemetry(settings.database_url).dispose()
    engine = open_database(settings.database_url)
    try:
        identity, _ = read_identity()
        profile = read_profile(profile_path(settings.home, identity))
        if profile is not None:
            HostRepository(engine, parts.clock).record(profile, capabilities())
        Database(engine, parts.clock).write(_keep_pruning)
        return establish_admin_key(settings, KeyRepository(engine, parts.clock))
    finally:
        engine.dispose()


def _keep_pruning(session: Session) -> None:
    """See to it that what is old is deleted: by a schedule, which can be changed or disabled."""
    if all(schedule.kind != "prune" for schedule in session.schedules.all()):
        session.schedules.add("prune", None, {}, PRUNE_CRON)


def _listening(host: str, port: int) -> socket.socket:
    """The listening socket, made here so that an address in use is an error of the input."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise InputError(
            f"--host {host} --port {port}: {error.strerror or error}", key="port", value=port
        ) from error


def _url(listener: socket.socket) -> str:
    address, port = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    return f"http://{shown}:{port}"


def _announce(console: Console, url: str, made: MadeKey | None) -> None:
    console.print(f"AutoRAG listens on {url}")
    if made is not None:
        console.print(f"admin key, shown once: {made.key}")
        console.print(f"it is also in {made.path}, which only you can read")
    console.print(
        "send OTLP there: "
        f"OTEL_EXPORTER_OTLP_ENDPOINT={url} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf "
        'OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20KEY"'
    )
