import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bulk.sources.standard_input import StandardInput

ROOT = Path(__file__).resolve().parents[2]


def test_whoever_waits_for_more_is_let_go_when_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    ended: list[object] = []

    def read() -> None:
        stream = given.open()
        ended.append(stream.readline())
        try:
            stream.readline()
        except OSError as error:
            ended.append(error.strerror)

    with os.fdopen(reading) as piped, os.fdopen(writing, "wb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stdin", piped)
        with StandardInput() as given:
            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            pipe.write(b"one\n")
            while not ended:
                reader.join(0.01)
        reader.join(60)
    assert ended == [b"one\n", "the job was ended"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_job_that_is_stopped_while_it_waits_for_standard_input_says_how_to_go_on(
    tmp_path: Path, small_bundles: Path, number: signal.Signals, status: int
) -> None:
    output = tmp_path / "out.jsonl"
    command = ["batch", "-", "--model", str(small_bundles / "small-classify"), "--output", str(output)]
    with subprocess.Popen(
        [sys.executable, "-m", "bigbird_cli", *command],
        cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        # Whoever runs the tests in the background may have SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as job:  # fmt: skip
        assert job.stdin is not None and job.stderr is not None
        job.stdin.write(json.dumps({"text": "one"}).encode() + b"\n")
        job.stdin.flush()
        part = output.with_name("out.jsonl.job") / "part.rows"
        while job.poll() is None and not part.exists():
            time.sleep(0.01)
        job.send_signal(number)
        assert job.wait(60) == status
        (line,) = [line for line in job.stderr.read().decode().splitlines() if not line.startswith("batch:")]
    assert line.endswith("out.jsonl: stopped before its end; run the same command again to go on")
