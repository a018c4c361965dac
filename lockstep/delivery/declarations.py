"""`subscriber`: declares functions that receive changes, in an app's `subscribers.py`.

@subscriber("blog.article", kind="state", deadline=20)
async def push(change: Change, crm=resource(open_crm)): ...       # awaited in the worker's event loop

@subscriber("blog.*")
def notify(change: Change): ...                                   # run in a thread, where Django's ORM can be used

@subscriber("blog.article", transactional=True, batch=100)
def tally(changes: list[Change]): ...                             # its writes commit with the acknowledgement
"""

import asyncio
import contextvars
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ParamSpec, TypeVar

from django.apps import apps
from django.db import close_old_connections, connections, transaction

from lockstep.changes.context import attributed
from lockstep.conf import is_testing, lockstep_settings
from lockstep.delivery.errors import Receipt
from lockstep.delivery.retry import MAX_WAIT, SCHEDULE
from lockstep.delivery.subscriptions import Change, Claim, Handler, Kind, Pool, Skipped, Subscriber, register

F = TypeVar("F", bound=Callable[..., object])
P = ParamSpec("P")
R = TypeVar("R")
Manager = AbstractAsyncContextManager[object] | AbstractContextManager[object]


PATTERN = re.compile(r"\*|\w+\.\*|\w+\.\w+(\.(created|updated|deleted|\*))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Resource:
    """A context manager that each worker opens once for a subscriber."""

    open: Callable[[], Manager]


def resource(open: Callable[[], Manager]) -> Any:  # noqa: ANN401 - it stands for the opened resource
    """The default of a subscriber's parameter, whose value is what the context manager from `open` yields.

    Each worker enters it before it delivers the first change. The manager may be asynchronous. Raises ValueError where
    `open` is no function without parameters.
    """
    if not _takes(open):
        raise ValueError(f"resource({open!r}): name a function without parameters that returns a context manager.")
    return Resource(open)


def subscriber(
    *models: str,
    kind: Kind = "event",
    name: str | None = None,
    concurrency: int = 8,
    deadline: float = 30.0,
    batch: int = 1,
    transactional: bool = False,
    skip_origin: str | None = None,
    cap: int = 1_000_000,
    retry: Sequence[float] = SCHEDULE[1:],
    only_changed: Sequence[str] = (),
    on_dead_letter: Callable[[Change, str], object] | None = None,
) -> Callable[[F], F]:
    """Declares a function as a subscriber of changes: "blog.article", "blog.*" or "*". The function is returned as is.

    `kind`: "event" gets every change, "state" only the latest of an object. `name`, of the subscription, is
    "<app>.<function>" by default. `concurrency` limits the calls in progress in one worker, `deadline` the seconds of
    each: after it a coroutine is cancelled, a plain function continues in its thread, and the change is retried. A
    `transactional` function writes only to the project's database: its writes are committed together with the
    acknowledgement, exactly once; it gets a list of up to `batch` changes of different objects. Changes whose origin
    is `skip_origin` are not delivered. At `cap` waiting changes fan-out stops until half of them are delivered.
    `retry` are the seconds before the second attempt, the third and so on; after the last one the change is a dead
    letter, and `on_dead_letter(change, cause)` is called. `only_changed`, for events, skips updates of other columns.

    Raises ValueError for invalid and for incompatible options, and for a function that takes other parameters.
    """
    if any(inspect.isroutine(each) for each in models):
        raise ValueError('@subscriber needs parentheses with what it follows: @subscriber("app.model").')

    def declare(function: F) -> F:
        own = name or default_name(function)
        fault = _fault_of_options(models, kind, transactional, retry, only_changed)
        if fault := fault or _fault_of_functions(function, transactional, on_dead_letter):
            raise ValueError(f"subscriber {own!r}: {fault}")
        register(
            Subscriber(
                own,
                kind,
                connect=None if transactional else _connect(function, frozenset(only_changed), concurrency),
                transactional=_transactional(function, concurrency) if transactional else None,
                follows=tuple(map(_pattern, models)),
                only_changed=tuple(only_changed),
                skip_origin=skip_origin,
                batch=batch,
                concurrency=concurrency,
                deadline=deadline,
                cap=cap,
                schedule=(0.0, *retry),
                on_dead_letter=_asynchronous(on_dead_letter) if on_dead_letter else None,
            )
        )
        return function

    return declare


def default_name(function: Callable[..., object]) -> str:
    """ "<app>.<function>", with the label of the function's app."""
    module = function.__module__
    config = apps.get_containing_app_config(module) if apps.apps_ready else None
    return f"{config.label if config else module.partition('.')[0]}.{function.__name__}"


def _fault_of_options(
    models: Sequence[str], kind: Kind, transactional: bool, retry: Sequence[float], only_changed: Sequence[str]
) -> str:
    if not models:
        return 'name what it follows: "app.model", "app.*" or "*".'
    if unknown := [each for each in models if not isinstance(each, str) or not PATTERN.fullmatch(each)]:
        return f'{unknown[0]!r} is none of "app.model", "app.model.created" (updated, deleted), "app.*" and "*".'
    if isinstance(only_changed, str):
        return f'only_changed is a list of columns: ["{only_changed}"].'
    if only_changed and (kind == "state" or transactional):
        return "only_changed is for events: a state stands for all changes before it."
    is_list = isinstance(retry, Sequence) and all(isinstance(seconds, int | float) for seconds in retry)
    if not is_list or any(not 0 <= seconds <= MAX_WAIT for seconds in retry):
        return f"retry is a list of seconds from 0 to {MAX_WAIT:,.0f}."
    return ""


def _fault_of_functions(
    function: Callable[..., object], transactional: bool, on_dead_letter: Callable[[Change, str], object] | None
) -> str:
    if transactional and inspect.iscoroutinefunction(function):
        return "a transactional subscriber is a plain function: its transaction is that of one connection of Django."
    if transactional and _resources(function):
        return "a transactional subscriber has no resources: it writes to the database alone."
    if not _takes(function, None, **_resources(function)):
        what = "a list of changes" if transactional else "a change"
        return f"it is called with {what}, and {function} takes other parameters: only resource(…) may be one more."
    if on_dead_letter and not _takes(on_dead_letter, None, None):
        return f"on_dead_letter is called with the change and the cause, and {on_dead_letter} takes other parameters."
    return ""


def _takes(function: Callable[..., object], *args: object, **kwargs: object) -> bool:
    """Whether the function can be called with these arguments."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # its parameters are unknown, as of some functions in C
        return True
    return True


def _pattern(models: str) -> str:
    """The pattern of a subscription: "blog.article" follows all kinds of its changes."""
    return models.lower() if models.endswith("*") or models.count(".") == 2 else f"{models.lower()}.*"


def _resources(function: Callable[..., object]) -> dict[str, Resource]:
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if isinstance(each.default, Resource)}


def _connect(
    function: Callable[..., object], columns: frozenset[str], concurrency: int
) -> Callable[[Pool], AbstractAsyncContextManager[Handler]]:
    @asynccontextmanager
    async def connect(pool: Pool) -> AsyncIterator[Handler]:
        async with AsyncExitStack() as stack:
            opened = {name: await _enter(stack, each) for name, each in _resources(function).items()}
            call: Callable[[Change], Awaitable[object]]
            if inspect.iscoroutinefunction(function):
                call = partial(function, **opened)
            else:
                threads = _threads(function, concurrency)
                stack.callback(threads.shutdown, wait=False)
                call = partial(_in_thread, threads, partial(function, **opened))

            async def handle(claim: Claim) -> Receipt | Skipped | None:
                change = claim.sent
                if columns and change.kind == "updated" and columns.isdisjoint(change.changed):
                    return Skipped(f"none of {', '.join(sorted(columns))} has changed")
                with attributed(trace=change.trace or ""):
                    result = await call(change)
                return result if isinstance(result, dict | Skipped) else None

            yield handle

    return connect


async def _enter(stack: AsyncExitStack, each: Resource) -> object:
    manager = each.open()
    if isinstance(manager, AbstractAsyncContextManager):
        return await stack.enter_async_context(manager)
    return stack.enter_context(manager)


def _threads(function: Callable[..., object], count: int) -> ThreadPoolExecutor:
    """A subscriber's own threads, started on demand: one that hangs takes none from others or from the event loop."""
    return ThreadPoolExecutor(count, thread_name_prefix=getattr(function, "__name__", "subscriber"))


async def _in_thread(threads: ThreadPoolExecutor, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls a plain function in one of these threads.

    Its Django connections are kept or closed as between two requests.
    """

    def call() -> R:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        except StopIteration as error:  # asyncio takes it for the end of a coroutine
            raise RuntimeError("StopIteration") from error
        finally:
            connections.close_all() if is_testing() else close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(threads, contextvars.copy_context().run, call)


def _transactional(function: Callable[..., object], concurrency: int) -> Callable[[Sequence[Claim]], Awaitable[None]]:
    threads = cache(partial(_threads, function, concurrency))  # not yet: the Subscriber refuses a wrong concurrency

    def work(claims: Sequence[Claim]) -> None:
        from lockstep.delivery.lanes import settle_within  # imported late, because it needs psycopg

        using = lockstep_settings.DATABASE
        with transaction.atomic(using):
            function([claim.sent for claim in claims])
            settle_within(connections[using], claims)

    async def handle(claims: Sequence[Claim]) -> None:
        await _in_thread(threads(), work, claims)

    return handle


def _asynchronous(on_dead_letter: Callable[[Change, str], object]) -> Callable[[Change, str], Awaitable[None]]:
    if inspect.iscoroutinefunction(on_dead_letter):
        return on_dead_letter
    threads = _threads(on_dead_letter, 1)

    async def report(change: Change, cause: str) -> None:
        await _in_thread(threads, on_dead_letter, change, cause)

    return report
