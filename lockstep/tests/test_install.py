"""Installing, changing and removing: by the commands that a project runs, each on a database of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest
from kit.waiting import eventually
from kit.workers import worker_process
from project.databases import drop_database

pytestmark = pytest.mark.postgresql  # each makes a database of its own
TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'lockstep\\_%'"
OURS = """
    SELECT relname::text FROM pg_class WHERE relname LIKE 'lockstep%' AND relkind IN ('r', 'p', 'S')
    UNION ALL SELECT proname::text FROM pg_proc WHERE proname LIKE 'lockstep%'
    UNION ALL SELECT tgname::text FROM pg_trigger WHERE tgname LIKE 'lockstep%'
"""


class Project:
    """A project in a folder of its own, on a database of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.url = os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{name}"
        self.installed = ["shop", "lockstep"]
        self.more = ""
        (folder / "shop" / "migrations").mkdir(parents=True)
        for module in ("shop/__init__.py", "shop/migrations/__init__.py"):
            (folder / module).touch()

    def models(self, text: str) -> None:
        (self.folder / "shop" / "models.py").write_text(dedent(text))

    def settings(self) -> None:
        (self.folder / "settings.py").write_text(
            dedent(f"""
            from urllib.parse import urlsplit
            url = urlsplit({self.url!r})
            SECRET_KEY = "x"
            DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
            INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", *{self.installed!r}]
            DATABASES = {{"default": {{
                "ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "HOST": url.hostname, "PORT": url.port,
                "USER": url.username, "PASSWORD": url.password}}}}
            {self.more}
            """)
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its processes."""
        return {**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(self.folder)}

    def run(self, *words: str, code: int = 0) -> str:
        """The output of a command of Django."""
        return self.python("-m", "django", *words, code=code)

    def python(self, *words: str, code: int = 0) -> str:
        self.settings()
        command = [sys.executable, *words]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def sql(self, statement: str) -> list[tuple]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def log(self) -> list[tuple]:
        return self.sql("SELECT model, kind, after FROM lockstep_change ORDER BY seq")


MODELS = """
    from django.db import models
    from lockstep import capture

    @capture("name")
    class Thing(models.Model):
        name = models.TextField()
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    name = f"engine_{os.getpid()}_{abs(hash(tmp_path))}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        made = Project(tmp_path, name)
        made.models(MODELS)
        yield made
        drop_database(server, name)


def test_two_lines_and_migrate_are_all_that_it_takes(project: Project):
    assert "lockstep" not in project.run("makemigrations", "shop")
    project.run("migrate")
    assert "no issues" in project.run("check", "--database", "default")
    project.sql("INSERT INTO shop_thing (name) VALUES ('by psql')")
    assert project.log() == [("shop.thing", "created", {"name": "by psql"})]
    assert "No changes detected" in project.run("makemigrations", "--check")


@pytest.mark.parametrize("app", ["shop", "lockstep", "auth"])
def test_any_app_is_migrated_alone_on_a_fresh_database(project: Project, app: str):
    project.run("makemigrations", "shop")
    project.run("migrate", app)
    project.run("migrate")
    project.sql("INSERT INTO shop_thing (name) VALUES ('a')")
    assert len(project.log()) == 1


def test_migrate_zero_takes_all_away_and_leaves_the_tables(project: Project):
    project.run("makemigrations", "shop")
    project.run("migrate")
    project.sql("INSERT INTO shop_thing (name) VALUES ('a')")
    project.run("migrate", "lockstep", "zero")
    assert project.sql(OURS) == []
    project.sql("INSERT INTO shop_thing (name) VALUES ('b')")
    assert project.sql("SELECT count(*) FROM shop_thing") == [(2,)]
    project.run("migrate")
    project.sql("INSERT INTO shop_thing (name) VALUES ('c')")
    assert [after for _, _, after in project.log()] == [{"name": "c"}]


def test_uninstalling_leaves_nothing_and_old_migrations_need_no_package(project: Project):
    project.run("makemigrations", "shop")
    project.run("migrate")
    project.sql("INSERT INTO shop_thing (name) VALUES ('a')")
    assert "Would drop the trigger lockstep_capture_insert on public.shop_thing." in project.run(
        "lockstep", "uninstall", "--plan"
    )
    assert project.sql(TRIGGERS) != [(0,)]
    project.run("lockstep", "uninstall")
    assert project.sql(OURS) == []
    assert project.sql("SELECT count(*) FROM django_content_type WHERE app_label = 'lockstep'") == [(0,)]
    assert project.sql("SELECT name FROM shop_thing") == [("a",)]
    project.installed = ["shop"]
    project.models(MODELS.replace("from lockstep import capture", "").replace('@capture("name")', ""))
    migrations = "".join(file.read_text() for file in (project.folder / "shop" / "migrations").glob("*.py"))
    assert "lockstep" not in migrations
    assert "No changes detected" in project.run("makemigrations", "--check")
    project.run("migrate")
    assert project.sql("SELECT count(*) FROM django_migrations WHERE app = 'lockstep'") == [(0,)]


def test_uninstalling_from_an_empty_database_drops_nothing(project: Project):
    nothing = "The database has nothing of Lockstep.\n"
    assert project.run("lockstep", "uninstall", "--plan") == nothing
    assert project.run("lockstep", "uninstall").startswith(f"{nothing}Remove lockstep from INSTALLED_APPS, ")


def test_uninstalling_without_an_app_that_has_tables_names_it(project: Project):
    project.installed = ["shop", "lockstep", "lockstep.mirror"]
    project.run("migrate")
    project.installed = ["shop", "lockstep"]
    output = project.run("lockstep", "uninstall", code=1)
    assert 'tables of "lockstep.mirror", which INSTALLED_APPS lacks. Put it back there' in output
    assert output.count("\n") == 1
    project.installed = ["shop", "lockstep", "lockstep.mirror"]
    assert "Remove lockstep.mirror, lockstep from INSTALLED_APPS" in project.run("lockstep", "uninstall")
    assert project.sql(OURS) == []


def test_uninstalling_removes_content_types_of_another_database(project: Project):
    routers = (Path(__file__).parent / "project" / "routers.py").read_text().replace('"blog"', '"shop"')
    (project.folder / "routers.py").write_text(routers)
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(project.folder / "default.sqlite3")}
    project.more = (
        f'DATABASES = {{"default": {sqlite}, "orders": DATABASES["default"]}}; LOCKSTEP = {{"DATABASE": "orders"}};'
        'DATABASE_ROUTERS = ["routers.Orders"]'
    )
    project.run("makemigrations", "shop")
    project.run("migrate")
    project.run("migrate", "--database", "orders")
    count = (
        "import django; django.setup(); from django.contrib.contenttypes.models import ContentType;"
        "print(ContentType.objects.filter(app_label='lockstep').count())"
    )
    assert project.python("-c", count).strip() != "0"
    project.run("lockstep", "uninstall")
    assert project.sql(OURS) == []
    assert project.python("-c", count).strip() == "0"


def test_a_renamed_model_has_one_change_for_one_update_and_its_history(project: Project):
    project.run("makemigrations", "shop")
    project.run("migrate")
    project.sql("INSERT INTO shop_thing (name) VALUES ('a')")
    project.models(MODELS.replace("Thing", "Item").replace('"name")', '"name", was=("shop.thing",))'))
    (project.folder / "shop" / "migrations" / "0002_rename.py").write_text(
        dedent("""
        from django.db import migrations
        class Migration(migrations.Migration):
            dependencies = [("shop", "0001_initial")]
            operations = [migrations.RenameModel("Thing", "Item")]
        """)
    )
    project.run("migrate")
    project.sql("UPDATE shop_item SET name = 'b'")
    assert [(model, kind) for model, kind, _ in project.log()] == [("shop.thing", "created"), ("shop.item", "updated")]
    assert "no issues" in project.run("check", "--database", "default")
    code = (
        "import django; django.setup(); from shop.models import Item; import lockstep;"
        "print([change.kind for change in lockstep.history(Item.objects.get())])"
    )
    assert project.python("-c", code).strip() == "['created', 'updated']"


def test_triggers_follow_added_and_dropped_columns(project: Project):
    project.run("makemigrations", "shop")
    project.run("migrate")
    project.models(MODELS.replace('"name")', '"name", "size")') + "        size = models.IntegerField(null=True)\n")
    project.run("makemigrations", "shop", "--name", "size")
    project.run("migrate")
    project.sql("INSERT INTO shop_thing (name, size) VALUES ('a', 1)")
    project.models(MODELS)
    project.run("makemigrations", "shop", "--name", "no_size")
    project.run("migrate")
    project.sql("INSERT INTO shop_thing (name) VALUES ('b')")
    assert [after for _, _, after in project.log()] == [{"name": "a", "size": 1}, {"name": "b"}]


def test_a_trigger_that_is_missing_or_that_no_model_declares_is_an_error(project: Project):
    project.run("makemigrations", "shop")
    project.run("migrate")
    project.sql("DROP TRIGGER lockstep_capture_update ON shop_thing")
    assert "lockstep.E003" in project.run("check", "--database", "default", code=1)
    project.models(MODELS.replace('@capture("name")', ""))
    assert "lockstep.E016" in project.run("check", "--database", "default", code=1)
    project.run("migrate")
    assert project.sql(TRIGGERS + " AND tgrelid = 'shop_thing'::regclass") == [(0,)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('@capture("nam")\nclass Thing(models.Model):\n    name = models.TextField()', "E002"),
        ('@capture("name", soft_delete="name")\nclass Thing(models.Model):\n    name = models.TextField()', "E024"),
        (
            "class Base(models.Model):\n    name = models.TextField()\n"
            '@capture("name")\nclass Thing(Base):\n    more = models.TextField()',
            "E023",
        ),
        (
            '@capture("name")\nclass Thing(models.Model):\n    name = models.TextField()\n'
            '    pk = models.CompositePrimaryKey("name", "n")\n    n = models.IntegerField()',
            "E021",
        ),
        (
            '@capture("name")\nclass Thing(models.Model):\n    name = models.TextField()\n'
            'capture.register("shop.Thing", "name")',
            "E018",
        ),
        (
            '@capture("double")\nclass Thing(models.Model):\n    n = models.IntegerField()\n'
            '    double = models.GeneratedField(expression=models.F("n") * 2, output_field=models.IntegerField(), '
            "db_persist=False)",
            "E026",
        ),
        ('class Thing(models.Model):\n    pass\ncapture.register("shop.Nothing", "name")', "E019"),
        ('@capture("token")\nclass Thing(models.Model):\n    token = models.TextField()', "W002"),
        (
            '@capture("n")\nclass Thing(models.Model):\n'
            "    token = models.TextField(primary_key=True)\n    n = models.IntegerField()",
            "W003",
        ),
    ],
)
def test_models_that_cannot_be_captured_have_a_named_error(project: Project, text: str, number: str):
    project.models(f"from django.db import models\nfrom lockstep import capture\n{text}\n")
    assert f"lockstep.{number}" in project.run("check", code=1 if number.startswith("E") else 0)


def test_a_date_as_primary_key_does_not_depend_on_the_writers_session(project: Project):
    project.models("""
        from django.db import models
        from lockstep import capture

        @capture("visits")
        class Day(models.Model):
            day = models.DateField(primary_key=True)
            visits = models.IntegerField()
    """)
    project.run("makemigrations", "shop")
    project.run("migrate")
    project.sql("SET datestyle = 'German'; INSERT INTO shop_day VALUES ('2026-01-02', 1)")
    assert project.sql("SELECT object_id FROM lockstep_change") == [("2026-01-02",)]


def test_an_unknown_setting_is_an_error_with_a_suggestion(project: Project):
    project.more = 'LOCKSTEP = {"RETENTION": 3}'
    output = project.run("check", code=1)
    assert "lockstep.E020" in output
    assert "Did you mean RETENTION_DAYS?" in output


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ('{"DATABASE": "nix"}', "LOCKSTEP['DATABASE'] must be one of DATABASES: default, not 'nix'."),
        ('{"DATABASE": []}', "LOCKSTEP['DATABASE'] must be one of DATABASES: default, not []."),
        ("None", "LOCKSTEP must be a dict, not None."),
        ('["x"]', "LOCKSTEP must be a dict, not ['x']."),
        ('{1: "x"}', "LOCKSTEP has no setting 1."),
    ],
)
def test_a_setting_of_a_wrong_type_is_an_error_of_check(project: Project, value: str, sentence: str):
    project.more = f"LOCKSTEP = {value}"
    output = project.run("check", code=1)
    assert sentence in output
    assert "Traceback" not in output


def test_a_wrong_retention_is_reported_once(project: Project):
    project.run("makemigrations", "shop")
    project.run("migrate")
    project.more = 'LOCKSTEP = {"RETENTION_DAYS": "3"}'
    output = project.run("check", "--database", "default", code=1)
    assert "LOCKSTEP['RETENTION_DAYS'] must be a whole number of at least 1, not '3'." in output
    assert "System check identified 1 issue" in output


def test_a_model_that_a_router_puts_elsewhere_is_an_error_and_gets_no_trigger(project: Project):
    (project.folder / "routers.py").write_text(
        "class Elsewhere:\n    def db_for_write(self, model, **hints):\n"
        "        return 'other' if model._meta.app_label == 'shop' else None\n"
    )
    project.more = 'DATABASES["other"] = dict(DATABASES["default"]); DATABASE_ROUTERS = ["routers.Elsewhere"]'
    assert "lockstep.E022" in project.run("check", code=1)


def test_a_second_postgresql_database_without_a_router_gets_no_table_of_the_engine(project: Project):
    name = f"{project.url.rpartition('/')[2]}_other"
    project.more = f'DATABASES["other"] = {{**DATABASES["default"], "NAME": "{name}"}}'
    (project.folder / "shop" / "tests.py").write_text(
        dedent("""
        from django.test import TestCase
        from shop.models import Thing

        class Both(TestCase):
            databases = {"default", "other"}

            def test_both_are_written(self):
                for alias in self.databases:
                    Thing.objects.using(alias).create(name="a")
        """)
    )
    with psycopg.connect(project.url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        project.run("makemigrations", "shop")
        project.run("migrate")
        project.run("migrate", "--database", "other")
        assert "no issues" in project.run("check", "--database", "default", "--database", "other")
        project.run("test", "--no-input", "shop")
        with psycopg.connect(f"{project.url}_other") as other:
            assert other.execute("SELECT count(*) FROM shop_thing").fetchall() == [(0,)]
            assert other.execute(OURS).fetchall() == []
        drop_database(server, name)
    project.sql("INSERT INTO shop_thing (name) VALUES ('a')")
    assert len(project.log()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("replay-changes", "name", "--since", "1h", "--model", "shop.thing"),
        ("new-epoch",),
        ("resync", "shop.thing"),
    ],
    ids=" ".join,
)
def test_before_migrate_each_command_says_what_to_do(project: Project, words: tuple[str, ...]):
    output = project.run("lockstep", *words, code=1)
    assert output.count("\n") == 1
    assert "Run: manage.py migrate" in output


def test_options_of_every_command_follow_a_subcommand_or_precede_it(project: Project):
    assert "Traceback" in project.run("lockstep", "status", "--traceback", code=1)  # it is not migrated
    project.run("migrate")
    expected = project.run("lockstep", "status", "--json")
    options = ("--settings=settings", "--pythonpath=.", "-v", "2", "--no-color", "--skip-checks", "--traceback")
    assert project.run("lockstep", "status", "--json", *options) == expected
    assert project.run("lockstep", *options, "status", "--json") == expected
    assert "No module named 'nowhere'" in project.run("lockstep", "status", "--settings=nowhere", code=1)
    code = (
        "from lockstep.management.commands.lockstep import Command; parser = Command().create_parser('', 'lockstep');"
        "print([parser.parse_args(words.split()).verbosity for words in ('-v 3 status', 'status -v 2', 'status')])"
    )
    assert project.python("-c", f"import django; django.setup(); {code}").strip() == "[3, 2, 1]"


@pytest.mark.parametrize("is_logged", [False, True])
def test_a_worker_says_once_that_it_is_ready_and_that_it_has_stopped(project: Project, is_logged: bool):
    project.run("migrate")
    if is_logged:
        project.more = (
            'LOGGING = {"version": 1, "disable_existing_loggers": False, '
            '"formatters": {"plain": {"format": "logged: %(message)s"}}, '
            '"handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}}, '
            '"loggers": {"lockstep.delivery.worker": {"handlers": ["console"], "level": "INFO"}}}'
        )
    project.settings()
    command = [sys.executable, "-m", "django", "lockstep", "worker"]
    with worker_process(command, project.folder, project.environment) as worker:
        eventually(lambda: "ready" in worker.said, "the worker to be ready")
        assert worker.stop(60) == 0
        before = "logged: " if is_logged else ""
        assert worker.said == f"{before}worker ready: no subscriptions\n{before}worker stopped\n"


def test_dump_and_load_of_everything(project: Project):
    project.run("makemigrations", "shop")
    project.run("migrate")
    project.sql("INSERT INTO shop_thing (name) VALUES ('a')")
    project.run("dumpdata", "--output", "all.json", "--exclude", "contenttypes", "--exclude", "auth.permission")
    project.run("flush", "--no-input")
    assert project.log() == []
    project.run("loaddata", "all.json")
    assert project.sql("SELECT name FROM shop_thing") == [("a",)]


def test_a_search_path_without_a_schema_is_djangos_own_error(project: Project):
    project.more = 'DATABASES["default"]["OPTIONS"] = {"options": "-c search_path=nowhere"}'
    project.run("makemigrations", "shop")
    output = project.run("migrate", code=1)
    assert "no schema has been selected to create in" in output
    assert "lockstep/install.py" not in output
