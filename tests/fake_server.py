"""The real server process with a fake model of every task, for programs of others to talk to.

`python -m tests.fake_server` serves them with the settings of the environment.
"""

import contextlib
import sys
from collections.abc import Iterator

from benchmarks.running_server import running_command
from service.process.server import serve
from service.settings import load_settings
from tests.service.running_app import fake_models

COMMAND = (sys.executable, "-m", "tests.fake_server")


@contextlib.contextmanager
def fake_server(**settings: str) -> Iterator[str]:
    """Serve on a free port, and return the address.

    Args:
        settings: Variables for the server, `BIGBIRD_...`.
    """
    with running_command(COMMAND, {"BIGBIRD_PORT": "0", "BIGBIRD_WARM_UP_SECONDS": "0", **settings}) as server:
        yield server.url


if __name__ == "__main__":
    sys.exit(serve(load_settings(), lambda settings: fake_models()))
