"""On another database than PostgreSQL everything works, and nothing is captured; the log may be in a second one."""

import pytest
from django.core import management
from django.db import connections
from project.blog.models import Article

import lockstep


@pytest.mark.sqlite
@pytest.mark.django_db
def test_a_project_works_on_sqlite_with_one_warning(capsys):
    with lockstep.attributed(actor="user:1"):
        article = Article.objects.create(title="a")
    article.delete()
    management.call_command("check")
    assert capsys.readouterr().err.count("Nothing is captured") == 1
    with pytest.raises(management.CommandError, match="is not PostgreSQL"):
        management.call_command("lockstep", "status")


@pytest.mark.sqlite
def test_the_package_is_imported_without_psycopg():
    import subprocess
    import sys

    program = (
        "import sys; sys.modules['psycopg'] = None; sys.modules['psycopg2'] = None\n"
        "import django; django.setup()\n"
        "from django.core.management import call_command\n"
        "call_command('migrate', verbosity=0); call_command('check')\n"
        "from project.blog.models import Article\n"
        "Article.objects.create(title='a')\n"
        "call_command('dumpdata', 'blog')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"title": "a"' in done.stdout


@pytest.mark.orders
@pytest.mark.django_db(transaction=True, databases=["default", "orders"])
def test_the_log_of_a_second_database_is_delivered():
    from project.blog.subscribers import received

    from lockstep.models import LoggedChange
    from lockstep.testing import deliver_all

    with lockstep.attributed(actor="user:1"):
        article = Article.objects.create(title="a")
    deliver_all(strict=True)
    assert [change.actor for change in received["titles"]] == ["user:1"]
    assert [change.kind for change in lockstep.history(article)] == ["created"]
    assert LoggedChange.objects.using("orders").count() == 1
    assert connections["default"].vendor == "sqlite"
    assert lockstep.subscription("notes").status().state == "active"
