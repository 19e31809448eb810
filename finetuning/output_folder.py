"""The folder that a fine-tuning makes, and whose it is.

<output>/config.json, model.safetensors, README.md,
         spiece.model or tokenizer.json                            the checkpoint, which `bigbird export` takes
<output>/training/run.json                                         says that the folder is ours, and of which training
<output>/training/state, state.best                                from which a stopped training goes on
<output>/training/curve.jsonl, curve.png, log.txt                  what happened
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from finetuning.card import Card
from finetuning.lora import save_adapter
from finetuning.served_task import PAIR_TYPES
from finetuning.state_file import Setting
from model_export.checkpoints.checkpoint import Checkpoint
from model_export.checkpoints.huggingface import CONFIG_FILE, save_checkpoint
from model_export.errors import ConfigError
from model_export.nn.model import BigBird

_MADE_BY = "bigbird finetune"
_CARD_FILE = "README.md"


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """The folder of one training."""

    path: Path

    @property
    def work(self) -> Path:
        return self.path / "training"

    @property
    def state(self) -> Path:
        return self.work / "state"

    @property
    def log(self) -> Path:
        return self.work / "log.txt"

    @property
    def _run(self) -> Path:
        return self.work / "run.json"

    def check(self, start: Path) -> None:
        """Make sure that nobody's files are written over.

        Args:
            start: The checkpoint to start from.

        Raises:
            ConfigError: The folder is the start itself, or holds what this command did not make or cannot go on with.
        """
        output = self.path
        if output.resolve() == start.resolve():
            raise ConfigError(f"output: {output} is the checkpoint to start from")
        if output.exists() and not output.is_dir():
            raise ConfigError(f"output: {output} is not a folder")
        if not output.exists() or not any(output.iterdir()):
            return
        if not self._is_ours():
            raise ConfigError(
                f"output: {output} is not empty, and nothing in it comes from a fine-tuning; name another folder"
            )
        if (output / CONFIG_FILE).exists() and not self.state.exists():
            raise ConfigError(
                f"output: {output} holds a checkpoint whose training left no state to go on from; "
                "name another folder, or remove this one"
            )

    def take(self, task: str, settings: Mapping[str, Setting]) -> None:
        """Make the folder and mark it as the work of this command, unless a training goes on in it."""
        if self.state.exists():
            return
        self.work.mkdir(parents=True, exist_ok=True)
        partial = self._run.with_name(f"{self._run.name}.partial")
        run = {"made_by": _MADE_BY, "task": task, "settings": dict(settings)}
        partial.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, self._run)

    def write_checkpoint(self, model: BigBird, source: Checkpoint, card: Card) -> None:
        """Write the files of the checkpoint beside their places, then put them there, the configuration last."""
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=self.path) as folder:
            writing = Path(folder)
            if card.base is None:
                save_checkpoint(model, card.task, writing, pattern=card.pattern, pair_types=PAIR_TYPES)
                source.tokenizer.save(writing)
            else:
                save_adapter(model, source, card.task, writing, base=card.base, pattern=card.pattern)
            (writing / _CARD_FILE).write_text(card.text(), encoding="utf-8")
            mode = (writing / CONFIG_FILE).stat().st_mode
            for file in sorted(writing.iterdir(), key=lambda file: file.name == CONFIG_FILE):
                file.chmod(mode)  # safetensors makes its files readable for their owner alone
                os.replace(file, self.path / file.name)

    def _is_ours(self) -> bool:
        try:
            run = json.loads(self._run.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(run, dict) and run.get("made_by") == _MADE_BY
