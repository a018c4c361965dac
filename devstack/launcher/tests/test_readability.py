from textwrap import dedent

from devstack.readability import Measured

CODE = """
    from typing import Any

    x: "dict[str, Any]" = {}  # noqa: F401


    def short(value: Any) -> Any:
        "Any value."
        return _once(value)


    def _once(value):
        return value  # type: ignore[no-any-return]
"""


def test_a_module_is_measured_with_its_places():
    measured = Measured()
    measured.add("a.py", dedent(CODE).lstrip())
    assert (measured.modules, measured.functions, measured.annotated) == ([12], [3, 2], 1)
    assert {kind: len(places) for kind, places in measured.places.items()} == {
        "private, used once": 1,
        "Any": 3,
        "noqa": 1,
        "type: ignore": 1,
    }
    assert measured.places["private, used once"] == ["a.py:11 _once, 2 lines"]
    assert measured.row() == ["1", "12 / 12 / 12", "2", "2 / 3 / 3", "50.0 %", "3", "1", "1", "1"]


def test_what_exceeds_the_measure_is_named():
    measured = Measured()
    measured.add("a.py", "def long() -> None:\n" + "    pass\n" * 400)
    assert measured.places == {"long module": ["a.py:1 401 lines"], "long function": ["a.py:1 long, 401 lines"]}
