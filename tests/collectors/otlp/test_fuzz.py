"""Whatever comes, the receiver takes it in or refuses it, and keeps what is good.

A few thousand changed requests in the suite, many more in the slow run::

    python -m pytest -m slow tests/collectors/otlp/test_fuzz.py --log-cli-level=INFO

A failure names the number of its case; ``check(number)`` does that one again.
"""

from __future__ import annotations

import json
import logging
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from autorag.errors import PayloadError
from autorag.stages import STAGES
from autorag.telemetry import OTHER_KINDS, REQUEST, Span
from collectors.otlp.body import JSON, PROTOBUF
from collectors.otlp.receive import Received, receive_logs, receive_metrics, receive_traces
from collectors.otlp.settle import settle
from tests.collectors.otlp import wire
from tests.collectors.otlp.mutations import (
    SIGNALS,
    body,
    changed,
    changed_json,
    compressed,
    deep,
    made_up,
    sent,
)
from tests.collectors.otlp.spans import arrived, encoded, kept, of_messages, source_of

SEED = 20261124
SUITE, SLOW = 3_000, 150_000
LONGEST_MESSAGE = 2_000

log = logging.getLogger(__name__)


def check(number: int) -> str:
    """Run one case; returns what came of it."""
    rng = random.Random(SEED * 1_000_000 + number)
    case = rng.choice((changed_bytes, changed_bytes, changed_tree, one_bad_record, well_formed))
    return f"{case.__name__}: {case(rng)}"


def changed_bytes(rng: random.Random) -> str:
    """A request that is changed anywhere, whatever that does to it."""
    signal, type_ = rng.choice(SIGNALS), rng.choice((PROTOBUF, JSON))
    data = changed(rng, body(signal, rng.randrange(4), type_))
    claimed = type_ if rng.random() < 0.95 else rng.choice((PROTOBUF, JSON))
    return taken_in(signal, *compressed(rng, data), claimed)


def changed_tree(rng: random.Random) -> str:
    """Valid JSON that is no valid request."""
    signal = rng.choice(SIGNALS)
    tree = changed_json(rng, json.loads(body(signal, rng.randrange(4), JSON)))
    return taken_in(signal, *compressed(rng, json.dumps(tree).encode()), JSON)


def one_bad_record(rng: random.Random) -> str:
    """A good request in which one span is changed: the others must be kept as they are."""
    spans = list(sent(rng.randrange(4)))
    number = rng.randrange(len(spans))
    good = spans[:number] + spans[number + 1 :]
    if rng.random() < 0.5:
        records = [s.message.SerializeToString() for s in spans]
        records[number] = deep(rng) if rng.random() < 0.1 else changed(rng, records[number])
        data, type_ = wire.request(*records), PROTOBUF
    else:
        tree = json.loads(encoded(of_messages([s.message for s in spans]), JSON))
        some = tree["resourceSpans"][0]["scopeSpans"][0]["spans"]
        some[number] = changed_json(rng, some[number])
        data, type_ = json.dumps(tree).encode(), JSON
    found = receive_traces(data, None, type_, source_of)
    assert_sound(found)
    expected = arrived(*good)
    others = [s for s in kept(found) if s in expected]
    assert others == expected
    assert len(kept(found)) - len(others) + found.rejected == 1
    return "rejected" if found.rejected else "kept"


def well_formed(rng: random.Random) -> str:
    """A request in which every span is well formed, and nothing that it says can be relied on."""
    message = made_up(rng)
    found = receive_traces(encoded(message, PROTOBUF), None, PROTOBUF, source_of)
    assert found == receive_traces(encoded(message, JSON), None, JSON, source_of)
    assert_sound(found)
    spans = message.resource_spans[0].scope_spans[0].spans
    assert len(kept(found)) == sum(0 < s.start_time_unix_nano < 2**63 for s in spans)
    return "accepted in part" if found.rejected else "accepted"


def taken_in(signal: str, data: bytes, encoding: str | None, type_: str) -> str:
    try:
        if signal == "metrics":
            assert receive_metrics(data, encoding, type_) >= 0
            return "accepted"
        receive = receive_traces if signal == "traces" else receive_logs
        found = receive(data, encoding, type_, source_of)
    except PayloadError as error:
        return "refused" if 0 < len(str(error)) < LONGEST_MESSAGE else "refused at length"
    assert_sound(found)
    return "accepted in part" if found.rejected else "accepted"


def assert_sound(found: Received) -> None:
    """What was received can be stored, and settles."""
    assert (found.message != "") >= (found.rejected > 0)
    assert len(found.message) < LONGEST_MESSAGE
    by_trace: dict[bytes, dict[bytes, Span]] = defaultdict(dict)
    for span in kept(found):
        assert_storable(span)
        by_trace[span.trace_id][span.span_id] = span
    for trace_id, spans in by_trace.items():
        stored = [
            s._replace(facts=msgspec.json.decode(msgspec.json.encode(s.facts)))
            for s in spans.values()
        ]
        trace = settle(trace_id, stored, cut=False)
        for observation in trace.observations:
            assert observation.stage in (*STAGES, REQUEST)
            assert math.isfinite(observation.value)
            assert -(2**63) <= observation.at < 2**63
            assert 0 < observation.confidence <= 1 <= observation.weight
            assert len(observation.metric) <= 80


def assert_storable(span: Span) -> None:
    assert (len(span.trace_id), len(span.span_id)) == (16, 8)
    assert any(span.trace_id)
    assert any(span.span_id)
    assert span.parent_id is None or (len(span.parent_id) == 8 and any(span.parent_id))
    assert span.kind in (*STAGES, *OTHER_KINDS)
    assert 0 < span.start_ns < 2**63
    assert span.duration_ns is None or 0 <= span.duration_ns < 2**63
    assert len(span.name) <= 120
    texts = [span.name, *words(span.facts)]
    assert all("\0" not in t and t.encode().decode() == t for t in texts)
    assert all(len(t) <= 120 for t in texts)
    assert msgspec.json.decode(msgspec.json.encode(span.facts)) == span.facts


def words(value: Any) -> Iterable[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from words(inner)


def check_all(numbers: Iterable[int]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for number in numbers:
        try:
            counts[check(number)] += 1
        except Exception as error:
            raise AssertionError(f"case {number} of seed {SEED}") from error
    return counts


def assert_all_sides_seen(counts: Counter[str]) -> None:
    """Neither everything nor nothing was refused, or the cases say little."""
    total = counts.total()
    for outcome in (
        "changed_bytes: refused",
        "changed_bytes: accepted",
        "changed_tree: refused",
        "changed_tree: accepted in part",
        "one_bad_record: rejected",
        "one_bad_record: kept",
        "well_formed: accepted",
    ):
        assert counts[outcome] > total / 100, counts
    assert not any(outcome.endswith("at length") for outcome in counts), counts


def test_changed_requests_are_taken_in_or_refused() -> None:
    assert_all_sides_seen(check_all(range(SUITE)))


@pytest.mark.slow
def test_very_many_changed_requests_are_taken_in_or_refused() -> None:
    begun = time.monotonic()
    counts = check_all(range(SUITE, SUITE + SLOW))
    assert_all_sides_seen(counts)
    log.info("%d cases in %.0f s: %s", SLOW, time.monotonic() - begun, dict(sorted(counts.items())))
