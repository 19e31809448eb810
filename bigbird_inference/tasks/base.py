"""What every task has in common: a request becomes windows, and the windows' outputs become an answer.

A task is built once per model and holds no state of any request, so threads share it. The typed state between its two
halves is `EncodedRequest`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from bigbird_inference.errors import BundleError, InferenceFailed, InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Float32Array, Outputs
from bigbird_inference.tasks.declaration import Operation
from bigbird_inference.tasks.offset_units import count_positions
from bigbird_inference.tokenization.encoded import TokenizedText, Window
from bigbird_inference.tokenization.tokenizer import Tokenizer, check_unicode

QUICK_TOKENS = 4096
"""Of a text about whose tokens a task can say in a millisecond what each is."""

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class EncodedRequest(Generic[RequestT]):
    """A request on its way to the model.

    Attributes:
        request: What was asked.
        tokens: The windowed text (context or text) as tokens.
        windows: The model inputs, in the order of the text; never empty.
    """

    request: RequestT
    tokens: TokenizedText
    windows: list[Window]


class Task(ABC, Generic[RequestT, AnswerT]):
    """Pre- and post-processing of one task for one model.

    Attributes:
        operation: How it is called, with its request and its answer.
        needed_inputs: Inputs that the model's graphs must have beside those that every model has.
        needed_outputs: Outputs that they must have.
        decodes_at_once: Whether decoding is a handful of numbers for each window, so that handing it to another thread
            takes longer than doing it.
        takes_case: Whether the model may be told the case of words by token types.

    Raises:
        BundleError: The manifest lacks one of them, or its token types are not those of the task.
    """

    operation: ClassVar[Operation]
    needed_inputs: ClassVar[frozenset[str]] = frozenset()
    needed_outputs: ClassVar[frozenset[str]] = frozenset({"logits"})
    decodes_at_once: ClassVar[bool] = False
    takes_case: ClassVar[bool] = False

    def __init__(self, manifest: Manifest, tokenizer: Tokenizer) -> None:
        self.manifest = manifest
        self.tokenizer = tokenizer
        missing = {
            "inputs": self.needed_inputs - {tensor.name for tensor in manifest.inputs},
            "outputs": self.needed_outputs - {tensor.name for tensor in manifest.outputs},
        }
        for field, names in missing.items():
            if names:
                raise BundleError(f"{field}: a bundle of the task {manifest.task} needs {', '.join(sorted(names))}")
        if manifest.tokenizer.token_types == "case" and not self.takes_case:
            raise BundleError(
                f"tokenizer.token_types: case is read by the task ner alone, and the bundle is of {manifest.task}"
            )

    @abstractmethod
    def encode(self, request: RequestT) -> EncodedRequest[RequestT]:
        """Check a request against this model and turn it into windows.

        Raises:
            InvalidInput: This model cannot work with the request; the message names the field.
        """

    def encoder(self) -> Callable[[RequestT], EncodedRequest[RequestT]]:
        """Return what encodes the items of one list, as `encode` does; several threads may call it.

        What items have in common needs to be tokenised only once.
        """
        return self.encode

    @abstractmethod
    def decode(self, encoded: EncodedRequest[RequestT], outputs: Sequence[Outputs]) -> AnswerT:
        """Turn the outputs of all windows into one answer.

        Positions in it are code points; `answer` counts them as the request asks.

        Args:
            encoded: What `encode` returned.
            outputs: Those of each window, in the same order, cut to the window's own length or positions.

        Raises:
            InferenceFailed: An output is missing, has a wrong shape, or holds NaN or infinity.
        """

    def answer(self, encoded: EncodedRequest[RequestT], outputs: Sequence[Outputs]) -> AnswerT:
        """Decode, with positions counted as the request asks; arguments and errors are those of `decode`."""
        answer = self.decode(encoded, outputs)
        if self.operation.located_in is None:
            return answer
        request: Any = encoded.request
        return count_positions(answer, getattr(request, self.operation.located_in), request.offsets)

    @property
    def quick_bytes(self) -> int:
        """Bytes of UTF-8 of a request that is encoded in a millisecond or two."""
        return self.tokenizer.vocabulary.quick_bytes

    def decodes_quickly(self, encoded: EncodedRequest[RequestT]) -> bool:
        """Tell whether an answer is made in a millisecond or two."""
        return self.decodes_at_once

    def continuation(
        self, encoded: EncodedRequest[RequestT], outputs: Sequence[Outputs]
    ) -> EncodedRequest[RequestT] | None:
        """Return what must run next before there is an answer, or None if these outputs are enough to `decode`.

        One run is enough for every task but those that build on what the model has just given, token by token.

        Args:
            encoded: What `encode`, or the last call of this, returned.
            outputs: Those of its windows.

        Raises:
            InferenceFailed: As in `decode`.
        """
        return None

    @property
    def has_segment_types(self) -> bool:
        """Whether the model knows a second token type."""
        return self.manifest.model["type_vocab_size"] > 1

    @property
    def types_pairs(self) -> bool:
        """Whether the second text of a pair has a token type of its own."""
        return self.has_segment_types and self.manifest.pair_types == "segments"

    def ensure_fits(self, name: str, token_count: int) -> None:
        """Refuse a sequence that is longer than the model, for tasks that have no windows.

        Args:
            name: What to call it in the message.
            token_count: Its tokens, special tokens included.

        Raises:
            InvalidInput: It is too long.
        """
        if token_count > self.manifest.max_length:
            raise InvalidInput(
                f"{name} is too long: with the special tokens it takes {token_count} tokens, the model at most "
                f"{self.manifest.max_length}; this task does not cut texts into windows"
            )

    def tokenize_field(self, name: str, text: str, *, positions: bool = True) -> TokenizedText:
        """Tokenise one field of a request.

        Args:
            name: Of the field, for messages.
            text: What it holds.
            positions: Whether the task needs to know where its tokens stand; tokenising takes twice as long then.

        Raises:
            InvalidInput: It is not Unicode, or has no visible character; the message names the field.
        """
        check_unicode(text, name)
        if not text or text.isspace():
            raise InvalidInput(f"{name} is empty or only whitespace")
        if not positions:
            plain = self.tokenizer.tokenize_without_positions(text)
            if self.tokenizer.shows_text(plain):
                return plain
        tokens = self.tokenizer.tokenize(text)
        if not np.any(tokens.ends > tokens.starts):
            raise InvalidInput(f"{name} has no visible characters")
        return tokens


def once_for_each_text(tokenize: Callable[[str], TokenizedText]) -> Callable[[str], TokenizedText]:
    """Return a function that tokenises every text once, for what the items of a list have in common.

    Several threads may call it.
    """
    tokenized: dict[str, TokenizedText] = {}
    one_at_a_time = Lock()

    def tokenize_once(text: str) -> TokenizedText:
        with one_at_a_time:
            if text not in tokenized:
                tokenized[text] = tokenize(text)
            return tokenized[text]

    return tokenize_once


def take_output(outputs: Sequence[Outputs], name: str, shapes: Sequence[tuple[int, ...]]) -> list[Float32Array]:
    """Return one output of every window, after a check that an answer can be made of it.

    Args:
        outputs: The outputs of each window.
        name: Which of them.
        shapes: The shape that it must have for each window.

    Raises:
        InferenceFailed: It is missing, has another shape, or holds NaN or infinity.
    """
    arrays = [own[name] for own in outputs if name in own]
    if [array.shape for array in arrays] != list(shapes):
        raise InferenceFailed("the model's output has an unexpected shape")
    if not all(np.isfinite(array).all() for array in arrays):
        raise InferenceFailed("the model's output is not a number")
    return arrays
