"""Stages over many processes: a pool on this machine, or a Ray cluster.

Work is cut into the same pieces however many processes there are, and results are taken in order, so that a map does not depend on who made it.
What a piece needs travels with it (image files as bytes), so that the machines of a cluster share no disk; only tours are opened where they are
read, and must lie at the same path everywhere.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, TypeVar

from astra.core.errors import AstraError, BadInputError, MappingError, MissingDependencyError

logger = logging.getLogger(__name__)
A = TypeVar("A")
B = TypeVar("B")
MOST_WORKERS = 256
AHEAD = 2  # pieces a worker that wait for it: more would only fill memory


@dataclass(frozen=True, slots=True, eq=False)
class Workers:
    """Processes that take work: any executor of `concurrent.futures`, and how many pieces it works on at once."""

    executor: Executor
    count: int

    def in_order(self, task: Callable[[A], B], pieces: Iterable[A]) -> Iterator[B]:
        """`task` of every piece, in the order of the pieces, a few of which are under way at any time.

        Raises:
            AstraError: the first that a task raised.
            MappingError: a worker ended before its time.
        """
        waiting: deque[Future[_Outcome[B]]] = deque()
        try:
            for piece in pieces:
                waiting.append(self.executor.submit(_attempt, task, piece))
                if len(waiting) > AHEAD * self.count:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[B]):
    """What a task gave, or the error that the user can act on: as a value it arrives unwrapped from any executor."""

    value: B | None = None
    error: AstraError | None = None


@dataclass(frozen=True, slots=True)
class Shared(Generic[A]):
    """Something that many pieces need and that is slow to set up, such as a model: each process unpacks it once."""

    packed: bytes = field(repr=False)

    @staticmethod
    def of(value: A) -> Shared[A]:
        """Pack a value.

        Raises:
            TypeError: it cannot be packed; what holds an open model, for example.
        """
        return Shared(pickle.dumps(value))

    def get(self) -> A:
        """The value, the same object for every piece of this process."""
        value: A = _unpacked(self.packed)
        return value


@contextmanager
def open_workers(processes: int = 1, ray_address: str | None = None) -> Iterator[Workers | None]:
    """Workers for the length of a build; None for one process, this one.

    Args:
        processes: of a pool on this machine.
        ray_address: of a Ray cluster, `auto` for the one that this machine belongs to, `local` for one of its own; None for none.

    Raises:
        BadInputError: a number out of range, both kinds at once, or no cluster at the address.
        MissingDependencyError: Ray is not installed.
    """
    if not 1 <= processes <= MOST_WORKERS:
        raise BadInputError(f"--workers {processes} is not between 1 and {MOST_WORKERS}")
    if ray_address is not None:
        if processes > 1:
            raise BadInputError("--workers and --ray exclude each other: a cluster knows how many processes it has")
        with _ray_workers(ray_address) as workers:
            yield workers
    elif processes == 1:
        yield None
    else:
        # A forked child would inherit the locks of COLMAP's and torch's threads.
        pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
        try:
            yield Workers(pool, processes)
        finally:
            pool.shutdown(cancel_futures=True)


class RayExecutor(Executor):
    """A Ray cluster as an executor of `concurrent.futures`; each task takes one CPU."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._call = ray.remote(_call)

    def submit(self, fn: Callable[..., B], /, *args: Any, **kwargs: Any) -> Future[B]:
        """Send a call to the cluster."""
        future: Future[B] = self._call.remote(fn, args, kwargs).future()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster."""
        self._ray.shutdown()


@contextmanager
def _ray_workers(address: str) -> Iterator[Workers]:
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise MissingDependencyError(f"--ray needs the package ray: pip install -r requirements/ray.txt ({error})") from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False if address == "local" else None)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise BadInputError(f"--ray {address}: no Ray cluster there ({str(error).splitlines()[0]})") from error
    executor = RayExecutor(ray)
    try:
        yield Workers(executor, max(int(ray.cluster_resources().get("CPU", 1)), 1))
    finally:
        executor.shutdown()


def _call(fn: Callable[..., B], args: tuple[Any, ...], kwargs: dict[str, Any]) -> B:
    return fn(*args, **kwargs)


def _attempt(task: Callable[[A], B], piece: A) -> _Outcome[B]:
    try:
        return _Outcome(task(piece))
    except AstraError as error:
        return _Outcome(error=error)


def _result(future: Future[_Outcome[B]]) -> B:
    try:
        outcome = future.result()
    except BrokenProcessPool as error:
        raise MappingError("a worker process ended before its time (out of memory?); try fewer --workers") from error
    if outcome.error is not None:
        raise outcome.error
    return outcome.value  # type: ignore[return-value]  # None is what such a task gives


@lru_cache(maxsize=4)
def _unpacked(packed: bytes) -> Any:
    return pickle.loads(packed)
