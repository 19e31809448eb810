"""The `bigbird` command: what it offers, and one line for each mistake."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from bigbird_cli.main import main
from bigbird_inference.manifest import Manifest
from model_export.export.buckets import BucketStep
from model_export.export.trace import AttentionChoice
from model_export.preparation import ExportOptions
from service.settings import Settings
from tests.fake_model import fake_manifest


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


ROOT = Path(__file__).resolve().parents[1]
FINETUNE = ["finetune", "nothing", "--train", __file__, "--eval", __file__, "--output", "out"]


def test_help_lists_every_subcommand() -> None:
    status, printed = run("--help")
    assert status == 0
    assert [line.split()[0] for line in printed.split("Commands:")[1].splitlines() if line.strip()] == [
        "batch",
        "doctor",
        "evaluate",
        "export",
        "finetune",
        "inspect",
        "key",
        "measure",
        "serve",
        "text",
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
        pytest.param(["export", "nothing"], 2, "--output is missing: name the folder", id="no output"),
        pytest.param(
            ["export", "nothing", "--output", "out", "--buckets", "128,x"], 2, "not a list of numbers", id="no numbers"
        ),
        pytest.param(
            ["export", "nothing", "--output", "out", "--buckets", "every:x"],
            2,
            "not a list of numbers like 128,256,704 or a step like every:128",
            id="no step",
        ),
        pytest.param(
            ["export", "nothing", "--output", "out", "--precision", "fp32,int4"],
            2,
            "'int4' is not one of fp32, int8, fp16, bf16",
            id="no such precision",
        ),
        pytest.param(
            ["export", "nothing", "--output", "out", "--precision", "fp32,int8"],
            2,
            "--output needs {precision} in it where several precisions are made",
            id="one place for two bundles",
        ),
        pytest.param(
            ["export", "nothing", "--output", "out", "--pattern", "other"], 2, "'other'", id="no such pattern"
        ),
        pytest.param(["inspect", "nothing"], 1, "manifest.json: missing; no such folder", id="no bundle to inspect"),
        pytest.param(["serve", "--port", "many"], 1, "Error: BIGBIRD_PORT: ", id="a setting that cannot work"),
        pytest.param(["dance"], 2, "No such command 'dance'.\n", id="no such command"),
        pytest.param(["exporrt"], 2, "No such command 'exporrt'. Did you mean 'export'?", id="a misspelt command"),
        pytest.param(
            [*FINETUNE, "--task", "qa", "--text-column", "body"],
            2,
            "--text-column is for --task classify and fill-mask",
            id="an option of another task",
        ),
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


@dataclass(frozen=True)
class Exported:
    """What the command asked for."""

    outputs: dict[str, Path]
    options: ExportOptions
    overwrite: bool


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Exported]:
    """Takes the place of the export itself, which the tests of the pipeline are about."""
    asked: list[Exported] = []

    def export(
        folder: Path, outputs: dict[str, Path], options: ExportOptions, *, overwrite: bool, name: str | None
    ) -> list[Manifest]:
        assert (folder, name) == (Path("checkpoint"), None)
        asked.append(Exported(outputs, options, overwrite))
        return [fake_manifest("ner") for _ in outputs]

    monkeypatch.chdir(tmp_path)
    Path("checkpoint").mkdir()
    Path("checkpoint", "config.json").touch()
    monkeypatch.setattr("model_export.pipeline.export_precisions", export)
    return asked


@pytest.mark.parametrize(
    ("arguments", "outputs"),
    [
        pytest.param(["--output", "out"], {"fp32": "out"}, id="the usual one"),
        pytest.param(["--output", "out", "--precision", "int8"], {"int8": "out"}, id="another one"),
        pytest.param(
            ["--output", "bundles/{precision}/qa", "--precision", "fp32,int8"],
            {"fp32": "bundles/fp32/qa", "int8": "bundles/int8/qa"},
            id="two, each at its own place",
        ),
        pytest.param(
            ["--output", "qa-{precision}", "--precision", "int8,fp16,int8"],
            {"int8": "qa-int8", "fp16": "qa-fp16"},
            id="one that is named twice counts once",
        ),
        pytest.param(
            ["--output", "qa-{precision}", "--precision", "bf16"], {"bf16": "qa-bf16"}, id="a place for a single one"
        ),
    ],
)
def test_every_precision_has_a_bundle_of_its_own(
    arguments: list[str], outputs: dict[str, str], exports: list[Exported]
) -> None:
    status, printed = run("export", "checkpoint", *arguments)
    assert (status, printed.splitlines()[-1]) == (0, f"next: bigbird serve --models {list(outputs.values())[-1]}")
    assert exports[0].outputs == {precision: Path(path) for precision, path in outputs.items()}
    assert list(exports[0].outputs) == list(outputs)


def test_pieces_that_texts_may_hold_are_named_together_or_apart(exports: list[Exported]) -> None:
    pieces = ("--text-pieces", "<row>,<cn>", "--text-pieces", "<t>")
    assert run("export", "checkpoint", "--output", "out", "--tokenizer", "elsewhere", *pieces)[0] == 0
    assert exports[0].options.text_pieces == ("<row>", "<cn>", "<t>")
    assert exports[0].options.tokenizer == "elsewhere"


@pytest.mark.parametrize(
    ("value", "buckets"),
    [
        ("704", (704,)),
        ("128,704,2048", (128, 704, 2048)),
        ("every:128", BucketStep(128)),
        ("every:128:2048", BucketStep(128, 2048)),
    ],
)
def test_buckets_are_lengths_or_a_step(
    value: str, buckets: tuple[int, ...] | BucketStep, exports: list[Exported]
) -> None:
    assert run("export", "checkpoint", "--output", "out", "--buckets", value)[0] == 0
    assert exports[0].options == ExportOptions(buckets=buckets)


@pytest.mark.parametrize("choice", ["composed", "fused", "both"])
def test_attention_kernels_are_asked_for_by_name(choice: AttentionChoice, exports: list[Exported]) -> None:
    assert run("export", "checkpoint", "--output", "out", "--attention", choice, "--overwrite")[0] == 0
    assert exports[0].options == ExportOptions(attention=choice)
    assert exports[0].overwrite


# What does not exist, exists already, is a bundle, or holds checkpoints.
WRONG_PATHS = [
    (["export", "./nothing", "--output", "out"], "nothing: is not a folder"),
    (["export", "checkpoint", "--output", "taken"], "taken: exists already"),
    (["export", "bundle", "--output", "out"], "bundle: is a bundle already, not a checkpoint; serve it: bigbird serve"),
    (["export", "training", "--output", "out"], "training: is not a checkpoint, but holds some"),
    (["finetune", "./nothing", "--task", "ner", *FINETUNE[2:]], "nothing: is not a folder"),
    (["finetune", "checkpoint", "--task", "ner", *FINETUNE[2:], "--train", "none"], "'none' does not exist"),
]
RUN = """
import sys
from click.testing import CliRunner
from bigbird_cli.main import main
for arguments in {arguments}:
    print(CliRunner().invoke(main, arguments).output, end="")
print("torch" in sys.modules)
"""


def test_a_wrong_path_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    for file in ("checkpoint/config.json", "taken/file", "bundle/manifest.json", "training/checkpoint-5/config.json"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    script = RUN.format(arguments=[arguments for arguments, _ in WRONG_PATHS])
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    *told, torch_is_imported = [line for line in done.stdout.splitlines() if line.startswith("Error: ")] + [
        done.stdout.splitlines()[-1]
    ]
    for line, (_, message) in zip(told, WRONG_PATHS, strict=True):
        assert message in line
    assert torch_is_imported == "False"
