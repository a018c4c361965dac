"""Every regular expression that reads a stranger's text takes time in proportion to it.

They are found by themselves: what modules and classes of ours hold, what the routes are matched with, what fields are
validated with. Each is tried on texts of its own letters, in a process of its own with a limit of CPU time.
"""

import importlib
import json
import os
import pkgutil
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache

import django
import pytest
from django.core.validators import RegexValidator
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework import serializers

import backend
import lockstep
from lockstep.rest.middleware import MAX_PATH
from lockstep.rest.serializers import StrictSerializer
from tests.acceptance.running import ROOT
from tests.security.strangers import Sent, Server

SIZE = 64 * 1024
MAX_SECONDS = 0.3  # of CPU for one text: a linear pattern takes some milliseconds, one that takes the square seconds
MAX_CPU_SECONDS = 120  # of all of them: one that never ends ends here
LEFT_OUT = (
    ".tests",
    ".migrations",
    ".generated",
    "__main__",
    ".wsgi",
    ".asgi",
)
OF_OUR_OWN_FILES = {
    f"lockstep.sql.{name}" for name in ("NAME", "DESCRIPTION", "COMMENT", "PART", "INCLUDE")
}  # read no stranger's text
# What patterns are made of, and what they are slow on: repetitions that could begin in many places.
USUAL = (
    "a",
    "A",
    "0",
    " ",
    "\t",
    "\n",
    ":",
    "/",
    "//",
    "://",
    "@",
    ".",
    "..",
    "-",
    "_",
    ",",
    ", ",
    '"',
    "\\",
    '\\"',
    '""',
)
USUAL += (
    "W/",
    'W/"a"',
    '"a",',
    "eyJ",
    "eyJ-",
    "eyJaaaaaaaa-",
    "bearer ",
    "lsk_",
    "whsec_",
    "://a:",
    "password",
    "{",
    "}",
    "[",
)
USUAL += (
    "0.",
    ".0",
    "0e",
    "1:1:",
    "1,",
    "\u0301",
    "\u00e9",
    "\\u0000",
    "a.a",
    "a@a.",
    "0-",
    "aaaaaaaa-",
    "%00",
    "; ",
    "=",
)


METHODS: dict[str, Callable[[re.Pattern, str | bytes], object]] = {
    "search": lambda pattern, text: pattern.search(text),
    "match": lambda pattern, text: pattern.match(text),
    "fullmatch": lambda pattern, text: pattern.fullmatch(text),
    "sub": lambda pattern, text: pattern.sub(text[:0], text),
    "findall": lambda pattern, text: pattern.findall(text),
    "finditer": lambda pattern, text: sum(1 for _ in pattern.finditer(text)),
    "split": lambda pattern, text: pattern.split(text),
}


def patterns() -> dict[str, re.Pattern]:
    """Every regular expression by its name."""
    found = dict(_of_modules())
    found |= {f"route {name}": pattern for name, pattern in _of_routes(get_resolver())}
    found |= dict(_of_fields())
    return {name: pattern for name, pattern in found.items() if name not in OF_OUR_OWN_FILES}


def _of_modules() -> Iterator[tuple[str, re.Pattern]]:
    packages = [
        *pkgutil.walk_packages(lockstep.__path__, "lockstep."),
        *pkgutil.walk_packages(backend.__path__, "backend."),
    ]
    for module in packages:
        if any(part in module.name for part in LEFT_OUT):
            continue
        loaded = importlib.import_module(module.name)
        for name, value in vars(loaded).items():
            if isinstance(value, re.Pattern):
                yield f"{module.name}.{name}", value
            elif isinstance(value, type) and value.__module__ == module.name:
                held = ((f"{module.name}.{name}.{one}", what) for one, what in vars(value).items())
                yield from ((one, what) for one, what in held if isinstance(what, re.Pattern))


def _of_routes(resolver: URLResolver) -> Iterator[tuple[str, re.Pattern]]:
    for entry in resolver.url_patterns:
        pattern = getattr(entry.pattern, "regex", None)
        if pattern is not None:
            yield str(entry.pattern), pattern
        if isinstance(entry, URLResolver):
            yield from _of_routes(entry)
        assert isinstance(entry, (URLPattern, URLResolver))


def _of_fields() -> Iterator[tuple[str, re.Pattern]]:
    for shape in _below(StrictSerializer):
        for name, field in shape._declared_fields.items():
            checks = [one for one in field.validators if isinstance(one, RegexValidator)]
            yield from ((f"{shape.__name__}.{name}", check.regex) for check in checks)
    for field in (serializers.IntegerField.re_decimal,):
        yield "IntegerField", field


def _below(shape: type) -> Iterator[type]:
    for one in shape.__subclasses__():
        yield one
        yield from _below(one)


def letters(pattern: re.Pattern) -> list[str]:
    """The characters, and short runs of them, that stand in the pattern itself."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    return sorted({*source, *re.findall(r"[A-Za-z0-9_:/.@-]{2,12}", source)})


def texts(pattern: re.Pattern, size: int) -> Iterator[str | bytes]:
    """Texts of this size, each of one repetition, with beginnings and ends that let it fail late."""
    for part in dict.fromkeys([*letters(pattern), *USUAL]):
        whole = (part * (size // len(part) + 1))[:size]
        beginning = (re.match(r"\^?([a-z/]*)", str(pattern.pattern)) or [""])[0].removeprefix("^")
        for text in (f"{whole}\x01", f"://{whole}", f"{beginning}{whole}x"):
            yield text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")


@cache
def uses_of(name: str) -> set[str]:
    """With which methods our code calls a pattern: another one could be slow and does not matter."""
    called = set(re.findall(rf"\b{re.escape(name.rpartition('.')[2])}\.(\w+)\(", _sources()))
    return called & METHODS.keys() or {"search"}


@cache
def _sources() -> str:
    files = [path for package in ("lockstep", "backend") for path in (ROOT / package).rglob("*.py")]
    return "\n".join(path.read_text() for path in files if "tests" not in path.parts)


def slow_on(name: str, pattern: re.Pattern) -> str:
    """The beginning of a text on which the pattern takes longer than any that is linear could; empty if none does."""
    uses = sorted(uses_of(name))
    if name.startswith("route "):  # a longer path is tried on no route
        return next(
            (slow for use in uses for text in texts(pattern, MAX_PATH) if (slow := _slow_text(pattern, use, text))), ""
        )
    parts = list(texts(pattern, SIZE // 8))
    for use in uses:
        seconds = [_seconds(pattern, use, part) for part in parts]
        # What takes so long on the whole length, by its third power at most, takes this much on an eighth. What grows
        # faster takes too long on an eighth.
        candidates = [n for n, taken in enumerate(seconds) if taken > MAX_SECONDS / 8**3]
        wholes = list(texts(pattern, SIZE)) if candidates else []
        for n in candidates:
            if slow := _slow_text(pattern, use, parts[n] if seconds[n] > MAX_SECONDS else wholes[n]):
                return slow
    return ""


def _slow_text(pattern: re.Pattern, use: str, text: str | bytes) -> str:
    """The use and the beginning of the text, if it takes too long each time."""
    is_slow = all(_seconds(pattern, use, text) > MAX_SECONDS for _ in range(4))
    return f"{use} {text[:40]!r}" if is_slow else ""


def _seconds(pattern: re.Pattern, use: str, text: str | bytes) -> float:
    began = time.thread_time()
    METHODS[use](pattern, text)
    return time.thread_time() - began


def report(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Reports each pattern that is slow, and the name of each before it is tried."""
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS))
    for name, pattern in patterns().items():
        report(json.dumps({"tried": name}))
        if text := slow_on(name, pattern):
            report(json.dumps({"slow": name, "on": text}))
    report(json.dumps({"done": True}))


def test_patterns_are_found_where_they_are():
    names = patterns().keys()
    assert {
        "backend.config.logs.SECRETS",
        "lockstep.rest.concurrency.TAGS",
        "lockstep.rest.middleware.SAFE_REQUEST_ID",
        "lockstep.delivery.log_reader._POSITION",
        "lockstep.http.json_stream._TOKEN",
        "CardSerializer.card_number",
    } <= names
    assert sum(name.startswith("route ") for name in names) > 50


@pytest.mark.slow
def test_no_pattern_takes_more_time_than_its_text_is_long():
    run = subprocess.run(
        [sys.executable, "-m", "tests.security.test_patterns"],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "backend.config.settings"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert lines, run.stderr
    assert not [line for line in lines if "slow" in line]
    assert lines[-1] == {"done": True}, f"{lines[-1]} took all of the time: {run.stderr[-500:]}"


@pytest.mark.parametrize("target", ["/admin/r/" + "/" * 60_000 + "x", "/x://" + ":" * 60_000, "/" + "9" * 60_000])
@pytest.mark.django_db
def test_a_long_path_is_nowhere_at_once(target: str):
    answers = [Server().send(Sent("GET", target, {})) for _ in range(3)]
    assert {answer.status for answer in answers} == {404}
    assert min(answer.cpu for answer in answers) < MAX_SECONDS


if __name__ == "__main__":
    django.setup()
    main()
