"""Heavy work off the executor thread: one thread, the newest job wins, results come back on the executor's thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
LOG = logging.getLogger(__name__)


class LatestWorker(Generic[Job, Result]):
    """Runs `function(job)` on its own thread; a job submitted while another waits replaces it.

    Args:
        node: whose executor runs the callbacks (through a guard condition).
        function: the work; runs on the worker's thread.
        on_result: receives each result, on the executor's thread.
        on_error: receives the exception of a failed job, on the executor's thread.
    """

    def __init__(
        self, node: Any, function: Callable[[Job], Result], on_result: Callable[[Result], None], on_error: Callable[[Exception], None]
    ) -> None:
        self._node, self._function, self._on_result, self._on_error = node, function, on_result, on_error
        self._condition = threading.Condition()
        self._job: tuple[Job] | None = None
        self._done: list[Callable[[], None]] = []
        self._closed = False
        self._busy = False
        self.dropped = 0
        self._guard = node.create_guard_condition(self._deliver)
        self._thread = threading.Thread(target=self._run, name="astra-worker", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a job is running or waiting."""
        with self._condition:
            return self._busy or self._job is not None

    def submit(self, job: Job) -> None:
        """Queue a job, replacing one that still waits."""
        with self._condition:
            if self._job is not None:
                self.dropped += 1
            self._job = (job,)
            self._condition.notify()

    def close(self, timeout_s: float = 5.0) -> None:
        """Finish the running job and end the thread; results that were not delivered are dropped."""
        with self._condition:
            self._closed, self._job = True, None
            self._condition.notify()
        self._thread.join(timeout_s)
        self._node.destroy_guard_condition(self._guard)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closed or self._job is not None)
                if self._closed:
                    return
                assert self._job is not None
                (job,), self._job, self._busy = self._job, None, True
            try:
                done: Callable[[], None] = partial(self._on_result, self._function(job))
            except Exception as error:
                LOG.debug("job failed", exc_info=True)
                done = partial(self._on_error, error)
            with self._condition:
                self._busy = False
                self._done.append(done)
                if not self._closed:
                    self._guard.trigger()

    def _deliver(self) -> None:
        with self._condition:
            done, self._done = self._done, []
        for deliver in done:
            deliver()
