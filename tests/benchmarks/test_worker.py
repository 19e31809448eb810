import os

import pytest

from benchmarks.worker import Worker, WorkerFailed


def test_methods_are_called_on_an_object_in_another_process() -> None:
    with Worker("a list", list, [3, 1, 2]) as worker:
        worker.wait_until_made()
        worker.call("append", 0)
        assert worker.call("__len__") == 4
        assert worker.call("index", 0) == 3


def test_what_cannot_be_made_says_why() -> None:
    with Worker("a number", int, "seven") as worker, pytest.raises(WorkerFailed, match=r"(?s)a number: .*'seven'"):
        worker.wait_until_made()


def test_what_a_method_raises_reaches_the_caller() -> None:
    with Worker("a list", list) as worker:
        worker.wait_until_made()
        with pytest.raises(WorkerFailed, match="pop from empty list"):
            worker.call("pop")


def test_a_process_that_ends_by_itself_does_not_leave_the_caller_waiting() -> None:
    with Worker("a short life", os._exit, 3) as worker, pytest.raises(WorkerFailed, match="ended with status 3"):
        worker.wait_until_made()
