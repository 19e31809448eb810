"""Post every example and a list of 50 documents of mixed lengths at once; each answer equals the answer alone."""

import asyncio
import json
import sys
from pathlib import Path

import httpx

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


async def main(url: str, allowed: float = 1e-5) -> int:
    """Return how many answers differ from the same document's answer alone, their scores by more than is allowed."""
    files = sorted(EXAMPLES.glob("requests/*.json"))
    examples = [(f"/{file.name.split('-')[0]}", json.loads(file.read_text("utf-8"))) for file in files]
    text = "\n".join(file.read_text("utf-8") for file in sorted(EXAMPLES.glob("documents/*.txt")))
    documents = [(text * 3)[: 60 + 7 * n * n] for n in range(50)]
    alone_requests = examples + [("/qa", {"question": QUESTION, "context": document}) for document in documents]
    async with httpx.AsyncClient(base_url=url, timeout=300) as client:
        alone = [(await client.post(path, json=body)).raise_for_status().json() for path, body in alone_requests]
        listed = client.post("/qa", json={"question": QUESTION, "context": documents})
        answers = await asyncio.gather(listed, *(client.post(path, json=body) for path, body in examples))
    together = [answer.raise_for_status().json() for answer in answers]
    pairs = zip(alone, together[1:] + together[0]["results"], strict=True)
    count = sum(differs(*pair, allowed) for pair in pairs)
    print(f"{len(alone)} answers, {count} differ from the answer alone")
    return count


if __name__ == "__main__":
    sys.exit(bool(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))))
