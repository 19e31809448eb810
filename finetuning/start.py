"""Where a fine-tuning starts: a checkpoint of any source, with its head or with a new one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from bigbird_inference.manifest import ProblemType
from bigbird_inference.tokenization.letter_case import CASE_TYPES
from model_export.checkpoints.checkpoint import Checkpoint, CheckpointOptions
from model_export.checkpoints.labels import LABELLED_TASKS
from model_export.checkpoints.recognise import read_checkpoint
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError
from model_export.nn.heads import HEADS, LanguageModelHead, QuestionAnsweringHead
from model_export.nn.model import BigBird
from model_export.patterns.pattern import Pattern


@dataclass(frozen=True, slots=True)
class Start:
    """A checkpoint to start from.

    Attributes:
        checkpoint: Read for its own task, or as an encoder alone where it names none.
        task: What is to be learned.
        tokenizer: Where its tokenizer is, if not in its folder.
    """

    checkpoint: Checkpoint
    task: str
    tokenizer: str | None = None

    @classmethod
    def find(cls, folder: Path, task: str, tokenizer: str | None = None) -> "Start":
        """Find out what a folder holds; `CheckpointOptions` says what a tokenizer is.

        Raises:
            CheckpointError: It is not a checkpoint.
            ConfigError: Its model cannot be built.
        """
        try:
            checkpoint = read_checkpoint(folder, CheckpointOptions(tokenizer=tokenizer))
            # How many labels its head has, only the weights know.
            counted = checkpoint.task == task and task in LABELLED_TASKS
            return cls(checkpoint.settled() if counted else checkpoint, task, tokenizer)
        except CheckpointError:
            # It may only lack the name of a task; whatever else is wrong is said again here.
            return cls(read_checkpoint(folder, CheckpointOptions("embed", tokenizer=tokenizer)), task, tokenizer)

    @property
    def own_labels(self) -> tuple[str, ...] | None:
        """The labels of its head, if it has one for the task."""
        return self.checkpoint.config.labels if self.checkpoint.task == self.task else None

    def keeps_head(self, labels: Sequence[str], problem_type: ProblemType | None) -> bool:
        """Tell whether its head is for the task and knows all of these labels."""
        config = self.checkpoint.config
        same_problem = config.problem_type in (None, problem_type) or problem_type is None
        knows_all = self.task in ("qa", "fill-mask") or set(labels) <= set(config.labels)
        return self.checkpoint.task == self.task and same_problem and knows_all

    def model(
        self, labels: tuple[str, ...], problem_type: ProblemType | None, pattern: Pattern, seed: int
    ) -> tuple[BigBird, str]:
        """Return the model to train, and a line that says where its head comes from.

        Args:
            labels: Of the task; those of the head, if it is kept.
            problem_type: Of classification.
            pattern: Where the random blocks come from.
            seed: Of a new head.

        Raises:
            CheckpointError: The weights cannot be read or do not fit the configuration.
        """
        if self.keeps_head(labels, problem_type):
            model = self.checkpoint.load(pattern).model
            model.config = replace(model.config, problem_type=problem_type)
            kept = f"the checkpoint's head for {self.task} is kept"
            if isinstance(model.head, QuestionAnsweringHead) and model.head.answer_type is not None:
                model.head.answer_type = None
                model.config = replace(model.config, has_answer_types=False)
                kept += ", without its answer types: the training data does not tell them"
            return model, kept
        encoder = self.checkpoint
        if encoder.task != "embed":
            encoder = read_checkpoint(self.checkpoint.folder, CheckpointOptions("embed", tokenizer=self.tokenizer))
        bare = encoder.load(pattern).model
        config = _with_new_head(bare.config, self.task, labels, problem_type)
        model = BigBird(config, HEADS[self.task](config), pattern)
        model.embeddings, model.encoder = bare.embeddings, bare.encoder
        initialise_head(model.head, config, seed)
        return model, self._replacement(seed)

    def _replacement(self, seed: int) -> str:
        own = self.checkpoint.task
        new = f"a new one for {self.task}, drawn with seed {seed}"
        if own == "embed":
            return f"the checkpoint has no head: it gets {new}"
        if own != self.task:
            return f"the checkpoint's head is for {own}: its encoder is kept, and gets {new}"
        known = ", ".join(self.checkpoint.config.labels)
        return f"the checkpoint's head is for other labels ({known}): its encoder is kept, and gets {new}"


def initialise_head(head: nn.Module, config: BigBirdConfig, seed: int) -> None:
    """Draw a head's first weights as transformers does: normal matrices, zero biases; norms stay as they are."""
    generator = torch.Generator().manual_seed(seed)
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=config.initializer_range, generator=generator)
            nn.init.zeros_(module.bias)
        if isinstance(module, LanguageModelHead) and module.decoder_weight is not None:
            nn.init.normal_(module.decoder_weight, std=config.initializer_range, generator=generator)


def tell_case(model: BigBird) -> None:
    """Give a model token types that tell case, all of which mean at first what type 0 meant."""
    if model.config.token_types == "case":
        return
    known = model.embeddings.token_type.weight.detach()
    model.embeddings.token_type = nn.Embedding(CASE_TYPES, known.shape[1], _weight=known[:1].repeat(CASE_TYPES, 1))
    model.config = replace(model.config, token_types="case", type_vocab_size=CASE_TYPES)


def set_dropout(model: BigBird, share: float) -> None:
    """Make every dropout of a model drop this share."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share


def _with_new_head(
    config: BigBirdConfig, task: str, labels: tuple[str, ...], problem_type: ProblemType | None
) -> BigBirdConfig:
    """Return the configuration with a head as transformers has it, so that transformers can load the result too."""
    return replace(
        config,
        labels=labels if task in ("classify", "ner") else BigBirdConfig().labels,
        problem_type=problem_type,
        classifier_activation=None,
        qa_feed_forward=True,
        qa_layer_norm_eps=None,
        has_pooler=True,
    )
