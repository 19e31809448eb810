"""What the person who fine-tunes decides."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from bigbird_inference.manifest import TokenTypes, TrainableTask
from bigbird_inference.tasks.question_answering import DEFAULT_MAX_ANSWER_TOKENS
from evaluation.data.conll import ConllUnit
from evaluation.data.labelled_texts import Target
from finetuning.forward import PrecisionName
from finetuning.plan import Decay
from finetuning.state_file import Setting

RandomBlockChoice = Literal["fixed", "fresh"]
DeviceName = Literal["auto", "cpu", "cuda"]

# What may change between two runs of one training: the numbers stay the same.
_FREE = {"free": True}


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """One fine-tuning; None leaves a choice to the checkpoint or to the file's size.

    Attributes:
        task: What to learn.
        training_file: What to learn from.
        evaluation_file: What to measure on.
        epochs: How often every row is learned from.
        steps: Optimiser steps instead of epochs.
        batch_size: Rows that are computed at once.
        accumulate: So many batches make an optimiser step.
        learning_rate: The highest one.
        warm_up: Share of the steps over which the learning rate rises.
        decay: How it falls afterwards.
        weight_decay: Of matrices.
        precision: The number format of products.
        gradient_checkpointing: Whether activations are computed twice to save memory.
        device: Where to train.
        seed: Of the new head, the order of the rows, dropout and masks.
        max_length: Tokens of a window; None for the model's longest.
        window_stride: Tokens that neighbouring windows share; None as in serving.
        max_answer_tokens: Of question answering: the longest answer that is given in measuring.
        patience: Measurements without a better score that end the training; None: never.
        measure_every: Steps between measurements; None for an epoch's.
        save_every: Seconds between saves of the state.
        pattern: Random blocks with which the model will be exported; None for those of the checkpoint's source.
        random_blocks: Whether training uses the pattern's blocks, or draws some anew at every step.
        target: Of classification: one label, any number of labels, or a number.
        text_column, pair_column, label_column: Names of columns or fields; None for those of GLUE.
        header: Whether a table's first line names its columns.
        label_separator: Between several labels in one cell.
        unit: What of a CoNLL file is a text.
        tokenizer: Where the checkpoint's tokenizer is, if not in its folder; its contents are what counts.
        lora: Rank of low-rank differences that are trained in place of the encoder's weights; None trains those.
        token_types: What token types tell the model; None for what they tell the checkpoint.
        dropout: Everywhere in training; None for the checkpoint's own.
        pack: Of entity recognition: whether short texts are put together into inputs of up to `max_length` tokens.
    """

    task: TrainableTask
    training_file: Path
    evaluation_file: Path
    epochs: int = 3
    steps: int | None = None
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 5e-5
    warm_up: float = 0.1
    decay: Decay = "linear"
    weight_decay: float = 0.01
    precision: PrecisionName = field(default="auto", metadata=_FREE)
    gradient_checkpointing: bool = field(default=False, metadata=_FREE)
    device: DeviceName = field(default="auto", metadata=_FREE)
    seed: int = 1
    max_length: int | None = None
    window_stride: int | None = None
    max_answer_tokens: int = DEFAULT_MAX_ANSWER_TOKENS
    patience: int | None = None
    measure_every: int | None = None
    save_every: float = field(default=60.0, metadata=_FREE)
    pattern: str | None = None
    random_blocks: RandomBlockChoice = "fixed"
    target: Target = "label"
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None
    header: bool = True
    label_separator: str = ","
    unit: ConllUnit = "document"
    tokenizer: str | None = field(default=None, metadata=_FREE)
    lora: int | None = None
    token_types: TokenTypes | None = None
    dropout: float | None = None
    pack: bool = False

    def settings(self) -> Iterator[tuple[str, Setting]]:
        """Yield what two runs of one training must have in common, under the names of the command line.

        Files are not among them: their contents are what counts. Nor is the precision, which the trainer adds.
        """
        for entry in fields(self):
            if not entry.metadata.get("free") and not entry.name.endswith("_file"):
                yield entry.name.replace("_", "-"), getattr(self, entry.name)
