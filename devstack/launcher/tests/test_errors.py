import string

import pytest

from devstack.launcher import errors

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.LauncherError)]


@pytest.mark.parametrize("kind", ALL)
def test_each_error_message_is_built_from_its_arguments(kind):
    names = [name for _, name, _, _ in string.Formatter().parse(kind.__doc__) if name]
    text = str(kind(**dict.fromkeys(names, "fact")))
    assert "{" not in text
    assert not text.startswith(" ")


def test_each_error_stands_in_the_tree_at_the_top():
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in ALL)
