"""Kill the service and its workers at random moments and between statements, under load: is
anything that was acknowledged lost, or there twice, and does any client see an error?

Protocol: ``autorag serve --workers 2`` on a fresh database, used by ``--clients`` clients in a
process of their own. They register apps, propose revisions, go back, freeze and thaw, acknowledge,
send observations, spans and manifests (whole and as deltas), measure suggested configs, queue and
cancel jobs, make and revoke keys, delete apps; one more has apps tuned through an HTTP evaluator.
What is not answered, or answered 429 or 503, is sent again, POSTs with the same idempotency key.

The service is killed with SIGKILL again and again: the server (70 % of the plans), a worker, or the
process of a job; two thirds at a point of its writing that the process counts itself (before a
statement of a transaction that writes, before or after a commit), one third at a uniform moment, of
the server's a fifth while it starts. Whatever was killed, the server is after that, and all is
started again on the same files and port. Leases of dead workers and pauses of failed jobs are cut
short, so that jobs run in every life.

Every ``--check-every`` kills and at the end the clients come to rest, the server is killed once
more, and the database must hold exactly what the clients were told: revisions numbered without
gaps, one of them active, what is delivered as the rules say, manifests, acknowledgements, trials,
keys, spans and batches of observations once each, one job for each that was accepted, tunes ended
with every trial once. The files must be sound (``integrity_check``, ``foreign_key_check``). At the
end the last requests that had a key are sent again and must be answered byte by byte as before. No
answer may be a 500 or hold the word "locked", no line of the log an error. Exit code 1 if anything
of this does not hold.

With ``--postgresql`` the database is a real PostgreSQL (the packaged one), which is not killed
itself; in ``--ended-connections`` of the lives it ends some of the service's connections.

    python -m benchmarks.service_crash --kills 200 --seed 1
    python -m benchmarks.service_crash --kills 30 --seed 2 --postgresql
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

from store.engine import sqlite_url
from tests.api.crashing.protocol import Disturb, Result, crash

WORKERS = 2


def main() -> int:
    arguments = parse_arguments()
    print(f"{arguments.kills} kills, {arguments.clients} clients, {WORKERS} workers, seed", end=" ")
    print(f"{arguments.seed}, {'PostgreSQL' if arguments.postgresql else 'SQLite'}")
    print(f"Python {platform.python_version()}, load average {os.getloadavg()[0]:.2f} on", end=" ")
    print(f"{os.cpu_count()} cores", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, database(arguments, Path(folder)) as url:
        result = crash(
            Path(folder) / "service",
            url,
            kills=arguments.kills,
            clients=arguments.clients,
            workers=WORKERS,
            seed=arguments.seed,
            check_every=arguments.check_every,
            say=lambda line: print(line, flush=True),
            disturb=ending(url, arguments.ended_connections) if arguments.postgresql else None,
        )
    tell(result, time.monotonic() - started)
    return int(bool(result.wrong))


def tell(result: Result, seconds: float) -> None:
    """The numbers."""
    print(f"\n{len(result.kills)} kills in {result.starts} lives, {seconds:.0f} s")
    for (role, where), count in sorted(Counter((k.role, k.where) for k in result.kills).items()):
        print(f"  {role:<7}{where:<42}{count:>4}")
    if result.disturbed:
        print(f"connections of the database that were ended: {result.disturbed}")
    answers = ", ".join(f"{what}: {count}" for what, count in sorted(result.answers.items()))
    print(f"answers to clients: {answers}")
    told = ", ".join(f"{count} {what}" for what, count in sorted(result.ledger.entries.items()))
    print(f"acknowledged: {told}")
    for line in result.wrong:
        print(f"WRONG {line}")
    print(f"{len(result.wrong)} violations in {result.checks} checks")


@contextmanager
def database(arguments: argparse.Namespace, folder: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if not arguments.postgresql:
        yield sqlite_url(folder / "service" / "home" / "autorag.db")
        return
    from tests.store.backends import start_postgres

    with start_postgres().database(migrated=False) as url:
        yield url


def ending(url: str, share: float) -> Disturb:
    """Has PostgreSQL end some connection of the service, in this share of the lives."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    theirs = text(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'autorag' "
        "AND datname = current_database() AND pid <> pg_backend_pid()"
    )

    def end_some(moments: random.Random) -> int:
        if moments.random() >= share:
            return 0
        with engine.connect() as connection:
            pids = sorted(connection.scalars(theirs))
            chosen = moments.sample(pids, min(len(pids), moments.randint(1, 4)))
            for pid in chosen:
                connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        time.sleep(moments.uniform(0, 1.0))
        return len(chosen)

    return end_some


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check-every", type=int, default=25, help="kills")
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--ended-connections", type=float, default=0.3)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
