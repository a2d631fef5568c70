import threading
import time
from collections.abc import Iterator

import pytest
from ros_bench import RosBench, ros_bench

from astra.ros.worker import LatestWorker

pytestmark = pytest.mark.ros


@pytest.fixture
def bench(ros_domain: int) -> Iterator[RosBench]:
    with ros_bench() as bench:
        yield bench


def test_the_newest_job_wins_and_results_come_back_on_the_executors_thread(bench: RosBench) -> None:
    gate, started = threading.Event(), threading.Event()
    results: list[tuple[int, int]] = []
    workers: list[int] = []

    def work(job: int) -> int:
        workers.append(threading.get_ident())
        started.set()
        assert gate.wait(10.0)
        return job * 10

    worker = LatestWorker(bench.node, work, lambda r: results.append((r, threading.get_ident())), lambda e: pytest.fail(str(e)))
    worker.submit(1)
    assert started.wait(5.0)
    for job in (2, 3, 4):
        worker.submit(job)
    assert worker.busy
    gate.set()
    bench.until(lambda: len(results) == 2, 5.0, "two results")
    assert [r for r, _ in results] == [10, 40]
    assert worker.dropped == 2
    assert {ident for _, ident in results} == {threading.get_ident()}
    assert threading.get_ident() not in workers
    worker.close()
    assert not worker.busy


def test_a_result_wakes_an_executor_that_waits_for_nothing_else(bench: RosBench) -> None:
    results: list[float] = []
    worker = LatestWorker(bench.node, lambda _: time.sleep(0.2), lambda _: results.append(time.monotonic()), lambda e: pytest.fail(str(e)))
    worker.submit(0)
    began = time.monotonic()
    while not results and time.monotonic() - began < 5.0:
        bench.executor.spin_once(timeout_sec=5.0)
    assert results and results[0] - began < 1.0
    worker.close()


def test_an_error_reaches_the_executor_and_the_worker_goes_on(bench: RosBench) -> None:
    def work(job: int) -> float:
        return 1.0 / job

    errors: list[Exception] = []
    results: list[float] = []
    worker = LatestWorker(bench.node, work, results.append, errors.append)
    worker.submit(0)
    bench.until(lambda: errors, 5.0, "an error")
    assert isinstance(errors[0], ZeroDivisionError)
    worker.submit(2)
    bench.until(lambda: results, 5.0, "a result")
    assert results == [0.5]
    worker.close()


def test_closing_waits_for_the_job_and_delivers_nothing_more(bench: RosBench) -> None:
    finished: list[int] = []

    def work(job: int) -> None:
        time.sleep(0.3)
        finished.append(job)

    worker = LatestWorker(bench.node, work, lambda _: pytest.fail("delivered after close"), lambda e: pytest.fail(str(e)))
    worker.submit(1)
    time.sleep(0.1)
    worker.submit(2)
    worker.close()
    assert finished == [1]
    bench.spend(0.2)
