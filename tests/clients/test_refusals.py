"""How real clients tell an unknown key, a server that is busy, and a body that is too large."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import openai
import pytest
import requests

from service.security.access import key_line
from tests.fake_server import fake_server
from tests.foreign_programs import find_program

pytestmark = pytest.mark.integration

MEET = Path(__file__).with_name("meet_refusals.mjs")
KEY = "a-key"
# Lengths of texts. Bodies that are too large together are refused as more of them are that must wait for each other.
SHORT, LONG, LONGEST = 10, 5_000, 50_000
SETTINGS = {
    "BIGBIRD_API_KEYS": key_line("caller", KEY),
    "BIGBIRD_MAX_REQUESTS_BYTES": "2000",
    "BIGBIRD_MAX_BODY_BYTES": "20000",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What a client tells of a refusal."""

    status: int
    message: str
    retry_after: str | None


REFUSALS = {
    401: ("another", SHORT, "A known key is needed: the header `Authorization: Bearer KEY`.", None),
    429: (KEY, LONG, "The requests under way are too large together.", "1"),
    413: (KEY, LONGEST, "The body is larger than 20000 bytes.", None),
}
"""By status: the key, the length of the text, what is told, and `Retry-After`."""


@pytest.fixture(scope="module")
def busy_server() -> Iterator[str]:
    with fake_server(**SETTINGS) as url:
        yield url


def by_huggingface_hub(server: str, key: str, text: str) -> Told | None:
    client = huggingface_hub.InferenceClient(model=f"{server}/classify", token=key, timeout=60)
    try:
        client.text_classification(text)
    except huggingface_hub.errors.HfHubHTTPError as error:
        return Told(error.response.status_code, str(error), error.response.headers.get("Retry-After"))
    return None


def by_openai(server: str, key: str, text: str) -> Told | None:
    with openai.OpenAI(base_url=f"{server}/v1", api_key=key, max_retries=0) as client:
        try:
            client.embeddings.create(model="fake-embed", input=text)
        except openai.APIStatusError as error:
            return Told(error.status_code, str(error), error.response.headers.get("Retry-After"))
    return None


def by_requests(server: str, key: str, text: str) -> Told | None:
    answer = requests.post(
        f"{server}/classify", json={"text": text}, headers={"Authorization": f"Bearer {key}"}, timeout=60
    )
    if answer.ok:
        return None
    return Told(answer.status_code, answer.json()["detail"], answer.headers.get("Retry-After"))


@pytest.mark.parametrize("ask", [by_huggingface_hub, by_openai, by_requests])
@pytest.mark.parametrize("status", REFUSALS)
def test_python_clients_tell(busy_server: str, ask: Callable[[str, str, str], Told | None], status: int) -> None:
    key, length, message, retry_after = REFUSALS[status]
    told = ask(busy_server, key, "1" * length)
    assert told is not None and (told.status, told.retry_after) == (status, retry_after)
    assert message in told.message
    assert ask(busy_server, KEY, "1" * SHORT) is None


def test_openai_waits_as_it_is_told_and_asks_again(busy_server: str) -> None:
    waited: list[float] = []

    class Watched(openai.OpenAI):
        def _sleep_for_retry(self, **arguments: Any) -> None:
            waited.append(self._calculate_retry_timeout(3, arguments["options"], arguments["response"].headers))

    with Watched(base_url=f"{busy_server}/v1", api_key=KEY) as client, pytest.raises(openai.RateLimitError):
        client.embeddings.create(model="fake-embed", input="1" * LONG)
    assert waited == [1.0, 1.0]


def test_huggingface_inference_tells(busy_server: str, node_folder: Path) -> None:
    script = shutil.copy(MEET, node_folder)
    node = find_program("node", package="nodejs")
    lengths = map(str, (SHORT, LONG, LONGEST))
    done = subprocess.run(
        [node, script, busy_server, KEY, *lengths], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("200") is None
    assert told.pop("asked") == [4, 1]
    assert {int(status): (one["status"], one["retry_after"]) for status, one in told.items()} == {
        status: (status, retry_after) for status, (_, _, _, retry_after) in REFUSALS.items()
    }
    assert all(message in told[str(status)]["message"] for status, (_, _, message, _) in REFUSALS.items())
