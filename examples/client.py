"""Post every example request and print the answers; needs only Python and a server on port 8000."""

import json
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

REQUESTS = Path(__file__).parent / "requests"


def post(url: str, body: object) -> tuple[int, Any]:
    """Return the status and the answer; errors are JSON, too."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def main(url: str) -> int:
    """Post each request of `requests/` to the endpoint that its file name begins with, all at once.

    Returns:
        How many were answered with an error.
    """
    files = sorted(REQUESTS.glob("*.json"))
    with ThreadPoolExecutor(len(files)) as threads:
        answers = list(
            threads.map(
                lambda file: post(f"{url}/{file.name.split('-')[0]}", json.loads(file.read_text("utf-8"))), files
            )
        )
    for file, (status, answer) in zip(files, answers, strict=True):
        print(file.name, status, json.dumps(answer, ensure_ascii=False)[:300])
    return sum(status != 200 for status, _ in answers)


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")))
