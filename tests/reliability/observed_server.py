"""`bigbird serve` in a process that also says how many tasks its event loop has; `served.py` starts it.

The arguments are those of `bigbird`. On SIGUSR1 it prints the number of tasks: a look from outside the product, which
has no such door.
"""

import asyncio
import signal
import types

from bigbird_cli.main import main


def report_tasks(number: int, frame: types.FrameType | None) -> None:
    print(len(asyncio.all_tasks()), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, report_tasks)
    main()
