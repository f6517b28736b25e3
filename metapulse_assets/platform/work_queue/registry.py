"""Which function handles which queue. Domains register theirs in `jobs.py`; workers and callers look them up by name."""

import importlib.util
import inspect
import pkgutil
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from metapulse_assets.platform.settings import SettingsError, get_settings
from metapulse_assets.platform.work_queue.policies import Policy

HandlerFunction = Callable[..., Awaitable[Any]] | Callable[..., Any]
F = TypeVar("F", bound=Callable[..., Any])


class UnknownJobType(Exception):  # noqa: N818 - what is wrong is in the name
    """No handler is registered under this name; the message lists those that are."""


@dataclass(frozen=True)
class Handler:
    """A function with its queue's policy. `transactional`: it gets a connection, whose transaction completes the job."""

    queue: str
    function: HandlerFunction
    policy: Policy
    transactional: bool

    @property
    def in_thread(self) -> bool:
        """Whether it is a plain function, which is run in a thread."""
        return not inspect.iscoroutinefunction(self.function)


_handlers: dict[str, Handler] = {}


def handler(queue: str, policy: Policy | None = None, *, transactional: bool = False) -> Callable[[F], F]:
    """Register a function as the handler of a queue.

    An `async def f(job)`; with `transactional`, an `async def f(job, connection)` on a psycopg `AsyncConnection`, or a plain
    `def f(job, connection)` on a SQLAlchemy `Connection`, which is run in a thread. What it returns (JSON) is kept as the
    result; what it raises fails the attempt. Raises ValueError for a name that is taken or a function of another kind.
    """

    def register(function: F) -> F:
        if not queue or queue == "*" or "," in queue or not queue.isprintable():
            raise ValueError(f"queue: {queue!r} cannot be a name")
        if not transactional and not inspect.iscoroutinefunction(function):
            raise ValueError(f"queue {queue}: its handler must be an async function")
        known = _handlers.get(queue)
        if known is not None and (known.function.__module__, known.function.__qualname__) != (
            function.__module__,
            function.__qualname__,
        ):
            raise ValueError(f"queue {queue}: {known.function.__module__} handles it already")
        _handlers[queue] = Handler(queue, function, policy or Policy(), transactional)
        return function

    return register


def handlers() -> dict[str, Handler]:
    """All handlers that are registered so far, by queue."""
    return dict(_handlers)


def load_handlers(also: Iterable[str] = ()) -> dict[str, Handler]:
    """Import the `jobs.py` of every domain, and other modules by name; returns all handlers by queue.

    Raises `SettingsError` for one of the others that cannot be imported.
    """
    import metapulse_assets

    for package in pkgutil.iter_modules(metapulse_assets.__path__):
        if package.ispkg:
            name = f"{metapulse_assets.__name__}.{package.name}.jobs"
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)
    for name in also:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise SettingsError(f"METAPULSE_JOB_MODULES: {name} cannot be imported: {error}") from None
    return handlers()


def find_handler(queue: str) -> Handler:
    """The handler of a queue; the domains' are loaded if it is not known yet. Raises `UnknownJobType`."""
    if queue not in _handlers:
        load_handlers(get_settings().job_modules)
    try:
        return _handlers[queue]
    except KeyError:
        known = ", ".join(sorted(_handlers)) or "none at all"
        raise UnknownJobType(f"job type {queue!r} is unknown; known are: {known}") from None
