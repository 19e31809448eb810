"""Post every example request and print the answers; needs only httpx and a server on port 8000."""

import asyncio
import json
import sys
from pathlib import Path

import httpx

REQUESTS = Path(__file__).parent / "requests"


async def main(url: str) -> None:
    """Post each request of `requests/` to the endpoint that its file name begins with, all at once."""
    files = sorted(REQUESTS.glob("*.json"))
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        answers = await asyncio.gather(
            *(client.post(f"/{file.name.split('-')[0]}", json=json.loads(file.read_text("utf-8"))) for file in files)
        )
    for file, answer in zip(files, answers, strict=True):
        print(file.name, answer.status_code, json.dumps(answer.json(), ensure_ascii=False)[:300])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
