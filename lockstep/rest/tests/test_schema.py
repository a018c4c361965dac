"""The OpenAPI document: complete, valid, and the committed one."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

from lockstep.rest import schema_views
from lockstep.rest.problem_views import not_found
from lockstep.rest.problems import PROBLEMS
from lockstep.rest.schema_views import description

COMMITTED = Path(settings.BASE_DIR) / "docs" / "openapi.yaml"
METHODS = {"get", "post", "put", "patch", "delete"}
VALUES = {
    "{name}": "not-found",
    "{model}": "posts.post",
    "{object_id}": "7",
    "{number}": "7",
    "{post_number}": "7",
    "{key}": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b",
    "{tag}": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b",
}


@pytest.fixture(scope="module")
def made() -> dict:
    return description()


@pytest.fixture(scope="module")
def as_yaml(made: dict) -> bytes:
    return OpenApiYamlRenderer().render(made)


def test_the_committed_description_is_that_of_the_views(as_yaml: bytes):
    assert as_yaml.decode() == COMMITTED.read_text(), (
        "docs/openapi.yaml is not what the views say. Run `make schema`, and look at the difference."
    )


@pytest.mark.slow
def test_the_document_is_valid_and_made_without_warnings(made: dict):
    GENERATOR_STATS.reset()
    validate_schema(description())
    assert not GENERATOR_STATS._warn_cache
    assert not GENERATOR_STATS._error_cache
    assert made["openapi"].startswith("3.1.")


def test_every_route_is_in_it_with_all_its_methods(made: dict):
    there = {(route, method) for route, pattern in _patterns(get_resolver()) for method in _methods(pattern)}
    described = {
        (resolve(_filled(path)).route, method) for path, item in made["paths"].items() for method in METHODS & set(item)
    }
    assert described == there
    assert len(there) > 50


def test_every_path_answers_with_and_without_its_slash(made: dict):
    for path in map(_filled, made["paths"]):
        assert path.endswith("/")
        assert resolve(path).route == resolve(path.removesuffix("/")).route != ""


def test_every_operation_has_a_name_a_system_and_a_summary(made: dict):
    operations = [one for item in made["paths"].values() for one in item.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names)
    assert {tag for one in operations for tag in one["tags"]} == {tag["name"] for tag in made["tags"]}
    assert all(one["summary"] and "`GET`" not in one["summary"] for one in operations)


def test_every_problem_is_an_example(made: dict):
    shown = {
        name
        for response in made["components"]["responses"].values()
        for name in response["content"]["application/problem+json"]["examples"]
    }
    assert shown == {name for name, problem in PROBLEMS.items() if problem.status not in (405, 500)}


def test_examples_match_their_schemas(made: dict):
    schemas = made["components"]["schemas"]
    examples = [(name, one) for name, schema in schemas.items() for one in schema.get("examples", ())]
    assert len(examples) > 30
    for name, example in examples:
        jsonschema.validate(
            example,
            {"$ref": f"#/components/schemas/{name}", "components": made["components"]},
            format_checker=jsonschema.FormatChecker(),
        )


def test_every_request_body_has_an_example(made: dict):
    for item in made["paths"].values():
        for operation in item.values():
            for body in operation.get("requestBody", {}).get("content", {}).values():
                name = body["schema"]["$ref"].rpartition("/")[2]
                assert made["components"]["schemas"][name]["examples"], name


def test_operations_name_their_security_scheme(made: dict):
    paths = made["paths"]
    assert paths["/fakeapi/v1/posts/"]["get"]["security"] == [{"bearer": ["read"]}]
    assert paths["/fakeapi/v1/posts/create/"]["post"]["security"] == [{"bearer": ["write"]}]
    assert paths["/auth/"]["post"]["security"] == []
    assert all("security" in operation for item in paths.values() for operation in item.values())


def test_canonical_routes_come_first_and_have_the_plain_names(made: dict):
    old = [all(one.get("deprecated") for one in item.values()) for item in made["paths"].values()]
    assert old == sorted(old)
    assert any(old)
    assert made["paths"]["/api/v1/defects/"]["get"]["operationId"] == "list_defects"
    assert made["paths"]["/api/defects/"]["get"]["deprecated"]
    assert made["paths"]["/api/v1/auth/token/refresh/"]["post"]["deprecated"]
    assert not any("deprecated" in one for one in made["paths"]["/fakeapi/v1/posts/"].values())


def test_deprecated_operations_name_their_replacement(made: dict):
    paths, named = made["paths"], []
    for path, item in paths.items():
        for operation in item.values():
            instead = re.match(r"Deprecated: use `(?:([A-Z]+) )?(/\S+)`\.", operation.get("description", ""))
            assert bool(instead) is operation.get("deprecated", False), path
            if instead:
                method, new = instead[1], instead[2]
                assert not all(one.get("deprecated") for one in paths[new].values()), path
                assert method is None or not paths[new][method.lower()].get("deprecated"), path
                named.append((path, new))
    assert ("/api/order/", "/api/v1/orders/") in named
    assert ("/api/v1/auth/token/refresh/", "/api/v1/auth/refresh/") in named


def test_every_shared_component_is_used(made: dict):
    written = json.dumps(made)
    unused = [
        f"#/components/{kind}/{name}"
        for kind in ("headers", "parameters", "responses", "schemas")
        for name in made["components"][kind]
        if f'"#/components/{kind}/{name}"' not in written
    ]
    assert not unused


def test_optional_headers_have_no_value_that_a_page_would_send(made: dict):
    operations = [one for item in made["paths"].values() for one in item.values()]
    parameters = [*made["components"]["parameters"].values(), *(one for op in operations for one in op["parameters"])]
    headers = [one for one in parameters if one.get("in") == "header"]
    assert len(headers) > 10
    assert not [one["name"] for one in headers if {"example", "examples"} & one.keys() or "default" in one["schema"]]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/yaml"),
        ("application/vnd.oai.openapi", "application/vnd.oai.openapi"),
        ("application/json", "application/json"),
        ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
    ],
)
@pytest.mark.django_db
def test_the_document_needs_no_authentication(as_yaml: bytes, accept: str, content_type: str, slash: str):
    answer = Client().get(f"/api/schema{slash}", headers={"accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (200, content_type)
    if "json" in content_type:
        assert answer.json() == yaml.load(as_yaml, yaml.CSafeLoader)
    else:
        assert answer.content == as_yaml


@pytest.mark.django_db
def test_another_format_is_a_problem():
    answer = Client().get("/api/schema/", headers={"accept": "image/png"})
    assert (answer.status_code, answer["Content-Type"]) == (406, "application/problem+json")
    assert answer.json()["type"] == "/problems/not-acceptable"


@pytest.mark.parametrize("path", ["/api/schema/swagger-ui", "/api/schema/redoc"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.django_db
def test_pages_load_local_resources_only(path: str, slash: str):
    answer = Client().get(path + slash)
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "://" not in page
    assert "script-src" not in answer["Content-Security-Policy"]
    assert answer["Content-Security-Policy"].startswith("default-src 'self';")
    loaded = [name.removeprefix("/static/") for name in page.split('"') if name.startswith("/static/")]
    assert loaded
    assert all(map(finders.find, loaded)), loaded


BROWSER = """
const sources = [];
globalThis.location = { href: "http://here:8000/api/schema/redoc", origin: "http://here:8000" };
globalThis.Element = class { setAttribute(name, value) { sources.push(value); } };
globalThis.HTMLImageElement = class extends Element {
  set src(value) { sources.push(value); }
  get src() { return ""; }
};
require("vm").runInThisContext(require("fs").readFileSync(process.argv[1], "utf8"));
for (const value of ["https://cdn.redoc.ly/redoc/logo-mini.svg", "/static/logo.svg", "data:,"]) {
  const picture = new HTMLImageElement();
  picture.src = value;
  picture.setAttribute("src", value);
  new HTMLImageElement().setAttribute("alt", `${picture.hidden === true}`);
}
console.log(JSON.stringify(sources));
"""


@pytest.mark.needs("node")
def test_redoc_loads_no_remote_image():
    page = Client().get("/api/schema/redoc/").content.decode()
    assert page.index("api/redoc.js") < page.index("redoc.standalone.js")
    done = subprocess.run(
        ["node", "-e", BROWSER, str(finders.find("api/redoc.js"))], capture_output=True, text=True, check=True
    )
    here = ["/static/logo.svg", "/static/logo.svg", "false", "data:,", "data:,", "false"]
    assert json.loads(done.stdout) == ["true", *here]


def _patterns(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every route except those of pages and the last one, which matches everything else."""
    for pattern in resolver.url_patterns:
        here = str(pattern.pattern)
        route = before + here.removeprefix("^") if before else here
        if isinstance(pattern, URLResolver):
            if pattern.app_name not in ("admin", "home", "lockstep_console", "lockstep_owners"):
                yield from _patterns(pattern, route)
        elif pattern.callback is not not_found:
            yield route, pattern


def _methods(pattern: URLPattern) -> set[str]:
    view = pattern.callback.view_class
    return {method for method in METHODS & set(view.http_method_names) if hasattr(view, method)}


def _filled(path: str) -> str:
    for name, value in VALUES.items():
        path = path.replace(name, value)
    return path


def test_the_document_is_made_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch):
    """The first requests after a start come together, and what makes it is not for several threads."""
    inside, most = [0], [0]

    class Generator:
        def get_schema(self, **options: object) -> dict[str, Any]:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            never.wait(0.2)
            inside[0] -= 1
            return {}

    never = threading.Event()  # each stays for a while
    monkeypatch.setattr(schema_views, "SchemaGenerator", Generator)
    threads = [threading.Thread(target=schema_views.description) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
