"""``autorag worker``, and the same as a child of the service:

python -m api.cli.worker PARENT
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from api.logs import set_up_logging
from api.settings import Settings
from api.wiring import make_parts
from api.worker import NICENESS, Worker
from autorag.errors import AutoragError, InputError
from collectors.child import THREAD_VARIABLES
from collectors.trial_process import die_with_parent
from store.engine import check_url


def run_worker(database: str | None) -> None:
    """Run jobs until a signal comes; the one that runs then is queued again.

    Raises:
        InputError: settings or URL that cannot be used.
        StoreError: the database cannot be opened.
    """
    settings = Settings.from_environment()
    if database is not None:
        settings = settings.model_copy(update={"db": database})
    make_parts(settings, seed=0)
    check_url(settings.database_url)
    set_up_logging(settings)
    os.nice(NICENESS)
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, "1")
    stop = threading.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        # Setting an event may wait for a lock that the interrupted code holds: not in a handler.
        signal.signal(ending, lambda *_: threading.Thread(target=stop.set).start())
    Worker(settings, settings.database_url).run(stop)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    try:
        run_worker(None)
    except AutoragError as error:
        sys.stderr.write(f"autorag worker: {error}\n")
        raise SystemExit(2 if isinstance(error, InputError) else 1) from None
