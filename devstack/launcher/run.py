"""`make run`: the order in which everything starts, and in which it ends."""

import http.client
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping

from backend import web_server
from devstack import sandbox
from devstack.launcher import banner, cluster, in_use, parent, postgres
from devstack.launcher.children import Program, Supervisor
from devstack.launcher.environment import ROOT, Environment, read
from devstack.launcher.errors import DatabaseUnreachable, LauncherError, PortTaken, PreparationFailed
from devstack.launcher.home import Home, free_port, is_there, local_port, require_port
from devstack.launcher.output import Output

PREPARATIONS = 3
# What runs in the place of a remote system, unless its variable names one: child, variable, module.
STAND_INS = (
    ("provider", "POSTS_PROVIDER_URL", sandbox.MODULES["posts"]),
    ("payments", "PAYMENTS_URL", sandbox.MODULES["payments"]),
    ("counter", "COUNTER_URL", sandbox.MODULES["counter"]),
    ("movies", "MOVIES_PROVIDER_URL", sandbox.MODULES["movies"]),
)
# Together below the 10 s within which everything must be gone.
STOP_STAGES = ((("web", "worker", "prepare", *(name for name, _, _ in STAND_INS)), 5.0), (("postgres",), 4.0))


def run() -> int:
    """0 when ended by a signal. Raises a LauncherError when it cannot start."""
    environment = read()
    home = Home(environment.home)
    if not is_there(home.folder):
        require_start(environment, home)  # a start that is refused leaves no folder behind
    home.open(environment.address)
    output = Output()
    supervisor = Supervisor(output, parent.interrupted_make())
    supervisor.listen_to_signals()
    try:
        with in_use.held(f"at {environment.address}, on {home.folder}"):
            System(environment, home, supervisor, output).run()
    except OSError as error:
        raise home.explain(error) from error
    finally:
        # A second signal ends the process: the handlers would only set a flag that is not read any more.
        signal.set_wakeup_fd(-1)
        output.flush()
    return 0


def require_start(environment: Environment, home: Home) -> None:
    """Raises what a first start would be refused for, before anything is made."""
    require_own_port(environment)
    home.require_space()
    if url := environment.variables.get("DATABASE_URL"):
        require_database(url)


def require_own_port(environment: Environment) -> None:
    """Raises PortTaken or BadSetting. Another start of this clone, with a LOCKSTEP_HOME of its own, is named."""
    own = f"process {os.getpid()}, "
    others = [one for one in in_use.running() if f":{environment.port}, on " in one and not one.startswith(own)]
    by = f"another Lockstep of this clone: {others[0]}" if others else "another program"
    require_port(environment.host, environment.port, by)


def require_database(url: str) -> None:
    """Raises DatabaseUnreachable."""
    if url.startswith(("postgresql://", "postgres://")) and (reason := postgres.unusable(url)):
        raise DatabaseUnreachable(url=banner.without_password(url), reason=reason)


class System:
    """Everything that one start runs."""

    def __init__(self, environment: Environment, home: Home, supervisor: Supervisor, output: Output) -> None:
        self.environment = environment
        self.home = home
        self.supervisor = supervisor
        self.output = output
        self.previous = home.read_environment()
        self.values: dict[str, str] = {}
        self.server: postgres.Server | None = None
        self._last_readiness = "nothing"

    def run(self) -> None:
        """Start in order; then look after it until a signal comes; then end all of it, whatever happened."""
        steps = (self._check, self._start_database, self._start_stand_ins, self._prepare, self._start_services)
        try:
            for step in steps:
                if self.supervisor.stopping:
                    return
                step()
            while not self.supervisor.stopping:
                self.supervisor.step(0.5)
            self.output.say("ending …")
        finally:
            self.supervisor.stop(*STOP_STAGES)

    def _check(self) -> None:
        """(1) The port is free, (2) there is room. Before anything starts."""
        deadline = time.monotonic() + (3.0 if self.previous else 0.0)
        while True:
            try:
                require_own_port(self.environment)
                break
            except PortTaken:
                # After a `kill -9` of the launcher, its web server may still be ending.
                if time.monotonic() > deadline or not self._pause(0.1):
                    raise
        self.home.require_space()

    def _pause(self, seconds: float) -> bool:
        """False if a stop was requested meanwhile."""
        end = time.monotonic() + seconds
        return self.supervisor.wait(lambda: time.monotonic() >= end)

    def _start_database(self) -> None:
        if url := self.environment.variables.get("DATABASE_URL"):
            require_database(url)
            self._share(url)
            return
        self._wait_for_predecessor()
        port = local_port(self.previous.get("DATABASE_URL", ""))
        self.server = postgres.Server(self.home.postgres, port=port, log=self.home.postgres_log)
        if not self.home.postgres.exists():
            self.output.say("making the database cluster …")
        self.server.prepare()
        self._share(self.server.url)
        self._run_server(self.server)

    def _wait_for_predecessor(self) -> None:
        """A PostgreSQL whose launcher was killed ends by itself, after it has written everything down."""
        if not cluster.running_postmaster(self.home.postgres):
            return
        self.output.say("waiting for the PostgreSQL of an earlier start to end …")
        deadline = time.monotonic() + 20
        self.supervisor.wait(lambda: not cluster.running_postmaster(self.home.postgres) or time.monotonic() > deadline)
        if not self.supervisor.stopping:
            postgres.Server(self.home.postgres).require_exclusive()

    def _run_server(self, server: postgres.Server) -> None:
        program = server.program()
        program.on_death = self._judge_postgres
        self.supervisor.add(program)
        self._wait(server.is_ready, 5.0, lambda: f"PostgreSQL is not ready yet: {server.problem()}")
        # From here on a refusal is printed, and the start repeated: it ran once.
        program.on_death = self._report_postgres

    def _judge_postgres(self, code: int) -> None:
        assert self.server  # noqa: S101 - only its own program calls this
        port = self.server.port
        self.server.judge_death(code)
        if self.server.port != port:
            self._share(self.server.url)

    def _report_postgres(self, code: int) -> None:
        assert self.server  # noqa: S101 - only its own program calls this
        try:
            # Its port was announced: wait for it instead of taking another.
            self.server.judge_death(code, may_move=False)
        except LauncherError as error:
            self.output.say(str(error))

    def _share(self, database_url: str) -> None:
        """Writes the settings for settings.py, here and in other terminals."""
        configured, previous = self.environment.variables, self.previous
        key = configured.get("SECRET_KEY") or previous.get("SECRET_KEY") or secrets.token_urlsafe(50)
        self.values = {
            "DEBUG": "true",
            **configured,
            "SECRET_KEY": key,
            "DATABASE_URL": database_url,
            **{variable: self._address(variable) for _, variable, _ in STAND_INS},
            "PORT": str(self.environment.port),
            "HOST": self.environment.host,
        }
        self.home.write_environment(self.values)

    def _address(self, variable: str) -> str:
        """The configured remote system, else its stand-in, at its previous address if possible."""
        address = self.environment.variables.get(variable) or self.values.get(variable)
        return address or f"http://127.0.0.1:{free_port(local_port(self.previous.get(variable, '')))}"

    def _start_stand_ins(self) -> None:
        missing = [stand_in for stand_in in STAND_INS if stand_in[1] not in self.environment.variables]
        ports = [self._start_stand_in(*stand_in) for stand_in in missing]
        deadline = time.monotonic() + 15
        self.supervisor.wait(lambda: all(map(_answers, ports)) or time.monotonic() > deadline)

    def _start_stand_in(self, name: str, variable: str, module: str) -> int:
        port = local_port(self.values[variable]) or 0
        command = ["-m", module, "--port", str(port), "--folder", str(self.home.sandbox)]
        self.supervisor.add(self._python(name, command))
        return port

    def _prepare(self) -> None:
        """Migrations, accounts, first import. All may be repeated, and are when PostgreSQL died meanwhile."""
        for _ in range(PREPARATIONS):
            deaths = self.supervisor.deaths("postgres")
            code = self.supervisor.run_once(self._python("prepare", ["-m", "backend.prepare"], restart=False))
            if code in (0, None):
                return
            if self.supervisor.deaths("postgres") == deaths:
                break
            if self.server:
                self.supervisor.wait(self.server.is_ready)
        raise PreparationFailed

    def _start_services(self) -> None:
        self.supervisor.add(self._python("web", self._web_arguments()))
        self.supervisor.add(self._python("worker", ["manage.py", "lockstep", "worker"]))
        if self._wait(self._is_ready, 10.0, lambda: f"not ready yet: /readyz answers {self._last_readiness}"):
            for part in banner.parts(self.environment, self.values, embedded=self.server is not None):
                self.output.show(part)

    def _web_arguments(self) -> list[str]:
        # One process is ready 1.5 s earlier than two on two cores.
        host, port = web_server.numeric(self.environment.host), self.environment.port
        return web_server.command(sys.executable, host=host, port=port, workers=1)[1:]

    def _python(self, name: str, arguments: list[str], *, restart: bool = True) -> Program:
        # A web server ends its own workers at SIGTERM; the other processes have none.
        death = signal.SIGTERM if name == "web" else signal.SIGKILL
        return Program(
            name=name,
            command=lambda: [sys.executable, *arguments],
            environment={**os.environ, **self.values, **self._surroundings()},
            folder=ROOT,
            death_signal=death,
            restart=restart,
        )

    def _surroundings(self) -> Mapping[str, str]:
        # A company's proxy must not come between the children.
        direct = ",".join(filter(None, [os.environ.get("NO_PROXY", ""), "127.0.0.1,localhost,::1"]))
        return {
            "LOCKSTEP_HOME": str(self.home.folder),
            "PYTHONUNBUFFERED": "1",
            **web_server.ENVIRONMENT,
            "NO_PROXY": direct,
            "no_proxy": direct,
        }

    def _wait(self, condition: Callable[[], bool], seconds: float, reminder: Callable[[], str]) -> bool:
        """Waits for the condition, with a line of output every so many seconds. False if a stop was requested."""
        due = time.monotonic() + seconds

        def holds() -> bool:
            nonlocal due
            if condition():
                return True
            if time.monotonic() >= due:
                self.output.say(reminder())
                due = time.monotonic() + seconds
            return False

        return self.supervisor.wait(holds)

    def _is_ready(self) -> bool:
        self._last_readiness = self._readiness()
        return self._last_readiness == "200"

    def _readiness(self) -> str:
        """The status of our own /readyz, or why there is none."""
        host = self.environment.reachable_host.strip("[]")
        connection = http.client.HTTPConnection(host, self.environment.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return str(connection.getresponse().status)
        except OSError as error:
            return error.strerror or type(error).__name__
        except http.client.HTTPException as error:
            return type(error).__name__
        finally:
            connection.close()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
