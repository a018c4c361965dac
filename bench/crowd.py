"""A database full of what pages show: changes, what waits, dead letters, endpoints, orders (sql/crowd.sql)."""

from dataclasses import asdict, dataclass

from bench.place import Connection
from lockstep.sql import statements

SQL = statements(__file__, "crowd")
LEAST = {"changes": 10_000, "letters": 200, "endpoints": 20, "objects": 200, "owners": 10}
CHUNKS = 20  # transactions that write the log


@dataclass(frozen=True)
class Crowd:
    """How much there is. `objects` are posts and orders; there are half as many comments, and fewer of other things."""

    changes: int
    letters: int
    endpoints: int
    objects: int
    owners: int

    def scaled(self, scale: float) -> "Crowd":
        """The same crowd with other amounts. The fewest that fit together are small."""
        return Crowd(**{name: max(round(amount * scale), LEAST[name]) for name, amount in asdict(self).items()})

    def fill(self, connection: Connection) -> None:
        """Fills a migrated database. A tenth of the log is not fanned out yet."""
        amounts = asdict(self)
        for name, statement in SQL.items():
            if name == "log":
                ((logged,),) = connection.execute("SELECT count(*) FROM lockstep_change").fetchall()
                for chunk in range(CHUNKS):
                    if chunk == CHUNKS - CHUNKS // 10:
                        connection.execute(SQL["new_place"])
                    connection.execute(statement, {**amounts, "logged": logged, "chunk": chunk, "chunks": CHUNKS})
            elif name != "new_place":
                connection.execute(statement, amounts)
