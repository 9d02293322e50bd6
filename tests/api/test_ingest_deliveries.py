"""However a trace comes, it becomes the same observations."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collectors.otlp.body import JSON, PROTOBUF
from tests.api.exports import SPANS, a_trace, body, export, observed, stored
from tests.api.serving import Serving, bare_command, serving

Delivery = Callable[[str], list[list[Span]]]
"""The requests by which a trace comes."""

AT_ONCE = 20


def whole(name: str) -> list[list[Span]]:
    return [a_trace(name)]


def one_by_one(name: str) -> list[list[Span]]:
    return [[span] for span in a_trace(name)]


def children_first(name: str) -> list[list[Span]]:
    return [[span] for span in reversed(a_trace(name))]


def again_and_again(name: str) -> list[list[Span]]:
    """As by an exporter that tries again after answers that it did not get."""
    spans = a_trace(name)
    return [spans[2:], spans[2:], spans[:3], spans, spans[:3]]


def in_any_order(name: str) -> list[list[Span]]:
    spans = [*a_trace(name), *a_trace(name)]
    random.Random(name).shuffle(spans)
    return [spans[:4], spans[4:5], spans[5:]]


DELIVERIES = (whole, one_by_one, children_first, again_and_again, in_any_order)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A service to which everything was sent: one delivery after another, then many at once."""
    with serving(bare_command(tmp_path_factory.mktemp("deliveries"))) as running:
        with running.client() as client:
            for delivery in DELIVERIES:
                for type_ in (PROTOBUF, JSON):
                    for spans in delivery(f"{delivery.__name__} {type_}"):
                        assert export(client, body(spans, type_), type_).status_code == 200
            parts = [p for i in range(AT_ONCE) for p in again_and_again(f"at once {i}")]
            random.Random(1).shuffle(parts)
            with ThreadPoolExecutor(8) as threads:
                answers = threads.map(lambda part: export(client, body(part)), parts)
                assert {a.status_code for a in answers} == {200}
        running.wait_until_settled()
        yield running


@pytest.mark.parametrize("type_", [PROTOBUF, JSON])
@pytest.mark.parametrize("delivery", DELIVERIES)
def test_the_way_in_which_a_trace_comes_never_shows(
    service: Serving, delivery: Delivery, type_: str
) -> None:
    name = f"{delivery.__name__} {type_}"
    assert stored(service, name) == SPANS
    expected = observed(service, f"whole {PROTOBUF}")
    assert len(expected) > 20
    assert observed(service, name) == expected


def test_traces_that_come_at_once_do_not_mix(service: Serving) -> None:
    expected = observed(service, f"whole {PROTOBUF}")
    found = [observed(service, f"at once {i}") for i in range(AT_ONCE)]
    assert found == [expected] * AT_ONCE
