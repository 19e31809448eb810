"""Masked language modelling: which tokens could stand where a text has masks.

Every mask is predicted with all the other masks in place, in one run; the model's head is evaluated at the masks only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from bigbird_inference.errors import BundleError, InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Float32Array, Outputs
from bigbird_inference.tasks.base import EncodedRequest, Task, take_output
from bigbird_inference.tasks.declaration import Listed, Operation, Text
from bigbird_inference.tasks.offset_units import Offsets, Position
from bigbird_inference.tokenization.added_tokens import WHITE_SPACE
from bigbird_inference.tokenization.encoded import EncodedSequence, Window
from bigbird_inference.tokenization.masked_text import tokenize_masked
from bigbird_inference.tokenization.tokenizer import SINGLE_SPECIAL_TOKENS, Tokenizer, check_unicode


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token and its probability."""

    token_id: int
    score: float


def top_tokens(logits: Float32Array, count: int, candidates: int) -> list[ScoredToken]:
    """Return the best tokens by falling score; of equal ones the lower id first.

    Args:
        logits: float32 `[vocabulary]`.
        count: How many tokens to return.
        candidates: Only ids below this can be returned; the others take their share of the probability all the same.
    """
    own = logits[:candidates]
    count = min(count, len(own))
    # The vocabulary is large and `count` is small: find the last value that belongs, then sort only what reaches it.
    reaching = np.flatnonzero(own >= np.partition(own, len(own) - count)[len(own) - count])
    best = reaching[np.argsort(-own[reaching], kind="stable")][:count]
    highest = float(logits.max())
    total = float(np.exp(logits.astype(np.float64) - highest).sum())
    scores = np.exp(own[best].astype(np.float64) - highest) / total
    return [ScoredToken(int(token_id), float(score)) for token_id, score in zip(best, scores, strict=True)]


MAX_MASKS = 32
"""Every sequence of a batch is given room for as many masks as another has, each with the whole vocabulary."""

MAX_SEQUENCE_CHARACTERS = 2**20
"""Most characters in all the filled-in texts of one answer."""


@dataclass(frozen=True, slots=True)
class MaskRequest:
    """A text with masks to fill, or a list of texts."""

    text: Annotated[
        Text,
        Field(
            description="The text with its masks, or a list. It must fit the model.",
            examples=["Bergen is a city in [MASK]."],
        ),
        Listed(),
    ]
    mask: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=255,
            description="The string that is a mask in the text, and the only one. Default: the model's own, which is "
            "`[MASK]` in the released vocabulary.",
        ),
    ] = None
    top_k: Annotated[int, Field(ge=1, le=1000, description="Most predictions for each mask.")] = 5
    sequences: Annotated[bool, Field(description="Whether each prediction comes with the filled-in text.")] = True
    offsets: Offsets = "code_points"


@dataclass(frozen=True, slots=True)
class MaskPrediction:
    """A token that could stand for a mask."""

    token: Annotated[str, Field(description="What it reads as, without the space before it.")]
    token_id: int
    score: Annotated[float, Field(description="Its probability among the whole vocabulary.")]
    start: Annotated[
        int, Field(description="Where the mask begins in the text; `offsets` says what is counted."), Position()
    ]
    end: Annotated[int, Field(description="Where the mask ends, exclusive."), Position()]
    sequence: Annotated[
        str | None,
        Field(
            description="The text with the token in this mask's place; other masks stay. Null if `sequences` is false."
        ),
    ]


@dataclass(frozen=True, slots=True)
class MaskAnswer:
    """What could stand for each mask."""

    predictions: Annotated[
        list[list[MaskPrediction]],
        Field(description="For each mask, in the order of the text, its `top_k` best tokens, best first."),
    ]


class MaskFilling(Task[MaskRequest, MaskAnswer]):
    """Models with a logit for every token of the vocabulary at the positions that they are told."""

    operation = Operation(
        "fill_masks",
        "Fill the masks of a text",
        "Predict the tokens that the text's masks could stand for.",
        MaskRequest,
        MaskAnswer,
        located_in="text",
        smaller_answer="lower top_k, or set sequences to false",
    )

    needed_inputs: ClassVar[frozenset[str]] = frozenset({"positions"})

    def __init__(self, manifest: Manifest, tokenizer: Tokenizer) -> None:
        super().__init__(manifest, tokenizer)
        if manifest.tokenizer.mask_id is None:
            raise BundleError("tokenizer: a bundle of the task fill-mask needs a mask_id")
        self._mask_id = manifest.tokenizer.mask_id
        self._own_mask = tokenizer.vocabulary.token_text(self._mask_id)

    def encode(self, request: MaskRequest) -> EncodedRequest[MaskRequest]:
        """Put the mask's id wherever the mask's string is."""
        mask = self._own_mask if request.mask is None else request.mask
        self._check(request, mask)
        tokens = tokenize_masked(self.tokenizer, request.text, mask, self._mask_id)
        self.ensure_fits("text", len(tokens) + SINGLE_SPECIAL_TOKENS)
        plain = self.tokenizer.single(tokens.ids)
        positions = np.flatnonzero(tokens.ids == self._mask_id) + 1
        sequence = EncodedSequence(plain.input_ids, plain.token_type_ids, positions.astype(np.int64))
        return EncodedRequest(request, tokens, [Window(sequence, 1, 0, len(tokens))])

    def _check(self, request: MaskRequest, mask: str) -> None:
        check_unicode(request.text, "text")
        check_unicode(mask, "mask")
        if not mask or mask.isspace():
            raise InvalidInput("mask is empty or only whitespace")
        masks = request.text.count(mask)
        if masks == 0:
            spelling = f"this model's mask is {mask}" if request.mask is None else "the field mask says how it is spelt"
            raise InvalidInput(f"text has no mask in it; {spelling}")
        if masks > MAX_MASKS:
            raise InvalidInput(f"text has {masks} masks; at most {MAX_MASKS} are filled at once")
        characters = masks * request.top_k * len(request.text)
        if request.sequences and characters > MAX_SEQUENCE_CHARACTERS:
            raise InvalidInput(
                f"sequences would repeat the text {masks * request.top_k} times, in {characters} characters, and at "
                f"most {MAX_SEQUENCE_CHARACTERS} are returned; ask for fewer predictions, or set sequences to false"
            )

    def decode(self, encoded: EncodedRequest[MaskRequest], outputs: Sequence[Outputs]) -> MaskAnswer:
        """Rank the vocabulary at each mask."""
        request, tokens = encoded.request, encoded.tokens
        masks = np.flatnonzero(tokens.ids == self._mask_id)
        (logits,) = take_output(outputs, "logits", [(len(masks), self.manifest.model["vocab_size"])])
        spans = zip(tokens.starts[masks].tolist(), tokens.ends[masks].tolist(), strict=True)
        # Rows of the embedding beyond the vocabulary were never trained and have no text.
        pieces = len(self.tokenizer.vocabulary)
        return MaskAnswer(
            [
                [self._prediction(request, token, start, end) for token in top_tokens(row, request.top_k, pieces)]
                for (start, end), row in zip(spans, logits, strict=True)
            ]
        )

    def _prediction(self, request: MaskRequest, token: ScoredToken, start: int, end: int) -> MaskPrediction:
        text = self.tokenizer.vocabulary.token_text(token.token_id)
        sequence = None
        if request.sequences:
            before = request.text[:start]
            if not self.tokenizer.vocabulary.begins_word(token.token_id):
                before = before.rstrip(WHITE_SPACE)  # the token goes on with the word before the mask
            elif before and before[-1] not in WHITE_SPACE:
                before += " "
            sequence = before + text + request.text[end:]
        return MaskPrediction(text, token.token_id, token.score, start, end, sequence)
