"""Where the stand-in keeps its collections: SQLite, each object as the JSON text that is sent."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from devstack.sandbox.jsonplaceholder import texts
from devstack.sandbox.storage import open_database

COLLECTIONS = ("posts", "comments")

_PAGE = 4000
_SCHEMA = """
create table if not exists {name} (
    place integer primary key,  -- objects are listed in the order in which they came
    id not null,                -- 7 for 7 and for "7", else the text: the servers compare ids as text
    parent,                     -- a comment's post, written like an id
    document blob not null      -- indented, as an element of a list is sent
);
create table if not exists fields (collection text, name text, primary key (collection, name));
"""
_INDEXES = """
create unique index if not exists {name}_id on {name} (id);
create index if not exists {name}_parent on {name} (parent);
"""

_REMOVE_STRAY_POSTS = """
delete from posts where cast(cast(document as text) ->> '$.userId' as integer) not between 1 and ?
returning 1
"""
_REMOVE_STRAY_COMMENTS = """
delete from comments where parent is not null and parent not in (select id from posts)
"""


class Store:
    """Objects by collection. Safe to use from several threads; a write is one transaction.

    With a folder it lasts over restarts, without one it lives in memory. `users` is the number of users
    that exist, None when the server has no such collection: json-server then forgets no post for it.
    """

    def __init__(self, folder: Path | None, *, posts: int, comments_per_post: int, users: int | None = None) -> None:
        self._users = users
        self._strays = folder is not None  # whether a comment may refer to no post: looking takes long
        self._lock = threading.RLock()
        self._database = open_database(folder, "jsonplaceholder.sqlite3")
        if self._database.execute("pragma user_version").fetchone()[0] == 0:
            self._fill(posts, comments_per_post)

    def close(self) -> None:
        """Ends it; what was written in a folder stays."""
        with self._lock:
            self._database.close()

    @contextmanager
    def change(self, *, keep: bool) -> Iterator[None]:
        """A transaction that is taken back at its end unless it is to be kept."""
        with self._lock:
            self._database.execute("begin")
            try:
                yield
            except BaseException:
                self._database.execute("rollback")
                raise
            self._database.execute("commit" if keep else "rollback")

    def get(self, collection: str, name: object) -> dict[str, object] | None:
        """The object of that id."""
        found = self._rows(f"select document from {collection} where id = ?", key(name))
        return orjson.loads(found[0][0]) if found else None

    def count(self, collection: str) -> int:
        """How many objects there are."""
        return int(self._rows(f"select count(*) from {collection}")[0][0])

    def next_id(self, collection: str) -> int:
        """One more than the largest: an id comes back when the largest is deleted."""
        largest = f"select max(id) from {collection} where id < ''"
        return int(self._rows(largest)[0][0] or 0) + 1

    def has_field(self, collection: str, name: str) -> bool:
        """Whether any object has or had this field."""
        return bool(self._rows("select 1 from fields where collection = ? and name = ?", collection, name))

    def add(self, collection: str, document: Mapping[str, object]) -> None:
        """Appends an object, whose id must be free."""
        self._rows(
            f"insert into {collection} (id, parent, document) values (?, ?, ?)",
            *_row(document),
        )
        self._note(collection, document)

    def put(self, collection: str, document: Mapping[str, object]) -> None:
        """Replaces the object of that id where it stands."""
        name, parent, text = _row(document)
        self._rows(
            f"update {collection} set parent = ?, document = ? where id = ?",
            parent,
            text,
            name,
        )
        self._note(collection, document)

    def renumber(self, collection: str, by: int) -> None:
        """Gives every object another id, so much larger; references follow."""
        documents = [orjson.loads(row[0]) for row in self._rows(f"select document from {collection} order by place")]
        with self.change(keep=True):
            self._rows(f"delete from {collection}")
            for document in documents:
                moved = {name: document[name] + by for name in ("id", "postId") if name in document}
                self.add(collection, document | moved)

    def remove(self, collection: str, name: object) -> None:
        """Removes an object, and with it whatever refers to an object that is not there.

        json-server looks at the references of everything whenever anything is removed: a comment on a
        post that never was goes too, and so does a post of a user that never was where there are users.
        """
        self._rows(f"delete from {collection} where id = ?", key(name))
        if collection == "posts":
            self._rows("delete from comments where parent = ?", key(name))
        if self._users is not None:
            self._strays = bool(self._rows(_REMOVE_STRAY_POSTS, self._users)) or self._strays
        if self._strays:
            self._rows(_REMOVE_STRAY_COMMENTS)
            self._strays = False

    def documents(
        self,
        collection: str,
        *,
        start: int = 0,
        stop: int | None = None,
        parent: str | None = None,
        text: str = "",
    ) -> Iterator[list[bytes]]:
        """The texts of the objects in order, in pages: a place in the list to a place, or of one parent.

        `text` is something that must stand in them. A page is consistent, a list of several need not be.
        """
        where, values = _conditions(parent, text)
        first = f"select place from {collection} where {where} order by place limit 1 offset ?"
        begin = self._rows(first, *values, start)
        left, place = (stop if stop is not None else 1 << 62) - start, (begin[0][0] - 1 if begin else None)
        page = f"select place, document from {collection} where {where} and place > ? order by place limit ?"
        while place is not None and left > 0:
            rows = self._rows(page, *values, place, min(left, _PAGE))
            if not rows:
                return
            yield [row[1] for row in rows]
            left, place = left - len(rows), rows[-1][0]

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()

    def _note(self, collection: str, document: Mapping[str, object]) -> None:
        parent = document.get("postId")
        if parent is not None and self.get("posts", parent) is None:
            self._strays = True
        for name in document:
            self._rows("insert or ignore into fields values (?, ?)", collection, name)

    def _fill(self, posts: int, comments_per_post: int) -> None:
        self._database.execute("begin")
        self._fill_one("posts", texts.posts(posts))
        self._fill_one("comments", texts.comments(posts, comments_per_post))
        self._database.execute("pragma user_version = 1")
        self._database.execute("commit")

    def _fill_one(self, name: str, documents: Iterable[Mapping[str, object]]) -> None:
        self._create(_SCHEMA, name)
        first = next(iter(documents), None)
        if first is not None:
            self._note(name, first)
            self._insert_many(name, [first])
        self._insert_many(name, documents)
        self._create(_INDEXES, name)

    def _insert_many(self, name: str, documents: Iterable[Mapping[str, object]]) -> None:
        self._database.executemany(
            f"insert into {name} (id, parent, document) values (?, ?, ?)",
            map(_row, documents),
        )

    def _create(self, statements: str, name: str) -> None:
        for statement in statements.format(name=name).split(";\n"):
            self._database.execute(statement)


def key(name: object) -> object:
    """An id or a reference as it is kept: 7 and "7" are the same."""
    text = str(name)
    return int(text) if text.isascii() and text.isdigit() and str(int(text)) == text and len(text) < 19 else text


def element(text: bytes) -> bytes:
    """The text of an element of a list as the text of an object of its own."""
    return text.replace(b"\n  ", b"\n").removeprefix(b"  ")


def _row(document: Mapping[str, object]) -> tuple[object, object, bytes]:
    text = b"  " + orjson.dumps(document, option=orjson.OPT_INDENT_2).replace(b"\n", b"\n  ")
    parent = document.get("postId")
    return key(document["id"]), None if parent is None else key(parent), text


def _conditions(parent: str | None, text: str) -> tuple[str, list[object]]:
    conditions, values = ["true"], list[object]()
    if parent is not None:
        conditions.append("parent = ?")
        values.append(key(parent))
    if text:
        conditions.append("instr(document, ?)")
        values.append(orjson.dumps(text)[1:-1])
    return " and ".join(conditions), values
