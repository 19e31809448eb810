"""The command as the tests give it: a small task, and what came out."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from bigbird_cli.finetune_command import command

ROOT = Path(__file__).resolve().parents[2]


def texts(path: Path, count: int, first: int = 0) -> Path:
    """Texts whose label is whether Acme or Borealis is named in them."""
    lines = ["sentence\tlabel"]
    for number in range(first, first + count):
        name = ("Acme", "Borealis")[number % 2]
        lines.append(f"Alice leads {name} in {['Paris', 'New', 'York', 'Paris'][number % 4]}.\t{name}")
    path.write_text("\n".join(lines) + "\n")
    return path


def run(arguments: list[str]) -> Result:
    return CliRunner().invoke(command, arguments)


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "training" / "curve.jsonl").read_text().splitlines()]
