"""Triggers stand in CreateModel, where pgtrigger installs them with the table; those of proxies are added."""

import pgtrigger
import pytest

pytestmark = pytest.mark.django_db

DECLARED = pgtrigger.registered()


def test_there_are_triggers():
    assert len(DECLARED) > 100


@pytest.mark.parametrize(
    ("model", "trigger"), [pytest.param(*pair, id=f"{pair[0]._meta.label}.{pair[1].name}") for pair in DECLARED]
)
def test_every_declared_trigger_is_installed_and_enabled(model, trigger):
    assert trigger.get_installation_status(model) == (pgtrigger.core.INSTALLED, True)
