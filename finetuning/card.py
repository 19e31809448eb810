"""The model card beside a fine-tuned checkpoint: what it is, from what, with which settings, and how good."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bigbird_inference.bundle_files import file_sha256
from bigbird_inference.tasks.question_answering import DEFAULT_MAX_ANSWER_TOKENS
from finetuning.history import Measurement
from finetuning.state_file import Setting
from model_export.config import BigBirdConfig
from model_export.export.buckets import BucketStep


@dataclass(frozen=True, slots=True)
class Card:
    """What stands in the card.

    Attributes:
        name: Of the checkpoint.
        task: Its task.
        source: The checkpoint that it was made from.
        head: Where its head came from.
        files: Training and evaluation file by their role.
        pattern: Random blocks with which it is to be exported.
        random_blocks: Of the training.
        settings: Every setting of the training.
        steps: Done in all.
        seconds: Taken in all.
        best: The measurement whose weights these are.
        labels: Of its head; empty where it has none.
        buckets: Of the bundle that serves what was measured; None for all of the model.
        max_length: Tokens of a window in training.
        notes: What was found in the files.
        base: What an adapter calls its base; None for a whole checkpoint.
    """

    name: str
    task: str
    source: str
    head: str
    files: Mapping[str, Path]
    pattern: str
    random_blocks: str
    settings: Mapping[str, Setting]
    steps: int
    seconds: float
    best: Measurement
    labels: tuple[str, ...]
    buckets: BucketStep | None
    max_length: int
    notes: tuple[str, ...] = ()
    base: str | None = None

    def text(self) -> str:
        """Return the card in Markdown, with the metadata that the Hugging Face hub reads."""
        figures = "\n".join(f"| {name} | {figure:.4f} |" for name, figure in self.best.figures.items())
        settings = "\n".join(f"| `{name}` | {value} |" for name, value in self.settings.items() if value is not None)
        files = "\n".join(
            f"- {role} file: `{path.name}`, sha256 `{file_sha256(path)}`" for role, path in self.files.items()
        )
        labels = f"- Labels: {', '.join(self.labels)}\n" if self.labels else ""
        notes = "".join(f"- {note}\n" for note in self.notes) + ("\n" if self.notes else "")
        blocks = "drawn anew at every step" if self.random_blocks == "fresh" else "fixed, those of the pattern"
        made = "A BigBird" if self.base is None else "An adapter of a BigBird"
        return f"""---
library_name: bigbird-serve
pipeline_tag: {_PIPELINE_TAGS[self.task]}
---

# {self.name}

{made} for `{self.task}`, fine-tuned with `bigbird finetune` from `{self.source}`; {self.head}.

{labels}- Windows of {self.max_length} tokens in training and measuring
- Random blocks in training: {blocks}; measured and to be exported with the pattern `{self.pattern}`:

      {export_command(self.name, self.pattern, self.buckets, self.base)}

{self._sent_with_requests()}{self._measured()}:

| figure | value |
|---|---|
{figures}

{notes}{self.steps} steps took {self.seconds / 60:.1f} minutes.

{files}

| setting | value |
|---|---|
{settings}

The curve: `training/curve.png`, its numbers: `training/curve.jsonl`.
"""

    def _measured(self) -> str:
        step = f"step {self.best.total_steps} of {self.steps}"
        return f"Measured on the evaluation file after {step}, the best of all measurements"

    def _sent_with_requests(self) -> str:
        """Return what belongs to the figures and is not part of a bundle."""
        fields = {
            "qa": ("window-stride", "max-answer-tokens"),
            "classify": ("window-stride",),
            "ner": ("window-stride",),
        }
        sent = {name.replace("-", "_"): self.settings.get(name) for name in fields.get(self.task, ())}
        usual = {"window_stride": None, "max_answer_tokens": DEFAULT_MAX_ANSWER_TOKENS}
        values = ", ".join(f"`{name}`: {value}" for name, value in sent.items() if value != usual[name])
        return f"The figures are those of requests with {values}.\n\n" if values else ""


def buckets_of(config: BigBirdConfig, max_length: int) -> BucketStep | None:
    """Return the buckets of a bundle with windows of at most so many tokens; None for all of the model."""
    if max_length == config.max_length:
        return None
    return BucketStep(2 * config.block_size, max_length)


def export_command(folder: str, pattern: str, buckets: BucketStep | None, base: str | None = None) -> str:
    """Return the command that makes a bundle of a fine-tuned checkpoint, or of an adapter and its base."""
    # The layout's own pattern need not be named.
    chosen = [] if pattern == "transformers" else ["--pattern", pattern]
    if base is not None:
        chosen += ["--base", base]
    if buckets is not None:
        chosen += ["--buckets", f"every:{buckets.tokens}:{buckets.longest}"]
    name = Path(folder).name
    return shlex.join(["bigbird", "export", folder, *chosen, "--output", f"bundles/{name}"])


_PIPELINE_TAGS = {
    "qa": "question-answering",
    "classify": "text-classification",
    "ner": "token-classification",
    "fill-mask": "fill-mask",
}
