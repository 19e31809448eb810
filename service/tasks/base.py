"""What every task has in common: a request becomes windows, and the windows' logits become an answer.

A task is built once per model and holds no state of any request, so threads share it. The typed state between its two
halves is `EncodedRequest`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from service.bundle import Manifest
from service.errors import InferenceFailed, InvalidInput
from service.tokenization.encoded import TokenizedText, Window
from service.tokenization.tokenizer import Tokenizer, check_unicode

Float32Array = npt.NDArray[np.float32]
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
    """Pre- and post-processing of one task for one model."""

    def __init__(self, manifest: Manifest, tokenizer: Tokenizer) -> None:
        self.manifest = manifest
        self.tokenizer = tokenizer

    @abstractmethod
    def encode(self, request: RequestT) -> EncodedRequest[RequestT]:
        """Check a request against this model and turn it into windows.

        Raises:
            InvalidInput: This model cannot work with the request; the message names the field.
        """

    @abstractmethod
    def decode(self, encoded: EncodedRequest[RequestT], logits: Sequence[Float32Array]) -> AnswerT:
        """Turn the logits of all windows into one answer.

        Args:
            encoded: What `encode` returned.
            logits: One array for each window, in the same order, cut to the window's own length.

        Raises:
            InferenceFailed: The logits have wrong shapes, or hold NaN or infinity.
        """

    @property
    def has_segment_types(self) -> bool:
        """Whether the model knows a second token type."""
        return self.manifest.model["type_vocab_size"] > 1

    def tokenize_field(self, name: str, text: str) -> TokenizedText:
        """Tokenise one field of a request.

        Raises:
            InvalidInput: It is not Unicode, or has nothing that could be shown; the message names the field.
        """
        check_unicode(text, name)
        if not text or text.isspace():
            raise InvalidInput(f"{name} is empty or only whitespace")
        tokens = self.tokenizer.tokenize(text)
        if not np.any(tokens.ends > tokens.starts):
            raise InvalidInput(f"{name} has no visible characters")
        return tokens


def check_logits(windows: Sequence[Window], logits: Sequence[Float32Array], width: int) -> None:
    """Make sure that there is one finite `[length, width]` array for each window.

    Raises:
        InferenceFailed: There is not.
    """
    shapes = [(len(window.sequence), width) for window in windows]
    if [array.shape for array in logits] != shapes:
        raise InferenceFailed("the model's output has an unexpected shape")
    check_finite(logits)


def check_finite(logits: Sequence[Float32Array]) -> None:
    """Refuse to make an answer out of NaN or infinity.

    Raises:
        InferenceFailed: An array holds one.
    """
    if not all(np.isfinite(array).all() for array in logits):
        raise InferenceFailed("the model's output is not a number")
