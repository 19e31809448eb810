"""Named-entity recognition: the people, places and other things that a document names.

Every token gets the logits of one window; grouping then runs over the whole text, so no entity ends at a window's edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.base import EncodedRequest, Task, take_output
from bigbird_inference.tasks.declaration import Listed, Operation, Text, WindowStride
from bigbird_inference.tasks.entity_grouping import OUTSIDE, Aggregation, Entity, LabelScheme, group_entities
from bigbird_inference.tasks.positions import Offsets
from bigbird_inference.tasks.scores import softmax
from bigbird_inference.tasks.token_merging import merge_token_logits
from bigbird_inference.tokenization.encoded import Window
from bigbird_inference.tokenization.tokenizer import SINGLE_SPECIAL_TOKENS, Tokenizer
from bigbird_inference.tokenization.windows import plan_windows, window_capacity


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
        Aggregation, Field(description="How tokens become entities; `none` returns tokens with their labels.")
    ] = "simple"
    threshold: Annotated[
        float, Field(ge=0.0, le=1.0, allow_inf_nan=False, description="Entities with a lower score are left out.")
    ] = 0.0
    window_stride: WindowStride = None
    ignore_labels: Annotated[
        list[str] | None,
        Field(
            max_length=256,
            description="Entities of these types, or with the aggregation `none` tokens with these labels, are left "
            "out. Default: `O`, which marks what is no entity.",
        ),
    ] = None
    offsets: Offsets = "code_points"


@dataclass(frozen=True, slots=True)
class EntityAnswer:
    """The entities in the order of the text."""

    entities: list[Entity]


class EntityRecognition(Task[EntityRequest, EntityAnswer]):
    """Models with one logit per label for each token."""

    operation = Operation(
        "find_entities",
        "Find entities in a document",
        "Find names and other entities in the text, with their exact positions.",
        EntityRequest,
        EntityAnswer,
        located_in="text",
        smaller_answer="raise threshold, or leave aggregation at simple",
    )

    def __init__(self, manifest: Manifest, tokenizer: Tokenizer) -> None:
        super().__init__(manifest, tokenizer)
        if not manifest.labels:
            raise BundleError("an entity recognition bundle needs labels, and the manifest has none")
        self.scheme = LabelScheme.of(manifest.labels)

    def encode(self, request: EntityRequest) -> EncodedRequest[EntityRequest]:
        """Cut the text into windows."""
        tokens = self.tokenize_field("text", request.text)
        capacity = window_capacity(self.manifest.max_length, SINGLE_SPECIAL_TOKENS, len(tokens))
        windows = [
            Window(
                self.tokenizer.single(tokens.ids[part.first : part.first + part.count]),
                text_offset=1,
                first_token=part.first,
                token_count=part.count,
            )
            for part in plan_windows(len(tokens), capacity, request.window_stride)
        ]
        return EncodedRequest(request, tokens, windows)

    def decode(self, encoded: EncodedRequest[EntityRequest], outputs: Sequence[Outputs]) -> EntityAnswer:
        """Merge the windows token by token, then group."""
        width = len(self.manifest.labels)
        logits = take_output(outputs, "logits", [(len(window.sequence), width) for window in encoded.windows])
        request, tokens = encoded.request, encoded.tokens
        scores = softmax(merge_token_logits(encoded.windows, logits, len(tokens)))
        unk_id = self.tokenizer.vocabulary.unk_id
        ignored = frozenset({OUTSIDE} if request.ignore_labels is None else request.ignore_labels)
        entities = group_entities(request.text, tokens, scores, self.scheme, request.aggregation, unk_id, ignored)
        return EntityAnswer([entity for entity in entities if entity.score >= request.threshold])
