"""The `bigbird` command: what it offers, and one line for each mistake."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bigbird_cli.main import main
from service.settings import Settings


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


def test_help_lists_every_subcommand() -> None:
    status, printed = run("--help")
    assert status == 0
    assert [line.split()[0] for line in printed.split("Commands:")[1].splitlines() if line.strip()] == [
        "evaluate",
        "export",
        "finetune",
        "inspect",
        "key",
        "serve",
    ]


def test_every_setting_is_a_flag_of_serve_but_for_secrets() -> None:
    _, printed = run("serve", "--help")
    flags = {name for name in Settings.model_fields if f"--{name.replace('_', '-')} " in printed}
    assert set(Settings.model_fields) - flags == {"api_keys", "admin_key"}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param(
            ["export", "nothing", "--output", "out"],
            1,
            "Error: nothing: is not a folder, and HF_HUB_OFFLINE is set and the model is not in the cache",
            id="no folder",
        ),
        pytest.param(["export", "nothing"], 2, "Missing option '--output'", id="no output"),
        pytest.param(
            ["export", "nothing", "--output", "out", "--buckets", "128,x"], 2, "not a list of numbers", id="no numbers"
        ),
        pytest.param(
            ["export", "nothing", "--output", "out", "--pattern", "other"], 2, "'other'", id="no such pattern"
        ),
        pytest.param(["inspect", "nothing"], 1, "manifest.json: missing\n", id="no bundle to inspect"),
        pytest.param(["serve", "--port", "many"], 1, "Error: BIGBIRD_PORT: ", id="a setting that cannot work"),
        pytest.param(["dance"], 2, "No such command 'dance'", id="no such command"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    arguments: list[str], status: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Not the variable: the library reads it once, when something imports it.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found, printed = run(*arguments)
    assert found == status
    assert message in printed
    assert "Traceback" not in printed
    assert not list(tmp_path.iterdir())
