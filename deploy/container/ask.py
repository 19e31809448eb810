"""Wait until a server is ready, ask it the first example, and compare the answer with what is right.

    python3 deploy/container/ask.py http://127.0.0.1:8000 [seconds to wait]

Standard library only: it runs on a host that has nothing installed.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
REQUEST = "qa-short.json"


def wait_until_ready(url: str, seconds: float) -> None:
    """Return when the server accepts requests.

    Raises:
        SystemExit: It did not within that time; the message has its last answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/health/ready", timeout=5).close()
        except urllib.error.HTTPError as error:
            state = f"{error.code}: {error.read().decode(errors='replace')}"
        except OSError as error:
            state = str(error)
        else:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"{url} is not ready after {seconds:.0f} s ({state})")
        time.sleep(0.5)


def main(url: str, seconds: float) -> None:
    """Print the answer; exit with status 1 if it is not the expected one."""
    wait_until_ready(url, seconds)
    body = (EXAMPLES / "requests" / REQUEST).read_bytes()
    request = urllib.request.Request(f"{url}/qa", body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
        answer = json.load(response)["answer"]
    expected = json.loads((EXAMPLES / "expected.json").read_text(encoding="utf-8"))[REQUEST]
    print(f"POST {url}/qa: {answer!r}")
    if answer != expected:
        raise SystemExit(f"expected {expected!r}")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 120)
