import threading

from service.batching.executor import ThreadExecutor


def test_work_runs_in_order_on_one_other_thread() -> None:
    executor = ThreadExecutor("executor")
    executor.start(on_death=lambda: None)
    seen: list[tuple[int, str]] = []
    finished = threading.Event()
    for number in range(5):
        executor.submit(lambda number=number: seen.append((number, threading.current_thread().name)))  # type: ignore
    executor.submit(finished.set)
    assert finished.wait(timeout=60)
    assert seen == [(number, "executor") for number in range(5)]
    executor.stop()


def test_an_executor_is_alive_from_its_start_to_its_stop() -> None:
    executor = ThreadExecutor("executor")
    assert not executor.alive
    deaths: list[str] = []
    executor.start(on_death=lambda: deaths.append("died"))
    assert executor.alive
    executor.stop()
    executor._thread.join(timeout=60)
    assert not executor.alive
    assert deaths == []


def test_an_executor_that_dies_says_so() -> None:
    executor = ThreadExecutor("executor")
    died = threading.Event()
    executor.start(on_death=died.set)

    def leave() -> None:
        raise SystemExit

    executor.submit(leave)
    assert died.wait(timeout=60)
    assert not executor.alive
