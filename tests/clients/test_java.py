"""Java's own client with its defaults, which asks for HTTP/2 by `Upgrade: h2c` (as Spring's and Ktor's do)."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.foreign_programs import find_program

pytestmark = pytest.mark.integration

ASK = Path(__file__).with_name("Ask.java")


@pytest.mark.parametrize("words", [1, 20_000], ids=["with the headers", "in many segments"])
def test_a_body_is_read_although_an_upgrade_is_asked_for(server: str, words: int) -> None:
    java = find_program("java", package="openjdk-17-jdk-headless")
    body = json.dumps({"text": "10"}) + " " * words
    done = subprocess.run(
        [java, str(ASK), f"{server}/ner", body], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    answers = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert [(status, version) for status, version, _ in answers] == [("200", "HTTP_1_1")] * 2
    assert [json.loads(answer)["entities"][0]["score"] for _, _, answer in answers] == [13.0] * 2
