"""The service's own description: whole, valid, and true to the routes that there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from api.app import ROUTERS, create_app
from api.http.metrics import Metrics

ROUTES = {
    "/v1/apps": "GET POST",
    "/v1/apps/{app}": "DELETE GET PATCH",
    "/v1/apps/{app}/workload": "PUT",
    "/v1/apps/{app}/hardware": "PUT",
    "/v1/recommend": "POST",
    "/v1/apps/{app}/settings": "GET",
    "/v1/apps/{app}/acks": "GET POST",
    "/v1/apps/{app}/revisions": "GET POST",
    "/v1/apps/{app}/revisions/{number}/rollback": "POST",
    "/v1/apps/{app}/freeze": "POST",
    "/v1/apps/{app}/observations": "POST",
    "/v1/traces": "POST",
    "/v1/metrics": "POST",
    "/v1/logs": "POST",
    "/v1/apps/{app}/documents": "PUT",
    "/v1/apps/{app}/restarts": "GET POST",
    "/v1/apps/{app}/restarts/{restart}": "GET",
    "/v1/apps/{app}/restarts/{restart}/approve": "POST",
    "/v1/apps/{app}/restarts/{restart}/cancel": "POST",
    "/v1/apps/{app}/restarts/{restart}/acks": "POST",
    "/v1/apps/{app}/suggestions": "POST",
    "/v1/apps/{app}/trials/{trial}/result": "POST",
    "/admin/v1/jobs": "GET POST",
    "/admin/v1/jobs/{job}": "DELETE GET",
    "/admin/v1/jobs/{job}/retry": "POST",
    "/admin/v1/models": "GET",
    "/admin/v1/models/{version}/promote": "POST",
    "/admin/v1/models/{version}/rollback": "POST",
    "/admin/v1/schedules": "GET POST",
    "/admin/v1/schedules/{schedule}": "DELETE PATCH",
    "/admin/v1/keys": "GET POST",
    "/admin/v1/keys/{key}": "DELETE",
    "/healthz": "GET",
    "/readyz": "GET",
    "/metrics": "GET",
    "/": "GET",
}
OPEN = {"healthz", "readyz", "metrics"}
"""Operations that need no key."""

WITHOUT_BODY = {"204", "304"}


def _never() -> Any:
    raise AssertionError("describing needs no running service")


DOCUMENT = create_app(_never, Metrics()).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
each_operation = pytest.mark.parametrize("name", OPERATIONS)


def test_the_document_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert list(jsonschema.Draft202012Validator(OPENAPI_31).iter_errors(DOCUMENT)) == []
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere() -> None:
    for reference in _references(DOCUMENT):
        assert _resolved(reference) is not None


def test_it_describes_every_route_and_no_other() -> None:
    found = {
        path: " ".join(sorted(method.upper() for method in item))
        for path, item in DOCUMENT["paths"].items()
    }
    assert found == ROUTES
    assert {route.path for router in ROUTERS for route in router.routes} == set(ROUTES)


def test_operation_ids_are_there_once() -> None:
    ids = [operation.get("operationId") for operation in OPERATIONS.values()]
    assert all(ids)
    assert len(set(ids)) == len(ids)


@each_operation
def test_an_operation_says_what_it_does(name: str) -> None:
    assert OPERATIONS[name]["description"].endswith((".", ")"))


@each_operation
def test_an_operation_says_who_may(name: str) -> None:
    operation = OPERATIONS[name]
    if operation["operationId"] in OPEN:
        assert "security" not in operation
        assert "401" not in operation["responses"]
        return
    schemes = {scheme for choice in operation["security"] for scheme in choice}
    assert "key" in schemes
    assert schemes <= set(DOCUMENT["components"]["securitySchemes"])
    assert {"401", "403"} <= set(operation["responses"])
    assert "WWW-Authenticate" in operation["responses"]["401"]["headers"]


@each_operation
def test_every_answer_has_a_meaning_and_a_schema(name: str) -> None:
    answers = OPERATIONS[name]["responses"]
    assert any(status.startswith("2") for status in answers)
    assert "500" in answers
    for status, answer in answers.items():
        assert answer["description"], status
        if status not in WITHOUT_BODY:
            assert answer["content"], status
            assert all(content["schema"] for content in answer["content"].values()), status
        if status in ("429", "503"):
            assert "Retry-After" in answer["headers"]


@each_operation
def test_every_parameter_has_an_example_or_a_default(name: str) -> None:
    for parameter in OPERATIONS[name].get("parameters", ()):
        schema = parameter["schema"]
        assert "default" in schema or schema["examples"], parameter["name"]
        for example in schema.get("examples", ()):
            _validate(example, schema)


@each_operation
def test_every_body_has_an_example_that_is_valid(name: str) -> None:
    body = OPERATIONS[name].get("requestBody")
    if body is None:
        return
    content = body["content"]["application/json"]
    examples = [content["example"]] if "example" in content else _examples(content["schema"])
    assert examples
    for example in examples:
        _validate(example, content["schema"])


@each_operation
def test_links_lead_to_operations_with_such_parameters(name: str) -> None:
    by_id = {operation["operationId"]: operation for operation in OPERATIONS.values()}
    for answer in OPERATIONS[name]["responses"].values():
        for link in answer.get("links", {}).values():
            taken = {p["name"] for p in by_id[link["operationId"]]["parameters"]}
            assert set(link["parameters"]) <= taken


def _examples(schema: dict[str, Any]) -> list[Any]:
    """Examples of a body, which may be optional."""
    if "$ref" in schema:
        return _examples(_resolved(schema["$ref"]))
    if "examples" in schema:
        return list(schema["examples"])
    return [example for choice in schema.get("anyOf", ()) for example in _examples(choice)]


def _validate(value: Any, schema: dict[str, Any]) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)


def _resolved(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found
