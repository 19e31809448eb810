"""Write `docs/checkpoints.md`: public checkpoints by task and language, and the command that exports each."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from bigbird_inference.tasks.registry import TASKS
from scripts.public_checkpoints import PublicCheckpoint, read_list

PAGE = Path(__file__).parents[1] / "docs" / "checkpoints.md"
_HUB = "https://huggingface.co"
_HEAD = """# Public checkpoints

BigBird checkpoints that others published on the Hugging Face hub, by task and language. Written by
`python -m scripts.write_checkpoints_page` from `scripts/public_checkpoints.toml`.

**Read, not run.** What stands here was read where the last column says. Where "Run" is empty, nobody of this project
has run the checkpoint, and the other columns are only as right as their source. Empty cells are not known. Before you
serve one, look at its card: what it was trained on, how good it is, and what its licence allows.

The commands need the extra `hub`; `.venv/bin/bigbird serve --models bundles` serves what they make. How an id is
written, what is downloaded and where it goes: [which BigBird](which_bigbird.md#from-the-hub).

Who has a network can have each exported and compared with transformers (`--only 'google/*'` for some of them):

    .venv/bin/python -m scripts.check_public_checkpoints

"BigBird-Pegasus" (google/bigbird-pegasus-large-arxiv and its like, model type `bigbird_pegasus`) is an encoder with a
decoder for summaries, another model: it is out of scope, and `bigbird export` refuses it.
"""
_COLUMNS = ("Language", "Checkpoint", "Weights", "Size", "Tokenizer", "What is special", "Licence", "Run", "Read from")


def page() -> str:
    """Return the page."""
    checkpoints = read_list()
    parts = [_HEAD]
    for task in TASKS:
        served = [one for one in checkpoints if one.task == task and not one.problem]
        if served:
            parts.append(f"## `/{task}`\n\n{_table(served)}\n{_commands(served)}")
    parts.append(f"## Not served as they are\n\n{_table([one for one in checkpoints if one.problem])}")
    return "\n".join(parts)


def _table(checkpoints: Iterable[PublicCheckpoint]) -> str:
    lines = [_row(_COLUMNS), _row("---" for _ in _COLUMNS)]
    for one in _in_order(checkpoints):
        sources = " ".join(f"[{number}]({_address(one, source)})" for number, source in enumerate(one.sources, 1))
        link = f"[{one.id}]({_HUB}/{one.id})"
        special = one.problem or one.special
        lines.append(
            _row([one.language, link, one.weights, one.size, one.tokenizer, special, one.licence, one.run, sources])
        )
    return "\n".join(lines) + "\n"


def _commands(checkpoints: Iterable[PublicCheckpoint]) -> str:
    return "".join(f"    .venv/bin/bigbird {shlex.join(one.command)}\n" for one in _in_order(checkpoints))


def _in_order(checkpoints: Iterable[PublicCheckpoint]) -> list[PublicCheckpoint]:
    """Return them by language, those whose language is not known last, otherwise as they are listed."""
    return sorted(checkpoints, key=lambda one: (not one.language, one.language))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _address(one: PublicCheckpoint, source: str) -> str:
    return source if "://" in source else f"{_HUB}/{one.id}/{source}".rstrip("/")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
