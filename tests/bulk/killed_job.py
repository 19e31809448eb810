"""A job in a process of its own, which is killed at one of its writes, or when somebody kills it.

    python -m tests.bulk.killed_job BUNDLE INPUT OUTPUT NUMBER [HIGHLIGHTS]

NUMBER counts the calls of the main thread that change a file; before the one of that number the process kills itself.
With -1 it is left alone. Parts are small, so that there are several.
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

from bulk import parts
from bulk.job import Job, run_job
from bulk.model import load

_CHANGING = frozenset(("write", "fsync", "replace", "rename", "truncate", "unlink", "mkdir"))
_PART_TOKENS = 400


def main(bundle: str, given: str, output: str, number: str, highlights: str = "") -> None:
    """Run the job."""
    parts._TOKENS = _PART_TOKENS
    job = Job(
        [given],
        Path(output),
        options={"top_k": 2},
        questions=["Who is it?", "Where?"],
        batch_tokens=512,
        highlights=Path(highlights) if highlights else None,
    )
    changes = count()

    def look(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__ in _CHANGING and next(changes) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    def loaded() -> Any:
        model = load(Path(bundle), threads=1)
        sys.setprofile(look)
        return model

    counts = run_job(job, loaded)
    sys.setprofile(None)
    print(next(changes), counts.rows, counts.failed, counts.tokens, counts.padded_tokens, counts.input_bytes)


if __name__ == "__main__":
    main(*sys.argv[1:])
