"""Triggers of the backend stand in migrations, where pgtrigger installs them; what else they need, `migrate` adds."""

import pgtrigger
import pytest
from django.db import connection

pytestmark = pytest.mark.django_db


def test_every_declared_trigger_is_installed_and_fires_always():
    declared = {(model._meta.db_table, trigger.get_pgid(model)) for model, trigger in pgtrigger.registered()}
    assert len(declared) > 50
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE tgenabled = 'A'")
        assert declared <= set(cursor.fetchall())


def test_every_declared_trigger_is_the_one_of_the_migrations():
    statuses = {trigger.get_installation_status(model)[0] for model, trigger in pgtrigger.registered()}
    assert statuses == {pgtrigger.core.INSTALLED}
