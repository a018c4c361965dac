"""Import of posts and comments, against the other ways of getting them into the same tables."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from uuid import UUID, uuid4

from django.db import models, transaction

from backend.posts.models import Comment, Post
from bench.place import Connection
from bench.processes import run_child, start_stand_in
from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.tables import empty, require, without_capture
from devstack.sandbox.jsonplaceholder import texts
from lockstep.changes.attribution import set_local
from lockstep.mirror.models import RemoteObject

POSTS, COMMENTS_PER_POST = 100_000, 5
SAVED, BULK_CREATED = 1_000, 50_000  # objects: samples, since these are slow
BULK = 1_000
BLOCK = 256 * 1024

# The columns that an import fills; the others have defaults.
COLUMNS = {
    "posts_post": "id, number, user_id, title, body",
    "posts_comment": "id, number, post_id, name, email, body",
    "lockstep_mirror_remoteobject": "object_id, collection, remote_id, acknowledged, acknowledged_at, verified_at",
}
CAPTURED = ("posts_post", "posts_comment")
Pair = tuple[models.Model, RemoteObject]


class Import(Row):
    note = (
        "objects/s. Each is its own row, its row in lockstep_mirror_remoteobject and its row in the change log. "
        "Ours includes reading the provider's lists over HTTP; the peers have everything at hand. COPY takes exactly "
        "the rows that our import made, one COPY a table, each committed durably. save() and bulk_create: samples."
    )
    comparisons = (
        Comparison("import : COPY", "import", "COPY", Goal("at least", 0.8)),
        Comparison("import : COPY, capture off", "import", "COPY, capture off"),
        Comparison("import : bulk_create(1000)", "import", "bulk_create(1000)"),
        Comparison("import : save()", "import", "save()"),
        Comparison("import, MiB : at a tenth", "MiB at 100 %", "MiB at 10 %", Goal("at most", 1.1)),
    )

    def prepare(self) -> None:
        self.database = self.stack.enter_context(self.place.connection())
        self.posts = self.place.scaled(POSTS)
        self.objects = self.posts * (1 + COMMENTS_PER_POST)
        self.url = start_stand_in(self.stack, posts=self.posts, comments_per_post=COMMENTS_PER_POST)
        self._import()
        self.files = {table: self._export(table, columns) for table, columns in COLUMNS.items()}

    def variants(self) -> dict[str, Variant]:
        return {
            "import": self._import,
            "COPY": lambda: {"COPY": self._copy()},
            "COPY, capture off": lambda: {"COPY, capture off": self._copy_without_capture()},
            "bulk_create(1000)": lambda: {"bulk_create(1000)": self._rate(_bulk_create, BULK_CREATED)},
            "save()": lambda: {"save()": self._rate(_save, SAVED)},
        }

    def _import(self) -> Figures:
        empty(self.database)
        figures = run_child("import", self.url)
        self._require(self.posts)
        return {"import": figures["objects/s"]} | {name: figures[name] for name in ("MiB at 10 %", "MiB at 100 %")}

    def _export(self, table: str, columns: str) -> Path:
        path = self.place.folder / f"{table}.copy"
        statement = f"COPY (SELECT {columns} FROM {table}) TO STDOUT"  # as they lie there: as they were made
        with path.open("wb") as file, self.database.cursor() as cursor, cursor.copy(statement) as copy:
            file.writelines(copy)
        return path

    def _copy(self, *, captured: bool = True) -> float:
        empty(self.database)
        began = time.perf_counter()
        for table, path in self.files.items():
            _copy_in(self.database, f"COPY {table} ({COLUMNS[table]}) FROM STDIN", path)
        seconds = time.perf_counter() - began
        self._require(self.posts, captured=captured)
        return self.objects / seconds

    def _copy_without_capture(self) -> float:
        with without_capture(self.database, *CAPTURED):
            return self._copy(captured=False)

    def _rate(self, write: Callable[[Iterable[Pair]], None], most: int) -> float:
        """The rate of a sample: so many objects, or all where there are fewer."""
        posts = min(self.posts, most // (1 + COMMENTS_PER_POST))
        empty(self.database)
        began = time.perf_counter()
        write(_objects(posts))
        seconds = time.perf_counter() - began
        self._require(posts)
        return posts * (1 + COMMENTS_PER_POST) / seconds

    def _require(self, posts: int, *, captured: bool = True) -> None:
        """Every variant left the same: the objects, what we know of their copies, and the log."""
        comments, objects = posts * COMMENTS_PER_POST, posts * (1 + COMMENTS_PER_POST)
        require(self.database, posts_post=posts, posts_comment=comments, lockstep_mirror_remoteobject=objects)
        require(self.database, lockstep_change=objects if captured else 0)


def _copy_in(database: Connection, statement: str, path: Path) -> None:
    with database.transaction(), database.cursor() as cursor, path.open("rb") as file:
        cursor.execute(*set_local(origin="jsonplaceholder", trace="import"))
        with cursor.copy(statement) as copy:
            while block := file.read(BLOCK):
                copy.write(block)


def _save(objects: Iterable[Pair]) -> None:
    for found, link in objects:
        found.save(force_insert=True)
        link.save(force_insert=True)


def _bulk_create(objects: Iterable[Pair]) -> None:
    """1,000 at a time and of one model, as one would write it: posts first, since comments refer to them."""
    objects = iter(objects)
    while batch := list(islice(objects, BULK)):
        with transaction.atomic():
            Post.objects.bulk_create([found for found, _ in batch if isinstance(found, Post)])
            Comment.objects.bulk_create([found for found, _ in batch if isinstance(found, Comment)])
            RemoteObject.objects.bulk_create([link for _, link in batch])


def _objects(posts: int) -> Iterator[Pair]:
    """What the stand-in would list, as objects of ours."""
    ids: dict[int, UUID] = {}
    for one in texts.posts(posts):
        number = one["id"]
        ids[number] = uuid4()
        post = Post(id=ids[number], number=number, user_id=one["userId"], title=one["title"], body=one["body"])
        yield post, _link("posts", post.id, number)
    for other in texts.comments(posts, COMMENTS_PER_POST):
        own = {"name": other["name"], "email": other["email"], "body": other["body"]}
        comment = Comment(id=uuid4(), number=other["id"], post_id=ids[other["postId"]], **own)
        yield comment, _link("comments", comment.id, other["id"])


def _link(collection: str, object_id: UUID, remote_id: int) -> RemoteObject:
    key = f"jsonplaceholder/{collection}"
    return RemoteObject(object_id=object_id, collection=key, remote_id=str(remote_id), acknowledged=uuid4())
