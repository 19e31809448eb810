"""The service's own task for a model in training: what is learned and measured is what will be served."""

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

from bigbird_inference.errors import InvalidInput
from bigbird_inference.manifest import (
    FORMAT_VERSION,
    HashedFile,
    Manifest,
    ModelConfig,
    PairTypes,
    Source,
    TaskName,
    TokenizerFile,
)
from bigbird_inference.tasks.base import EncodedRequest, Task
from bigbird_inference.tasks.registry import create_task
from bigbird_inference.tokenization.encoded import TokenizedText
from bigbird_inference.tokenization.tokenizer import Tokenizer
from evaluation.data.source_text import DataError, Mistakes
from model_export.config import BigBirdConfig
from model_export.export.signature import signature

PAIR_TYPES: PairTypes = "segments"
"""Token types of pairs in every training here; the checkpoint says so."""
_TEXTS_REMEMBERED = 4
RequestT = TypeVar("RequestT")
ExampleT = TypeVar("ExampleT")


def served_task(config: BigBirdConfig, task: str, tokenizer: Tokenizer, max_length: int) -> Task[Any, Any]:
    """Return the task that will serve the model, with windows of at most so many tokens."""
    shape = signature(task, config)
    nothing = HashedFile(file="unwritten", bytes=0, sha256="0" * 64)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        task=cast(TaskName, task),
        labels=list(config.labels) if task in ("classify", "ner") else [],
        problem_type=config.problem_type,
        pattern="transformers",
        precision="fp32",
        pair_types="zeros" if config.type_vocab_size == 1 else PAIR_TYPES,
        block_size=config.block_size,
        max_length=max_length,
        max_batch_items=None,
        tokenizer=TokenizerFile(
            file=nothing.file,
            bytes=nothing.bytes,
            sha256=nothing.sha256,
            cls_id=tokenizer.cls_id,
            sep_id=tokenizer.sep_id,
            pad_id=tokenizer.pad_id,
            mask_id=tokenizer.mask_id,
            eos_id=None,
            kind=tokenizer.kind,
            mask_lstrip=tokenizer.mask_lstrip,
            added_tokens=list(tokenizer.added_tokens),
            token_types=tokenizer.token_types,
        ),
        weights=nothing,
        inputs=shape.inputs,
        outputs=shape.outputs,
        graphs=[],
        buckets=[],
        source=Source(name="", kind="", sha256=nothing.sha256, assumptions=[]),
        model=cast(ModelConfig, config.to_dict()),
        versions={},
    )
    return create_task(manifest, tokenizer)


def encode_example(task: Task[RequestT, Any], request: RequestT, path: Path, line: int) -> EncodedRequest[RequestT]:
    """Encode an example as the service would.

    Args:
        task: With windows of the training's length.
        request: The example.
        path: Where it stands, for messages.
        line: Where in the file.

    Raises:
        DataError: The service would refuse it.
    """
    try:
        return task.encode(request)
    except InvalidInput as error:
        longest, own = task.manifest.max_length, cast(dict[str, int], task.manifest.model)["max_position_embeddings"]
        hint = f" (--max-length is {longest}, the model has {own} positions)" if longest < own else ""
        raise DataError(path, line, f"{error}{hint}") from error


def encode_all(
    path: Path, examples: Iterable[ExampleT], encode: Callable[[ExampleT], EncodedRequest[RequestT]]
) -> list[EncodedRequest[RequestT]]:
    """Encode all examples of a file.

    Args:
        path: The file.
        examples: In their order.
        encode: Encodes one of them.

    Raises:
        DataError: The service would refuse some of them.
    """
    encoded = []
    with Mistakes(path) as mistakes:
        for example in examples:
            with mistakes.collected():
                encoded.append(encode(example))
    return encoded


class RememberingTokenizer(Tokenizer):
    """Tokenises a context once for all the questions that follow one another about it."""

    @cached_property
    def _remembered(self) -> dict[tuple[str, bool], TokenizedText]:
        return {}

    def tokenize(self, text: str, *, before_token: bool = False) -> TokenizedText:
        """Tokenise a text, or return the tokens of one of the last texts."""
        key = text, before_token
        tokens = self._remembered.pop(key, None)
        if tokens is None:
            tokens = super().tokenize(text, before_token=before_token)
        self._remembered[key] = tokens
        if len(self._remembered) > _TEXTS_REMEMBERED:
            self._remembered.pop(next(iter(self._remembered)))
        return tokens
