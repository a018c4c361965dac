"""What linters say of the files in deploy/ and of migrations, each shown a planted fault as well."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.postgres import operations as postgres
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from lockstep.changes.database_errors import MINIMUM_VERSION
from tests.images.engine import ROOT, program

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
PRODUCTION = (ROOT / "compose.production.yaml").read_text(encoding="utf-8")


def judged(*words: str | Path, **environment: str) -> tuple[int, str]:
    done = subprocess.run(words, cwd=ROOT, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def tool(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def variables() -> set[str]:
    """Every variable that .env.example names."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return {match[1] for match in re.finditer(r"^# ([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)}


class TestSecrets:
    def make(self, folder: Path) -> tuple[int, str]:
        return judged(sys.executable, "deploy/make_secrets.py", folder, "--self-signed", "shop.example")

    def test_a_folder_that_others_may_enter_is_refused(self, tmp_path: Path):
        (tmp_path / "open").mkdir(mode=0o755)
        code, said = self.make(tmp_path / "open")
        assert (code, list((tmp_path / "open").iterdir())) == (1, [])
        assert "chmod 700" in said

    @pytest.mark.parametrize("host", ["x,DNS:evil.example", "h" * 65, "", "a b"])
    def test_what_is_no_host_is_refused(self, tmp_path: Path, host: str):
        code, said = judged(sys.executable, "deploy/make_secrets.py", tmp_path / "s", f"--self-signed={host}")
        assert (code, "Traceback" in said) == ((2, False) if host else (0, False))

    def test_a_folder_that_is_a_file_is_a_sentence(self, tmp_path: Path):
        (tmp_path / "file").touch(0o600)
        code, said = self.make(tmp_path / "file")
        assert (code, said) == (1, f"{tmp_path / 'file'}: File exists\n")

    def test_an_empty_secret_and_half_a_pair_are_made_anew(self, tmp_path: Path):
        folder = tmp_path / "secrets"
        self.make(folder)
        (folder / "secret_key").chmod(0o600)
        (folder / "secret_key").write_text("")
        (folder / "tls" / "key").unlink()
        assert self.make(folder)[0] == 0
        assert len((folder / "secret_key").read_text()) > 50
        assert b"PRIVATE KEY" in (folder / "tls" / "key").read_bytes()

    def test_a_key_that_nginx_cannot_read_is_reported(self, tmp_path: Path):
        self.make(tmp_path / "s")
        (tmp_path / "s" / "tls" / "key").chmod(0o600)
        code, said = self.make(tmp_path / "s")
        assert (code, said) == (1, f"nginx's user cannot read this: chmod 444 {tmp_path}/s/tls/key\n")

    def test_what_is_there_stays_and_a_new_one_is_whole(self, tmp_path: Path):
        folder = tmp_path / "secrets"
        assert self.make(folder)[0] == 0
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert {path.name for path in before} >= {"secret_key", "database_password", "certificate", "key"}
        assert all(before.values())
        assert b"BEGIN CERTIFICATE" in (folder / "tls" / "certificate").read_bytes()
        assert b"PRIVATE KEY" in (folder / "tls" / "key").read_bytes()
        assert self.make(folder)[0] == 0
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


class TestDockerfile:
    def judge(self, text: str, folder: Path) -> tuple[int, str]:
        (folder / "Dockerfile").write_text(text)
        return judged(tool("hadolint"), folder / "Dockerfile")

    def test_it_is_clean(self, tmp_path: Path):
        assert self.judge(DOCKERFILE, tmp_path) == (0, "")

    def test_a_planted_fault_is_found(self, tmp_path: Path):
        code, said = self.judge(DOCKERFILE.replace("WORKDIR /app", "WORKDIR app"), tmp_path)
        assert code == 1
        assert "DL3000" in said

    def test_its_base_is_pinned_by_its_digest_and_its_packages_by_their_hashes(self):
        assert "ARG BASE=python:3.13-slim@sha256:" in DOCKERFILE
        assert "devstack.launcher.install" in DOCKERFILE
        assert not {"pip install", "apt-get", "curl"} & set(DOCKERFILE.split("RUN"))


class TestCompose:
    def judge(self, texts: dict[str, str], folder: Path) -> tuple[int, str]:
        for name, text in texts.items():
            (folder / name).write_text(text)
        words = [word for name in texts for word in ("--file", folder / name)]
        settings = {"ALLOWED_HOSTS": "shop.example"} if "compose.production.yaml" in texts else {}
        return judged(program(), *words, "config", "--quiet", **settings)

    def test_both_are_clean(self, tmp_path: Path):
        assert self.judge({"compose.yaml": COMPOSE}, tmp_path) == (0, "")
        assert self.judge({"compose.yaml": COMPOSE, "compose.production.yaml": PRODUCTION}, tmp_path) == (0, "")

    def test_a_planted_fault_is_found(self, tmp_path: Path):
        code, said = self.judge({"compose.yaml": COMPOSE.replace("shm_size:", "shmsize:")}, tmp_path)
        assert code != 0
        assert "shmsize" in said

    def test_production_names_missing_variables(self, tmp_path: Path):
        for name, text in {"compose.yaml": COMPOSE, "compose.production.yaml": PRODUCTION}.items():
            (tmp_path / name).write_text(text)
        files = ["--file", tmp_path / "compose.yaml", "--file", tmp_path / "compose.production.yaml"]
        code, said = judged(program(), *files, "config", "--quiet")
        assert code != 0
        assert "ALLOWED_HOSTS is missing a value: the host names that clients use" in said

    def test_any_variable_reaches_every_process(self, tmp_path: Path):
        """By the file that SETTINGS names; what compose.production.yaml sets itself comes first."""
        settings = tmp_path / "settings.env"
        settings.write_text("".join(f"{name}=from the file\n" for name in variables()))
        words = ("--file", "compose.yaml", "--file", "compose.production.yaml", "config", "--format", "json")
        code, said = judged(program(), *words, ALLOWED_HOSTS="shop.example", SETTINGS=str(settings))
        assert code == 0, said
        services = json.loads(said[said.index("{") :])["services"]
        for service in ("prepare", "web", "web-b", "worker", "worker-b"):
            assert variables() - {*services[service]["environment"]} <= {"SECRET_KEY"}  # a file alone

    def test_production_is_a_project_of_its_own_that_builds_nothing(self, tmp_path: Path):
        """By the variables that the guide puts into .env."""
        files = "compose.yaml:compose.production.yaml"
        words = ("--profile", "stand-ins", "config", "--format", "json")
        code, said = judged(program(), *words, ALLOWED_HOSTS="shop.example", COMPOSE_FILE=files)
        assert code == 0, said
        found = json.loads(said[said.index("{") :])
        assert found["name"] == "lockstep-production"
        assert [name for name, service in found["services"].items() if "build" in service] == []

    def lint(self, folder: Path, *files: Path, known: bool) -> tuple[int, str]:
        """What Compose makes of the files, in the eyes of compose-lint; `known` are the faults that are on purpose."""
        words = [word for file in files for word in ("--file", file)]
        code, merged = judged(program(), *words, "config", ALLOWED_HOSTS="shop.example")
        assert code == 0, merged
        (folder / "compose.yaml").write_text(merged)
        config = ["--strict-config", "--config", ROOT / "deploy" / "compose-lint.yaml"] if known else []
        return judged(tool("compose-lint"), "check", *config, folder / "compose.yaml")

    def test_the_linter_accepts_development_but_for_its_published_passwords(self, tmp_path: Path):
        assert self.lint(tmp_path, ROOT / "compose.yaml", known=True)[0] == 0
        code, said = self.lint(tmp_path, ROOT / "compose.yaml", known=False)
        assert code == 1
        assert "CL-0020" in said

    def test_the_linter_accepts_production(self, tmp_path: Path):
        code, said = self.lint(tmp_path, ROOT / "compose.yaml", ROOT / "compose.production.yaml", known=False)
        assert code == 0, said

    def test_the_linter_finds_a_planted_fault(self, tmp_path: Path):
        (tmp_path / "planted.yaml").write_text(COMPOSE.replace("read_only: true", "privileged: true"))
        code, said = self.lint(tmp_path, tmp_path / "planted.yaml", known=True)
        assert code == 1
        assert "privileged" in said


class TestMigrations:
    """squawk on the SQL of each migration: what keeps writers waiting, and what the old code cannot bear.

    It knows which tables a file has created itself, if it knows that the file is one transaction: no session waits for
    those. It cannot see what RunPython does.
    """

    # `migrate` says this before anything else (entities/migration_locks.py).
    LIMIT = "SET lock_timeout = '5s';"
    # Rules that are of no use here.
    EXCLUDED = {
        "require-statement-timeout": "filling takes its time; what a statement locks, the other rules look at",
        "prefer-robust-stmts": "IF NOT EXISTS takes what is left of an index that failed for the index",
        "prefer-text-field": "Django's own user model has varchar, and a longer one rewrites nothing",
        "prefer-bigint-over-int": "counts of attempts, points and pieces",
        "prefer-bigint-over-smallint": "points of a rating",
    }

    def judge(self, migration: migrations.Migration, before: ProjectState, folder: Path) -> set[str]:
        """The rules that it breaks, with the state of the models before it."""
        with connection.schema_editor(collect_sql=True, atomic=migration.atomic) as editor:
            migration.apply(before, editor, collect_sql=True)
        file = folder / f"{migration.app_label}.{migration.name}.sql"
        file.write_text("\n".join([self.LIMIT, *editor.collected_sql]))
        options = ["--assume-in-transaction"] if migration.atomic else []
        options += [f"--pg-version={MINIMUM_VERSION}.0", f"--exclude={','.join(self.EXCLUDED)}", "--reporter=json"]
        code, said = judged(tool("squawk"), *options, file)
        found = {each["rule_name"] for each in json.loads(said)}
        assert (code == 1) is bool(found), said
        return found

    @pytest.mark.django_db
    def test_no_migration_keeps_writers_waiting_or_breaks_the_version_before(self, tmp_path: Path):
        labels = {app.label for app in apps.get_app_configs() if app.name.partition(".")[0] in ("backend", "lockstep")}
        loader = MigrationLoader(connection)
        found = {
            f"{app}.{name}": self.judge(migration, loader.project_state((app, name), at_end=False), tmp_path)
            for (app, name), migration in loader.disk_migrations.items()
            if app in labels
        }
        assert {"lockstep", "posts", "shop"} <= {name.partition(".")[0] for name in found}
        assert {name: rules for name, rules in found.items() if rules} == {}

    PLANTED: Mapping[str, Operation] = {
        "ban-drop-default": migrations.AddField("post", "planted", models.TextField(default="")),  # not db_default
        "adding-required-field": migrations.RunSQL("ALTER TABLE posts_post ADD planted text NOT NULL"),
        "require-concurrent-index-creation": migrations.AddIndex("post", models.Index("title", name="planted")),
        "ban-drop-column": migrations.RemoveField("post", "body"),
        "constraint-missing-not-valid": migrations.AddConstraint(
            "post", models.CheckConstraint(condition=models.Q(version__gt=0), name="planted")
        ),
        "changing-column-type": migrations.AlterField("post", "version", models.TextField()),
        "renaming-column": migrations.RenameField("post", "title", "planted"),
        "adding-not-nullable-field": migrations.RunSQL("ALTER TABLE posts_post ALTER user_id SET NOT NULL"),
        "ban-concurrent-index-creation-in-transaction": migrations.RunSQL(
            "CREATE INDEX CONCURRENTLY planted ON posts_post (title)"
        ),
    }

    def judge_planted(self, folder: Path, *operations: Operation, atomic: bool = True) -> set[str]:
        """The rules that a migration with these operations breaks, behind the last one of posts."""
        migration = migrations.Migration("9999_planted", "posts")
        migration.operations, migration.atomic = list(operations), atomic
        return self.judge(migration, MigrationLoader(connection).project_state(), folder)

    @pytest.mark.django_db
    @pytest.mark.parametrize("rule", PLANTED)
    def test_a_planted_fault_is_found(self, tmp_path: Path, rule: str):
        assert rule in self.judge_planted(tmp_path, self.PLANTED[rule])

    @pytest.mark.django_db(transaction=True)
    def test_an_index_that_is_made_concurrently_is_accepted_outside_a_transaction(self, tmp_path: Path):
        make = postgres.AddIndexConcurrently("post", models.Index(fields=["title"], name="planted"))
        assert self.judge_planted(tmp_path, make, atomic=False) == set()

    @pytest.mark.django_db
    def test_a_column_that_the_old_code_need_not_know_is_accepted(self, tmp_path: Path):
        null = migrations.AddField("post", "planted", models.TextField(null=True))
        default = migrations.AddField("post", "planted_too", models.TextField(db_default=""))
        assert self.judge_planted(tmp_path, null, default) == set()

    @pytest.mark.django_db
    def test_what_is_added_to_a_table_of_the_same_migration_is_accepted(self, tmp_path: Path):
        post = models.ForeignKey("posts.Post", models.CASCADE)
        make = migrations.CreateModel("Planted", [("id", models.BigAutoField(primary_key=True)), ("post", post)])
        index = migrations.AddIndex("planted", models.Index(fields=["post"], name="planted"))
        assert self.judge_planted(tmp_path, make, index) == set()
