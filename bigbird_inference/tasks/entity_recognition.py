"""Named-entity recognition: the people, places and other things that a document names.

Every token gets the logits of one window; grouping then runs over the whole text, so no entity ends at a window's edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.base import QUICK_TOKENS, EncodedRequest, Task, take_output
from bigbird_inference.tasks.declaration import LeftOut, Listed, Operation, Text, WindowStride
from bigbird_inference.tasks.entity_grouping import Aggregation, Entity, group_entities
from bigbird_inference.tasks.label_scheme import OUTSIDE, LabelScheme
from bigbird_inference.tasks.offset_units import End, Offsets, Start
from bigbird_inference.tasks.read_windows import ReadWindow, Windows, read_windows
from bigbird_inference.tasks.scores import softmax
from bigbird_inference.tasks.token_merging import merge_token_logits, token_sources
from bigbird_inference.tokenization.encoded import EncodedSequence, TokenizedText, Window
from bigbird_inference.tokenization.tokenizer import SINGLE_SPECIAL_TOKENS, Tokenizer
from bigbird_inference.tokenization.windows import Slice, plan_windows, window_capacity


@dataclass(frozen=True, slots=True)
class EntityRequest:
    """A text to find entities in, or a list of texts."""

    text: Annotated[
        Text,
        Field(
            description="The document, or a list. It may be longer than the model.",
            examples=["Maria Okafor signed for Halden Works in Bergen."],
        ),
        Listed(),
    ]
    aggregation: Annotated[
        Aggregation | None,
        Field(
            description="How tokens become entities; `none` returns tokens with their labels. When absent, `average` "
            "for a model that is told the case of words, so that no word is cut, and otherwise `simple`."
        ),
    ] = None
    threshold: Annotated[
        float, Field(ge=0.0, le=1.0, allow_inf_nan=False, description="Entities with a lower score are left out.")
    ] = 0.0
    window_stride: WindowStride = None
    ignore_labels: Annotated[
        list[str] | None,
        Field(
            max_length=256,
            description="Entities of these types, or with the aggregation `none` tokens with these labels, are left "
            "out. Default: `O`, which marks what is not an entity.",
        ),
    ] = None
    offsets: Offsets = "code_points"
    windows: Windows = False


@dataclass(frozen=True, slots=True)
class EntityWindow(ReadWindow):
    """A window of the text, and the part of it that counts."""

    taken_start: Annotated[
        Start, Field(description="Where what was taken from this window begins; the rest is from its neighbours.")
    ]
    taken_end: Annotated[End, Field(description="Where it ends, exclusive; the same as `taken_start` for nothing.")]


@dataclass(frozen=True, slots=True)
class EntityAnswer:
    """The entities in the order of the text."""

    entities: list[Entity]
    windows: Annotated[
        list[EntityWindow] | None,
        Field(description="The windows in the order of the text, if `windows` asked for them."),
        LeftOut(),
    ] = None


class EntityRecognition(Task[EntityRequest, EntityAnswer]):
    """Models with one logit per label for each token."""

    operation = Operation(
        "find_entities",
        "Find entities in a document",
        "Find names and other entities in the text, with their exact positions.",
        EntityRequest,
        EntityAnswer,
        located_in="text",
        smaller_answer="raise threshold, or ask for another aggregation than none",
    )
    takes_case = True

    def __init__(self, manifest: Manifest, tokenizer: Tokenizer) -> None:
        super().__init__(manifest, tokenizer)
        if not manifest.labels:
            raise BundleError("an entity recognition bundle needs labels, and the manifest has none")
        self.scheme = LabelScheme.of(manifest.labels)
        self._told_case = tokenizer.token_types == "case"

    def encode(self, request: EntityRequest) -> EncodedRequest[EntityRequest]:
        """Cut the text into windows."""
        tokens = self.tokenize_field("text", request.text)
        capacity = window_capacity(self.manifest.max_length, SINGLE_SPECIAL_TOKENS, len(tokens))
        windows = [
            Window(
                self._sequence(tokens, part),
                text_offset=1,
                first_token=part.first,
                token_count=part.count,
            )
            for part in plan_windows(len(tokens), capacity, request.window_stride)
        ]
        return EncodedRequest(request, tokens, windows)

    def _sequence(self, tokens: TokenizedText, part: Slice) -> EncodedSequence:
        own = slice(part.first, part.first + part.count)
        return self.tokenizer.single(tokens.ids[own], None if tokens.types is None else tokens.types[own])

    def decodes_quickly(self, encoded: EncodedRequest[EntityRequest]) -> bool:
        """Tell whether few tokens are joined as they are; words are looked for one by one."""
        return self._aggregation(encoded.request) == "simple" and len(encoded.tokens) <= QUICK_TOKENS

    def _aggregation(self, request: EntityRequest) -> Aggregation:
        return request.aggregation or ("average" if self._told_case else "simple")

    def decode(self, encoded: EncodedRequest[EntityRequest], outputs: Sequence[Outputs]) -> EntityAnswer:
        """Merge the windows token by token, then group."""
        width = len(self.manifest.labels)
        logits = take_output(outputs, "logits", [(len(window.sequence), width) for window in encoded.windows])
        request, tokens = encoded.request, encoded.tokens
        scores = softmax(merge_token_logits(encoded.windows, logits, len(tokens)))
        unk_id = self.tokenizer.vocabulary.unk_id
        ignored = frozenset({OUTSIDE} if request.ignore_labels is None else request.ignore_labels)
        entities = group_entities(
            request.text,
            tokens,
            scores,
            self.scheme,
            self._aggregation(request),
            unk_id,
            ignored,
            # A model that is told the case of words is told of these words.
            punctuation_parts=self._told_case,
        )
        kept = [entity for entity in entities if entity.score >= request.threshold]
        return EntityAnswer(kept, _listed_windows(encoded) if request.windows else None)


def _listed_windows(encoded: EncodedRequest[EntityRequest]) -> list[EntityWindow]:
    tokens = encoded.tokens
    sources = token_sources(encoded.windows, len(tokens))
    listed = []
    for number, window in enumerate(read_windows(tokens, encoded.windows)):
        taken = np.flatnonzero(sources == number)
        start, end = (tokens.starts[taken[0]], tokens.ends[taken[-1]]) if len(taken) else (window.start, window.start)
        listed.append(EntityWindow(window.start, window.end, window.tokens, int(start), int(end)))
    return listed
