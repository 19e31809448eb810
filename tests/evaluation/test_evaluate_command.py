import json
from pathlib import Path
from typing import Any

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
        pytest.param(["--aggregation", "max"], 2, "--aggregation is for --task ner", id="an option of another task"),
        pytest.param(["--lengths", "9,5"], 2, "'9,5' does not rise from 1 up", id="lengths that fall"),
        pytest.param(["--lengths", "a"], 2, "'a' is not a list of numbers like 512,1024", id="lengths in words"),
    ],
)
def test_it_ends_with_one_line_about(
    monkeypatch: pytest.MonkeyPatch, data: Path, arguments: list[str], status: int, message: str
) -> None:
    play(monkeypatch, {"honest": honest})
    result = run(data, *arguments)
    assert result.exit_code == status
    assert result.stdout == ""
    assert message in result.stderr.strip().splitlines()[-1]


def test_models_of_different_labels_are_not_compared(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    play(monkeypatch, {"honest": honest, "other": honest}, {"other": ["no", "maybe"]})
    result = run(data, "--model", "honest", "--against", "http://played", "--against-model", "other")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "Error: honest and other cannot be compared: their labels are not the same"


def test_json_holds_null_where_a_figure_is_undefined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    play(monkeypatch, {"honest": honest})
    path, output = tmp_path / "dev.tsv", tmp_path / "report.json"
    path.write_text("text\tlabel\nyes\tyes\n")
    assert run(path, "--output", str(output)).exit_code == 0
    report: dict[str, Any] = json.loads(output.read_text("utf-8"), parse_constant=pytest.fail)
    assert report["results"][0]["details"][0] == {"name": "F1 of no", "value": None, "items": 0, "interval": None}
