"""Work that outlives its callback: jobs in order on one thread, and services that answer when the work is done.

A blocking service callback starves the single-threaded executor, and one that awaits makes rclpy spin at full load.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")
LOG = logging.getLogger(__name__)


class SerialWorker:
    """Runs jobs one after the other on its own thread; outcomes come back on the executor's thread."""

    def __init__(self, node: Any, capacity: int = 8) -> None:
        self._node = node
        self._jobs: queue.Queue[Callable[[], Callable[[], None]] | None] = queue.Queue(capacity)
        self._done: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._closed = False
        self._guard = node.create_guard_condition(self._deliver)
        self._thread = threading.Thread(target=self._run, name="astra-serial-worker", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], Result], on_result: Callable[[Result], None], on_error: Callable[[Exception], None]) -> bool:
        """Queue `work`; False if too much waits already."""

        def job() -> Callable[[], None]:
            try:
                result = work()
            except Exception as error:
                LOG.debug("job failed", exc_info=True)
                failure = error
                return lambda: on_error(failure)
            return lambda: on_result(result)

        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def close(self, timeout_s: float = 5.0) -> None:
        """End the thread after the running job; what still waits is dropped."""
        self._closed = True
        while True:
            try:
                self._jobs.get_nowait()
            except queue.Empty:
                break
        self._jobs.put(None)
        self._thread.join(timeout_s)
        self._node.destroy_guard_condition(self._guard)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            done = job()
            if self._closed:
                return
            self._done.put(done)
            self._guard.trigger()

    def _deliver(self) -> None:
        while not self._closed:
            try:
                done = self._done.get_nowait()
            except queue.Empty:
                return
            done()


class DeferredService:
    """A service whose `on_request(request, reply)` returns at once; `reply(response)` answers, then or later, on the executor's thread."""

    def __init__(self, node: Any, service_type: Any, name: str, on_request: Callable[[Any, Callable[[Any], None]], None]) -> None:
        self._node, self._on_request = node, on_request
        self._request: Any = None
        self._service = node.create_service(service_type, name, self._take)
        self._send = self._service.send_response
        # rclpy calls send_response right after the callback; here that is where the request's return address becomes known.
        self._service.send_response = self._addressed

    def close(self) -> None:
        """End the service; requests that are still worked on go without an answer."""
        self._on_request = lambda request, reply: None
        self._send = lambda answer, header: None
        self._node.destroy_service(self._service)

    def _take(self, request: Any, response: Any) -> Any:
        self._request = request
        return response

    def _addressed(self, response: Any, header: Any) -> None:
        request, self._request = self._request, None
        self._on_request(request, lambda answer: self._send(answer, header))
