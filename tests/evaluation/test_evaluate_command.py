import json
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner, Result

from bigbird_cli.evaluate_command import command
from evaluation.metrics.intervals import wilson
from tests.evaluation.played_service import play

# Ten texts of two words that say what they are, one of twenty words, and one that is blank.
ROWS = [*[f"yes {number}\tyes" for number in range(5)], *[f"no {number}\tno" for number in range(5)]]
TABLE = "\n".join(["text\tlabel", *ROWS, "yes " * 20 + "\tyes", " \tno"]) + "\n"


def honest(text: str) -> str:
    return text.split()[0]


def timid(text: str) -> str:
    return "no"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "dev.tsv"
    path.write_text(TABLE)
    return path


def run(data: Path, *arguments: str, **environment: str) -> Result:
    options = ["http://played", "--task", "classify", "--data", str(data), "--resamples", "100"]
    return CliRunner().invoke(command, [*options, *arguments], env=environment)


def test_one_model_is_reported_by_length_with_what_was_refused(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    play(monkeypatch, {"honest": honest})
    output = tmp_path / "report.json"
    result = run(data, "--lengths", "10", "--output", str(output))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert "| Tokens read | Documents | accuracy | macro F1 | Matthews correlation |" in lines
    starts = [line.split(" (")[0] for line in lines if line.startswith("| ")]
    assert starts[1:5] == [
        "| all | 12 | 0.917",
        "| 1 to 10 | 10 | 1.000",
        "| 11 and more | 1 | 1.000",
        "| refused | 1 | 0.000",
    ]
    assert "Refused, and counted as wrong: 1 of 12 requests." in lines
    assert f"- {data}:13: 422 Invalid input: text has no visible characters" in lines
    assert "honest (fp32): 12/12" in result.stderr

    report = json.loads(output.read_text("utf-8"))
    (own,) = report["results"]
    interval = wilson(11, 12, 0.95)
    assert own["all"]["figures"][0] == {
        "name": "accuracy",
        "value": pytest.approx(11 / 12),
        "items": 12,
        "interval": {"low": pytest.approx(interval.low), "high": pytest.approx(interval.high), "method": "wilson"},
    }
    assert own["refused"] == [{"line": 13, "reason": "422 Invalid input: text has no visible characters"}]
    assert [row["documents"] for row in own["by_length"]] == [10, 1, 1]
    assert report["comparison"] is None


def test_two_models_are_compared_on_the_same_texts(monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path) -> None:
    play(monkeypatch, {"honest": honest, "timid": timid})
    output = tmp_path / "report.json"
    result = run(
        data, "--model", "timid", "--against", "http://played", "--against-model", "honest", "--output", str(output)
    )
    assert result.exit_code == 0, result.output
    assert "## honest (fp32) minus timid (fp32)" in result.stdout
    # Six texts are right only with the second model: 2 / 2^6.
    line = "Right only with timid (fp32): 0; only with honest (fp32): 6; exact McNemar test: p = 0.0312."
    assert line in result.stdout.splitlines()
    report = json.loads(output.read_text("utf-8"))
    difference = report["comparison"]["all"]["figures"][0]
    assert difference["value"] == pytest.approx(0.5)
    assert difference["interval"]["low"] > 0
    assert report["comparison"]["mcnemar"] == {"only_first": 0, "only_second": 6, "p_value": 0.03125}


def test_the_same_command_gives_the_same_report(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    play(monkeypatch, {"honest": honest, "timid": timid})
    arguments = ["--model", "timid", "--against", "http://played", "--against-model", "honest"]
    first, again = (run(data, *arguments).stdout for _ in range(2))
    assert first == again
    assert run(data, *arguments, "--seed", "1").stdout != first


def test_a_key_comes_from_the_environment_and_goes_to_its_own_server_only(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    requests = play(monkeypatch, {"honest": honest})
    assert run(data, "--against", "http://played:81", BIGBIRD_API_KEY="secret").exit_code == 0
    sent = {(request.url.port, request.headers.get("authorization")) for request in requests}
    assert sent == {(None, "Bearer secret"), (81, None)}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param(
            ["--model", "none"],
            1,
            "Error: http://played: no model 'none' for classify; models there: ",
            id="an unknown model",
        ),
        pytest.param(
            ["--label-column", "x"],
            1,
            "dev.tsv:2: there is no column 'x', only: 'text', 'label'",
            id="an unknown column",
        ),
        pytest.param(
            ["--output", "none/report.json"],
            1,
            "Error: none/report.json: the folder does not exist",
            id="no folder for the output",
        ),
        pytest.param(
            ["--output", "x" * 300], 1, f"Error: {'x' * 300}: File name too long", id="an output that cannot be opened"
        ),
        pytest.param(
            ["--predictions", "none/items.jsonl"],
            1,
            "Error: none/items.jsonl: the folder does not exist",
            id="no folder for the predictions",
        ),
        pytest.param(["--label-separator", ""], 2, "--label-separator is empty", id="nothing between labels"),
        pytest.param(
            ["--against", "http://played", "--against-model", "none"],
            1,
            "Error: http://played: no model 'none' for classify; models there: ",
            id="an unknown second model",
        ),
        pytest.param(
            ["--against", "no/such/folder"], 1, "no/such/folder/manifest.json: missing", id="a second bundle not there"
        ),
        pytest.param(["--window-stride", "1000001"], 2, "1000001 is not in the range", id="a stride that is too long"),
        pytest.param(["--aggregation", "max"], 2, "--aggregation is for --task ner", id="an option of another task"),
        pytest.param(["--lengths", "9,5"], 2, "'9,5' does not rise from 1 up", id="lengths that fall"),
        pytest.param(["--lengths", "a"], 2, "'a' is not a list of numbers like 512,1024", id="lengths in words"),
    ],
)
def test_it_ends_with_one_line_about(
    monkeypatch: pytest.MonkeyPatch, data: Path, arguments: list[str], status: int, message: str
) -> None:
    requests = play(monkeypatch, {"honest": honest})
    result = run(data, *arguments)
    assert result.exit_code == status
    assert result.stdout == ""
    assert not [request for request in requests if request.method == "POST"]
    assert message in result.stderr.strip().splitlines()[-1]


def test_an_answer_may_not_be_longer_than_the_service_gives_it(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text("{}")
    arguments = ["http://played", "--task", "qa", "--data", str(path), "--max-answer-tokens", "4097"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "4097 is not in the range 1<=x<=4096" in result.stderr


def test_results_are_written_though_nobody_reads_what_is_printed(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    def gone(*arguments: Any, **options: Any) -> None:
        raise BrokenPipeError("Broken pipe")

    play(monkeypatch, {"honest": honest})
    monkeypatch.setattr(click, "echo", gone)
    output = tmp_path / "report.json"
    assert run(data, "--output", str(output)).exit_code == 1
    assert json.loads(output.read_text("utf-8"))["requests"] == 12


def test_models_of_different_labels_are_not_compared(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    requests = play(monkeypatch, {"honest": honest, "other": honest}, {"other": ["no", "maybe"]})
    result = run(data, "--model", "honest", "--against", "http://played", "--against-model", "other")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "Error: honest and other cannot be compared: their labels are not the same"
    assert not [request for request in requests if request.method == "POST"]


def test_models_that_number_their_labels_differently_are_not_compared_on_numbers(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    requests = play(monkeypatch, {"honest": honest, "other": honest}, {"other": ["yes", "no"]})
    arguments = ["--model", "honest", "--against", "http://played", "--against-model", "other"]
    assert run(data, *arguments).exit_code == 0
    data.write_text("text\tlabel\nno 1\t0\nyes 1\t1\n")
    del requests[:]
    result = run(data, *arguments)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].endswith(
        "cannot be compared: the file gives labels by number, and they number them differently"
    )
    assert not [request for request in requests if request.method == "POST"]


def test_the_first_result_is_kept_if_the_second_model_fails(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    def broken(text: str) -> str | httpx.Response:
        if text.startswith("yes yes"):  # the last text but one
            return httpx.Response(504, json={"title": "Deadline exceeded", "detail": "too slow"})
        return timid(text)

    play(monkeypatch, {"honest": honest, "broken": broken})
    output, items = tmp_path / "report.json", tmp_path / "items.jsonl"
    arguments = ["--model", "honest", "--against", "http://played", "--against-model", "broken"]
    result = run(data, *arguments, "--output", str(output), "--predictions", str(items))
    assert result.exit_code == 1
    message = "http://played: 504 Deadline exceeded: too slow"
    assert result.stderr.splitlines()[-1] == f"Error: {message}"
    assert "| all | 12 | 0.917" in result.stdout
    assert f"The second model has no result: {message}" in result.stdout.splitlines()
    report = json.loads(output.read_text("utf-8"))
    assert [one["model"]["name"] for one in report["results"]] == ["honest"]
    assert (report["failure"], report["comparison"]) == (message, None)
    assert [len(json.loads(line)["models"]) for line in items.read_text("utf-8").splitlines()] == [1] * 12


def test_a_refused_option_ends_the_command(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    problem = {"title": "Invalid input", "detail": "window_stride is 4000, but must be from 0 to 3000"}
    play(monkeypatch, {"honest": lambda text: httpx.Response(422, json=problem)})
    result = run(data, "--window-stride", "4000")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "an option was refused: 422 Invalid input: window_stride is 4000" in result.stderr.splitlines()[-1]


def test_a_model_that_refuses_everything_has_no_figures(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    play(monkeypatch, {"honest": lambda text: httpx.Response(413, json={"title": "Too large", "detail": "too long"})})
    result = run(data)
    assert (result.exit_code, result.stdout) == (1, "")
    message = "Error: http://played: nothing was answered; the first of 12: 413 Too large: too long"
    assert result.stderr.splitlines()[-1] == message


def test_what_cannot_be_written_is_still_printed(monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path) -> None:
    play(monkeypatch, {"honest": honest})
    items = tmp_path / "items.jsonl"
    result = run(data, "--output", "/dev/full", "--predictions", str(items))
    assert result.exit_code == 1
    assert "| all | 12 | 0.917" in result.stdout
    assert result.stderr.splitlines()[-1] == "Error: /dev/full: No space left on device"
    assert len(items.read_text("utf-8").splitlines()) == 12


def test_trying_whether_a_file_can_be_written_leaves_things_as_they_are(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    play(monkeypatch, {"honest": honest})
    old, new = tmp_path / "old.json", tmp_path / "new.jsonl"
    old.write_text("of yesterday")
    result = run(data, "--model", "none", "--output", str(old), "--predictions", str(new))
    assert result.exit_code == 1
    assert old.read_text() == "of yesterday"
    assert not new.exists()


def test_what_became_of_each_text_is_written_for_both_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    play(monkeypatch, {"honest": honest, "timid": timid})
    path, items = tmp_path / "dev.tsv", tmp_path / "items.jsonl"
    path.write_text("text\tlabel\nyes it is\tyes\n \tno\n")
    arguments = ["--model", "honest", "--against", "http://played", "--against-model", "timid"]
    assert run(path, *arguments, "--predictions", str(items)).exit_code == 0
    first, second = map(json.loads, items.read_text("utf-8").splitlines())
    of_both = {"place": "http://played", "precision": "fp32", "f1": None}
    answered = of_both | {"refused": None, "tokens": 3}
    assert first == {
        "line": 2,
        "id": None,
        "expected": "yes",
        "models": [
            answered | {"model": "honest", "answer": "yes", "right": True},
            answered | {"model": "timid", "answer": "no", "right": False},
        ],
    }
    reason = "422 Invalid input: text has no visible characters"
    refused = of_both | {"answer": None, "refused": reason, "right": False, "tokens": None}
    assert (second["line"], second["expected"]) == (3, "no")
    assert second["models"] == [refused | {"model": "honest"}, refused | {"model": "timid"}]


def test_numbers_are_compared_on_the_texts_that_both_models_answered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def near(text: str) -> float | httpx.Response:
        problem = {"title": "Invalid input", "detail": "too long"}
        return httpx.Response(422, json=problem) if text == "9" else float(text) + 1

    play(monkeypatch, {"near": near, "exact": float}, {"near": ["n"], "exact": ["n"]}, "regression")
    path, output = tmp_path / "dev.tsv", tmp_path / "report.json"
    # Both are 10 off where only the second answers.
    path.write_text("text\tlabel\n1\t1\n2\t2\n3\t3\n9\t19\n")
    arguments = ["--model", "near", "--against", "http://played", "--against-model", "exact"]
    result = run(path, *arguments, "--output", str(output))
    assert result.exit_code == 0, result.output
    note = "1 texts that not both models answered are left out of the differences."
    assert note in result.stdout.splitlines()
    comparison = json.loads(output.read_text("utf-8"))["comparison"]
    assert comparison["notes"] == [note]
    error = comparison["all"]["figures"][2]
    assert (error["name"], error["value"], error["items"]) == ("mean absolute error", -1.0, 3)


def test_json_holds_null_where_a_figure_is_undefined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    play(monkeypatch, {"honest": honest})
    path, output = tmp_path / "dev.tsv", tmp_path / "report.json"
    path.write_text("text\tlabel\nyes\tyes\n")
    assert run(path, "--output", str(output)).exit_code == 0
    report: dict[str, Any] = json.loads(output.read_text("utf-8"), parse_constant=pytest.fail)
    assert report["results"][0]["details"][0] == {"name": "F1 of no", "value": None, "items": 0, "interval": None}
