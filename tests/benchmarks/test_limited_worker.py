import threading

import pytest

from benchmarks.limited_worker import LimitedWorker, reason
from benchmarks.worker import WorkerFailed


def test_a_process_that_does_not_answer_is_given_up() -> None:
    with LimitedWorker("a lock", 30.0, threading.Lock) as worker:
        worker.wait_until_made()
        worker.call("acquire")
        worker.answer_seconds = 0.01
        with pytest.raises(WorkerFailed, match=r"a lock: no answer in 0 s"):
            worker.call("acquire")
        worker.answer_seconds = 30.0
        with pytest.raises(WorkerFailed, match="a lock: the process"):
            worker.call("release")


def test_workers_that_were_asked_answer_later() -> None:
    with LimitedWorker("a list", 30.0, list, [3]) as first, LimitedWorker("another", 30.0, list, [4]) as second:
        for worker in (first, second):
            worker.wait_until_made()
        first.ask("pop")
        second.ask("pop")
        assert (first.answer(), second.answer()) == (3, 4)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(ValueError("too long"), "ValueError: too long", id="a message"),
        pytest.param(KeyError(), "KeyError", id="an error without a message"),
        pytest.param(
            WorkerFailed(
                "flex: Traceback (most recent call last):\n"
                '  File "a.py", line 1, in run\n'
                "    raise KeyError\n"
                "KeyError: 'b'\n\nDuring handling of the above exception, another exception occurred:\n\n"
                "Traceback (most recent call last):\n"
                '  File "c.py", line 2, in compile\n'
                "torch._inductor.exc.InductorError: LoweringException: no kernel: too large\n"
                "  target: flex_attention\n\n"
                'Set TORCH_LOGS="+dynamo" for more\n'
            ),
            "torch._inductor.exc.InductorError: LoweringException: no kernel: too large",
            id="of a traceback the last error",
        ),
    ],
)
def test_a_failure_is_told_in_one_line(error: Exception, text: str) -> None:
    assert reason(error) == text
