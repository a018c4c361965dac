"""Whatever the description allows, and much that it does not, is answered as the description says.

Each case is a request against the application in this process, rolled back after it: an account may be deleted, and is
there for the next one. Where a case asks for some object, every other one gets one that there is.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from django.db import transaction
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.python._constants.orchestrator import make_constants_value_source
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lockstep.rest.handler import Handler
from tests.schema_fixtures import SchemaFixtures, description
from tests.security.strangers import CASES, MAX_ERROR_BYTES, SEED, Metered, Tally, least_cpu

CASES_OF_EACH = 5  # generated cases of each operation in the short form, beside the systematic ones
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
]  # and response_schema_conformance, but for the description itself: it takes a while to read, and is any object


def described() -> Any:
    """The committed description, in which answers have no members but those that are described."""
    raw = deepcopy(description())
    for name, schema in raw["components"]["schemas"].items():
        if not name.endswith("Request") and "properties" in schema:
            schema["additionalProperties"] = False
    schema = schemathesis.openapi.from_dict(raw)
    schema.app = Metered(Handler())
    schema.config.generation.update(with_security_parameters=False)
    return schema


load_all_checks()
SchemathesisConfig.shared_seed = SEED  # of the long form; the short one is always the same
schema = described()
OPERATIONS = [found.ok() for found in schema.get_all_operations()]

common = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
short = hypothesis_settings(max_examples=CASES_OF_EACH, derandomize=True, **common)
long = hypothesis_settings(max_examples=max(1, CASES // len(OPERATIONS)), **common)
tally = Tally()  # of all operations


each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)


@each_operation
def test_every_operation_answers_as_described(operation: APIOperation, fixtures: SchemaFixtures):
    explore(operation, fixtures, short)


@pytest.mark.faults
@each_operation
def test_every_operation_answers_as_described_at_length(operation: APIOperation, fixtures: SchemaFixtures):
    explore(operation, fixtures, long)
    tally.report()


def explore(operation: APIOperation, fixtures: SchemaFixtures, extent: hypothesis_settings) -> None:
    """All cases of one operation; they are not all refused: at least once it did what it is for.

    What `schema.parametrize()` does, but cases are made when their test runs, and not in each process at its start.
    """

    @extent
    def each(case: schemathesis.Case) -> None:
        ask(case, fixtures)

    constants = FeedbackSources(constants_value_source=make_constants_value_source(schema))
    explored = build_operation_test(
        config=schema.config,
        operation=operation,
        test_func=each,
        given_kwargs={},
        feedback=constants,
    )
    explored()
    # Whatever was generated, what asks for no more than it must is answered.
    if operation.method.upper() == "GET" and not any(one.is_required for one in operation.query):
        ask(operation.Case(path_parameters={one.name: "" for one in operation.path_parameters}), fixtures)
    assert any(status < 400 for status in fixtures.answered), "each case was refused"


def ask(case: schemathesis.Case, fixtures: SchemaFixtures) -> None:
    """Sends the case and holds the answer against the description; nothing of it stays."""
    case.path_parameters = {**(case.path_parameters or {}), **_known(fixtures.path, case.path, case.path_parameters)}
    if isinstance(case.body, dict) and len(repr(case.body)) % 2:
        names = (case.path, f"{case.method} {case.path}")
        case.body = next((value for path, value in fixtures.body.items() if f"{path}/" in names), case.body)
    if case.headers and len(case.headers.get("If-Match", ".")) % 2 == 0:
        case.headers["If-Match"] = "*"
    response = send_and_undo(case, fixtures)
    cpu = least_cpu(schema.app.cpu, lambda: cpu_of(case, fixtures), request=case)
    error_bytes = len(response.content) if response.status_code >= 400 else 0
    assert error_bytes <= MAX_ERROR_BYTES, error_bytes
    tally.count(case.operation.label, cpu=cpu, error_bytes=error_bytes)
    name = case.operation.definition.raw["operationId"]
    fixtures.answered.add(response.status_code)
    assert not undescribed_headers(case, response), (name, response.status_code)
    case.validate_response(response, checks=CHECKS if name == "get_schema" else [*CHECKS, response_schema_conformance])


def cpu_of(case: schemathesis.Case, fixtures: SchemaFixtures) -> float:
    """Seconds that sending the case costs; nothing of it stays."""
    send_and_undo(case, fixtures)
    return schema.app.cpu


def send_and_undo(case: schemathesis.Case, fixtures: SchemaFixtures) -> Any:
    with transaction.atomic():
        response = case.call(headers={"Authorization": f"Bearer {fixtures.token}"})
        transaction.set_rollback(True)
    return response


# Those that say something of an answer; all others are HTTP's own, or tell browsers to keep off.
TELLING = {
    *("age", "etag", "idempotent-replayed", "link", "ratelimit", "ratelimit-policy", "retry-after"),
    *("www-authenticate", "x-count", "x-request-id", "x-total-count"),
}


def undescribed_headers(case: schemathesis.Case, response: Any) -> set[str]:
    """The headers of an answer that its status is not described with."""
    described = case.operation.definition.raw["responses"].get(str(response.status_code))
    if described is None:  # 405 and 500, which any operation may answer
        return set()
    if "$ref" in described:
        described = schema.raw_schema["components"]["responses"][described["$ref"].rpartition("/")[2]]
    return (TELLING & {name.lower() for name in response.headers}) - {name.lower() for name in described["headers"]}


def _known(all_known: Mapping[str, Any], path: str, generated: Mapping[str, object] | None) -> dict[str, object]:
    known = next((value for prefix, value in all_known.items() if path.startswith(prefix)), {})
    return {
        name: value
        for name, value in known.items()
        if name in (generated or {}) and _is_any_of_its_kind((generated or {})[name])
    }


def _is_any_of_its_kind(value: object) -> bool:
    """Whether some value was meant, whatever it is, every other time."""
    if isinstance(value, int):
        return value % 2 == 0
    try:
        return UUID(str(value)).int % 2 == 0
    except ValueError:
        return len(str(value)) % 2 == 0
