"""Post every example and a list of 50 documents of mixed lengths at once; each answer equals the answer alone."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from examples.client import post

EXAMPLES = Path(__file__).parent
QUESTION = "Who leads the project?"


def differs(one: object, other: object, allowed: float = 1e-5) -> bool:
    """Compare answers: everything equal, scores within what is allowed; what an answer cost may differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = one.keys() - {"usage"}
        return one.keys() != other.keys() or any(differs(one[key], other[key], allowed) for key in keys)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) != len(other) or any(differs(*pair, allowed) for pair in zip(one, other, strict=True))
    return abs(one - other) > allowed if isinstance(one, float) and isinstance(other, float) else one != other


def ask(url: str, body: object) -> Any:
    """Return the answer.

    Raises:
        RuntimeError: It is an error.
    """
    status, answer = post(url, body)
    if status != 200:
        raise RuntimeError(f"{url}: {status} {answer}")
    return answer


def main(url: str, allowed: float = 1e-5) -> int:
    """Return how many answers differ from the same document's answer alone, their scores by more than is allowed."""
    files = sorted(EXAMPLES.glob("requests/*.json"))
    examples = [(f"{url}/{file.name.split('-')[0]}", json.loads(file.read_text("utf-8"))) for file in files]
    text = "\n".join(file.read_text("utf-8") for file in sorted(EXAMPLES.glob("documents/*.txt")))
    documents = [(text * 3)[: 60 + 7 * n * n] for n in range(50)]
    listed = (f"{url}/qa", {"question": QUESTION, "context": documents})
    alone = [ask(*request) for request in examples]
    alone += [ask(f"{url}/qa", {"question": QUESTION, "context": document}) for document in documents]
    with ThreadPoolExecutor(len(examples) + 1) as threads:
        answer, *together = threads.map(lambda request: ask(*request), [listed, *examples])
    count = sum(differs(*pair, allowed) for pair in zip(alone, together + answer["results"], strict=True))
    print(f"{len(alone)} answers, {count} differ from the answer alone")
    return count


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")))
