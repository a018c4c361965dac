"""What can keep Lockstep from starting. A docstring is the message: what is wrong, then the way out.

LauncherError
├── BadSetting          a variable cannot be used
├── PortTaken           another process listens on HOST:PORT
├── AlreadyRunning      another launcher holds this LOCKSTEP_HOME
├── HomeNotWritable     LOCKSTEP_HOME refuses files
├── NoSpace             the disk is full
├── DatabaseUnreachable DATABASE_URL is set, and nothing usable answers there
├── PostgresMissing     no embedded PostgreSQL for this machine
├── PostgresUnreachable root cannot lend PostgreSQL an account that reaches its files
├── NotYourData         the data folder belongs to another user
├── OtherVersion        the data folder is of another PostgreSQL
├── DataInUse           a PostgreSQL that we did not start runs on the data folder
├── DataDamaged         PostgreSQL refuses its data folder
└── PreparationFailed   migrations or development accounts failed
"""

import inspect


class LauncherError(Exception):
    """Lockstep could not start."""

    def __init__(self, **facts: object) -> None:
        super().__init__(inspect.cleandoc(type(self).__doc__ or "").format(**facts))


class BadSetting(LauncherError):
    """{name}={value} cannot be used: {reason}"""


class PortTaken(LauncherError):
    """port {port} on {host} is taken by {by}.
    Choose another one, for example:  PORT={other} make run"""


class AlreadyRunning(LauncherError):
    """already running on {home}{by}.
    End that one first, or start a second system beside it:  LOCKSTEP_HOME=.lockstep-2 PORT=8001 make run"""


class HomeNotWritable(LauncherError):
    """{home} cannot be used as LOCKSTEP_HOME: {reason}.
    Make it writable for this user, or choose another folder:  LOCKSTEP_HOME=~/lockstep make run"""


class NoSpace(LauncherError):
    """there is no space left on the disk of {home} ({free} MB free, {needed} MB needed).
    Nothing was lost. Free some space and start again, or put the data on another disk:
      LOCKSTEP_HOME=/path make run"""


class DatabaseUnreachable(LauncherError):
    """DATABASE_URL points to {url}, but that database cannot be used:
    {reason}
    Start or correct it, or leave DATABASE_URL unset: then an embedded PostgreSQL is used."""


class PostgresMissing(LauncherError):
    """the embedded PostgreSQL is not installed here ({reason}).
    Run `make build`, or give a PostgreSQL of your own:  DATABASE_URL=postgresql://… make run"""


class PostgresUnreachable(LauncherError):
    """PostgreSQL refuses to run as root, and the account {account} cannot reach {paths} ({reason}).
    Ways out: start as an ordinary user; or have both, the clone and LOCKSTEP_HOME, in folders that every
    account may enter; or give a PostgreSQL of your own:  DATABASE_URL=postgresql://… make run"""


class NotYourData(LauncherError):
    """{path} belongs to {owner}, not to you.
    Start as {owner} or as root, give it to yourself with chown, or start afresh elsewhere:
      LOCKSTEP_HOME=.lockstep-2 make run"""


class OtherVersion(LauncherError):
    """the data in {folder} was made by PostgreSQL {found}; this one is {expected}.
    Nothing was touched. Either go back to the version of Lockstep that made it, dump the data there with
    pg_dump and load it here; or move the data aside and start afresh:
      mv {folder} {folder}.{found}"""


class DataInUse(LauncherError):
    """another PostgreSQL (process {pid}) runs on {folder}.
    End it first:  kill -INT {pid}"""


class DataDamaged(LauncherError):
    """PostgreSQL refuses to start. The last lines of {log}:
    {lines}
    The data is in {folder}; nothing was deleted.
    Where the lines speak of damage, restore it from a backup, or move it aside and start afresh:
      mv {folder} {folder}.damaged"""


class PreparationFailed(LauncherError):
    """the database could not be prepared; the lines above say why. The data is as it was before.
    Repair what they name and start again."""
