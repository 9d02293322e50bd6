"""What surrounds the routes: the server, limits, callers, idempotency, waiting for news."""
