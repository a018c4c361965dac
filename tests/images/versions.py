"""Later versions of the system: images with another models.py and the migrations that lead there.

    1  as it is
    2  posts have a captured column `edition`, which a migration adds and another fills
    3  the code knows the column no more; it is still there, because version 2 still reads it when 3 migrates
    4  the column is gone

Most of each migration is what `makemigrations` writes, as in any project that changes a captured model.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.images.engine import IMAGE, ROOT, Engine

APP = Path("backend/posts")
FIELD = '    edition = models.IntegerField(null=True, help_text="Which edition it is of.")\n'
BEFORE_FIELD = "    body = NormalTextField(validators=[MaxLengthValidator(MAX_BODY)])\n"
CAPTURED = '"title", "body", readers=EVERYBODY'
CAPTURED_TOO = '"title", "body", "edition", readers=EVERYBODY'
FILL = '''"""Posts that have no edition are of the first."""

from django.db import migrations, transaction
from lockstep.changes.attribution import attributed_transaction

BATCH = 100


def fill(apps, schema_editor):
    """In batches, so that no writer waits for long."""
    posts = apps.get_model("posts", "Post").objects.filter(edition=None)
    while keys := list(posts.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        with attributed_transaction(actor="migration"):
            posts.filter(pk__in=keys).update(edition=1)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("posts", "0002_edition")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
'''
DROP = '''"""No version that is running reads the column any more."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("posts", "0004_no_edition")]
    operations = [migrations.RunSQL("ALTER TABLE posts_post DROP COLUMN edition", migrations.RunSQL.noop)]
'''
REMOVED = "migrations.RemoveField("
REMOVED_OF_STATE = "migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("


def build(engine: Engine, folder: Path) -> list[str]:
    """The images of versions 2, 3 and 4."""
    tree = folder / "tree"
    for package in ("lockstep", "backend"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    shutil.copy(ROOT / "manage.py", tree)
    models, migrations = tree / APP / "models.py", tree / APP / "migrations"

    replace(models, BEFORE_FIELD, BEFORE_FIELD + FIELD)
    replace(models, CAPTURED, CAPTURED_TOO)
    make_migrations(tree, "edition")
    (migrations / "0003_fill_edition.py").write_text(FILL)
    second = image(engine, tree, 2)

    replace(models, FIELD, "")
    replace(models, CAPTURED_TOO, CAPTURED)
    make_migrations(tree, "no_edition")
    written = migrations / "0004_no_edition.py"
    replace(written, REMOVED, REMOVED_OF_STATE)
    replace(written, "            name='edition',\n        ),", "            name='edition',\n        )]),")
    third = image(engine, tree, 3)

    (migrations / "0005_drop_edition.py").write_text(DROP)
    return [second, third, image(engine, tree, 4)]


def replace(file: Path, old: str, new: str) -> None:
    """The first occurrence; fails where there is none."""
    text = file.read_text()
    assert old in text, f"{file} has no {old!r}"
    file.write_text(text.replace(old, new, 1))


def make_migrations(tree: Path, name: str) -> None:
    """As an engineer does it; it needs settings, and no database."""
    settings = {"DEBUG": "true", "SECRET_KEY": "x" * 60, "DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    command = [sys.executable, "manage.py", "makemigrations", "posts", "--name", name]
    done = subprocess.run(
        command, cwd=tree, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def image(engine: Engine, tree: Path, version: int) -> str:
    """The tree's app over the image of the first version."""
    name = IMAGE.rpartition(":")[0] + f":{version}"
    (tree / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY {APP} /app/{APP}\n")
    engine.build(name, tree)
    return name
