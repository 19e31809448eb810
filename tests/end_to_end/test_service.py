"""From the shipped checkpoints to answers over HTTP, with nothing replaced."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.demo_accuracy import MEASURES, Sample, measure
from benchmarks.running_server import RunningServer, running_server
from demo.reports import FIRST_EVALUATION_SEED, generate_report
from examples.same_answer_anywhere import main as count_different_answers
from tests.documented_commands import printed as commands

ROOT = Path(__file__).resolve().parents[2]


def post(server: RunningServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = httpx.post(f"{server.url}{path}", json=body, timeout=300)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        pytest.param(*row, id=row[0])
        for row in json.loads((ROOT / "examples" / "expected.json").read_text("utf-8")).items()
    ],
)
def test_an_example_request_gets_the_right_answer(server: RunningServer, file: str, expected: Any) -> None:
    body = json.loads((ROOT / "examples" / "requests" / file).read_text("utf-8"))
    task = file.split("-")[0]
    answer = post(server, f"/{task}", body)
    if task == "qa":
        assert answer["answer"] == expected == body["context"][answer["start"] : answer["end"]]
    elif task == "classify":
        assert answer["label"] == expected
    else:
        found = Counter((entity["entity"], entity["text"]) for entity in answer["entities"])
        right = (found & Counter(map(tuple, expected))).total()
        # The long reports name hundreds of entities.
        assert 2 * right / (found.total() + len(expected)) >= (1.0 if len(expected) < 10 else 0.95)
        assert all(body["text"][entity["start"] : entity["end"]] == entity["text"] for entity in answer["entities"])


@pytest.mark.anyio
@pytest.mark.parametrize(("tokens", "documents"), [(200, 12), (1000, 4), (4000, 1)])
async def test_the_shipped_checkpoints_are_nearly_always_right_on_unseen_reports(
    server: RunningServer, tokens: int, documents: int
) -> None:
    sample = Sample.draw("fp32", tokens, documents, questions=4)
    rows = await measure(server.url, [sample], list(MEASURES), concurrency=4)
    figures = {row.metric: row.value for row in rows}
    assert figures["exact match"] >= 0.90
    assert figures["no-answer F1"] >= 0.85
    assert figures["accuracy"] >= 0.95
    assert figures["entity F1"] >= 0.95


def test_the_answer_is_the_same_alone_and_in_any_batch(server: RunningServer) -> None:
    assert count_different_answers(server.url, allowed=0.0) == 0


def test_a_document_longer_than_the_model_is_read_in_windows(server: RunningServer) -> None:
    question = generate_report(FIRST_EVALUATION_SEED, 150).questions[0]
    filler = generate_report(FIRST_EVALUATION_SEED + 1, 900, subjects=2).text
    context = f"{filler}\n{filler}\n{generate_report(FIRST_EVALUATION_SEED, 150).text}\n{filler}"
    answer = post(server, "/qa", {"question": question.text, "context": context})
    assert answer["usage"]["windows"] > 1
    assert answer["usage"]["truncated_tokens"] == 0
    assert len(answer["usage"]["buckets"]) == answer["usage"]["windows"]
    assert answer["answer"] == question.answer == context[answer["start"] : answer["end"]]


def test_control_pieces_in_a_document_are_characters(server: RunningServer) -> None:
    text = (ROOT / "examples" / "documents" / "short.txt").read_text("utf-8")
    control, look_alike = "[SEP] [CLS] <pad> <s> [MASK] ", "[SAP] [CLT] <pod> <q> [MUSK] "
    plain = {entity["text"] for entity in post(server, "/ner", {"text": text})["entities"]}
    assert plain
    few = post(server, "/ner", {"text": control * 5 + text})["entities"]
    assert plain <= {entity["text"] for entity in few}
    # Called up as control pieces, a hundred of each would be a fraction of the tokens that their characters are.
    many, alike = (post(server, "/ner", {"text": noise * 100 + text}) for noise in (control, look_alike))
    assert many["usage"]["tokens"] == alike["usage"]["tokens"] > 2000
    found, found_alike = ({entity["text"] for entity in answer["entities"]} & plain for answer in (many, alike))
    assert found == found_alike != set()
    assert all((control * 100 + text)[e["start"] : e["end"]] == e["text"] for e in many["entities"])


def test_a_changed_weights_file_stops_start_up_with_its_name(bundles: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundles" / "demo-qa"
    shutil.copytree(bundles / "demo-qa", copy)
    weights = bytearray((copy / "weights.bin").read_bytes())
    weights[len(weights) // 2] ^= 1
    (copy / "weights.bin").write_bytes(weights)
    expected = r"status 1: .*weights\.bin: its contents do not match the hash"
    with pytest.raises(RuntimeError, match=expected), running_server(copy.parent):
        pass


def test_what_the_page_fills_in_is_answered_right_and_it_says_what_the_models_know(server: RunningServer) -> None:
    description = httpx.get(f"{server.url}/openapi.json").json()
    bodies = {name: description["components"]["schemas"][name]["examples"][0] for name in PREFILLED}
    question = post(server, "/qa", bodies["QuestionBody"])
    assert question["answer"] == "Casablanca" and question["score"] > 0.95
    label = post(server, "/classify", bodies["ClassificationBody"])
    assert label["label"] == "legal" and label["score"] > 0.95
    entities = post(server, "/ner", bodies["EntityBody"])["entities"]
    assert [(entity["entity"], entity["text"]) for entity in entities] == [
        ("PER", "Maria Okafor"),
        ("ORG", "Halden Works"),
        ("LOC", "Bergen"),
    ]
    assert min(entity["score"] for entity in entities) > 0.95
    assert "demo-classify, demo-ner, demo-qa: A demonstration model" in description["info"]["description"]


PREFILLED = ("QuestionBody", "ClassificationBody", "EntityBody")
JSON = {"Content-Type": "application/json"}
LONG_QUESTION = json.dumps({"question": "who " * 2500, "context": "word " * 2500})


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "code"),
    [
        pytest.param("POST", "/qa", "{", JSON, 400, "malformed_request", id="malformed JSON"),
        pytest.param("POST", "/ner", '{"text": 5}', JSON, 422, "invalid_request", id="a wrong type"),
        pytest.param("POST", "/ner", '{"text": ""}', JSON, 422, "invalid_request", id="an empty string"),
        pytest.param("POST", "/ner", '{"text": " \\n"}', JSON, 422, "invalid_input", id="only whitespace"),
        pytest.param("POST", "/ner", '{"text": "\\ud800"}', JSON, 422, "invalid_request", id="half a character"),
        pytest.param("POST", "/qa", LONG_QUESTION, JSON, 422, "invalid_input", id="a question longer than the window"),
        pytest.param("POST", "/ner", '{"text": "a", "model": "x"}', JSON, 404, "model_not_found", id="no such model"),
        pytest.param("POST", "/nowhere", "{}", JSON, 404, "not_found", id="no such path"),
        pytest.param("GET", "/qa", None, {}, 405, "method_not_allowed", id="a wrong method"),
        pytest.param("POST", "/ner", json.dumps({"text": "a" * 200_001}), JSON, 413, "too_large", id="a text too long"),
        pytest.param("POST", "/ner", " " * 17_000_000, JSON, 413, "too_large", id="a body too large"),
        pytest.param(
            "POST",
            "/ner",
            "text=a",
            {"Content-Type": "text/plain"},
            415,
            "unsupported_media_type",
            id="a wrong content type",
        ),
        pytest.param(
            "POST", "/ner", '{"text": "a b", "timeout_ms": 0}', JSON, 422, "invalid_request", id="no time at all"
        ),
    ],
)
def test_an_error_is_a_problem_with_its_status_and_code(
    server: RunningServer, method: str, path: str, body: str | None, headers: dict[str, str], status: int, code: str
) -> None:
    response = httpx.request(method, f"{server.url}{path}", content=body, headers=headers, timeout=60)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["title"] and problem["detail"]


def test_the_answer_in_the_readme_is_the_real_one(server: RunningServer) -> None:
    printed = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert len(printed) == 1
    expected = json.loads(printed[0])
    (asked,) = (shlex.split(command) for command in commands(ROOT / "README.md") if command.startswith("curl"))
    answer = post(server, "/qa", json.loads(asked[-1]))
    for own in ("queue_ms", "inference_ms", "revision"):
        assert type(answer["usage"].pop(own)) is type(expected["usage"].pop(own))
    for one in (answer, *answer["alternatives"], expected, *expected["alternatives"]):
        one["score"] = pytest.approx(one["score"], abs=1e-5) if one is expected else round(one["score"], 5)
    assert answer["alternatives"] == expected["alternatives"]
    assert answer == expected


def test_inspect_shows_the_bundle(bundles: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "bigbird_cli", "inspect", "--check", str(bundles / "demo-ner")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.startswith("demo-ner: ner, fp32, revision ")
    assert "3 files match their hashes" in printed
    assert "B-PER" in printed
    assert re.search(r"note +A demonstration model: it knows nothing but the synthetic reports", printed)


@pytest.mark.integration
def test_the_printed_demo_requests_are_examples_that_work(server: RunningServer) -> None:
    port = server.url.rsplit(":", 1)[1]
    printed = subprocess.run(
        [sys.executable, "scripts/print_demo_request.py", "--port", port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "A demonstration model: it knows nothing but the synthetic reports" in printed
    commands = [line for line in printed.splitlines() if "curl" in line]
    answers = [
        subprocess.run(["bash", "-c", each], capture_output=True, text=True, check=True).stdout for each in commands
    ]
    expected = json.loads((ROOT / "examples" / "expected.json").read_text("utf-8"))
    assert [json.loads(each)["answer"] for each in answers] == [
        expected["qa-financial.json"],
        expected["qa-short.json"],
    ]
