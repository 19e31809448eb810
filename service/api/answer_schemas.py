"""The bodies of 200 answers."""

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

AnswerT = TypeVar("AnswerT", bound=BaseModel)

ModelName = Annotated[str, Field(description="The model that answered.")]


class AnswerBody(BaseModel):
    """An answer is made once and read out of the dataclasses of the tasks."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class UsageBody(AnswerBody):
    """What the answer cost."""

    tokens: int = Field(description="Tokens that the model read over all windows, special tokens included.")
    windows: int = Field(description="Windows that the document was cut into; 1 if it fits the model.")
    buckets: list[int] = Field(description="Padded length of each window's run, in the order of the document.")
    truncated_tokens: int = Field(0, description="Tokens that no window holds: always 0, documents are windowed.")
    queue_ms: float = Field(description="Longest wait of a window for its run, in milliseconds.")
    inference_ms: float = Field(
        description="Longest run of a batch with one of the windows, in milliseconds. Batches are shared with others."
    )


class SpanBody(AnswerBody):
    """An answer and where it stands: `context[start:end]` in Unicode code points."""

    answer: str = Field(description="Exactly `context[start:end]`; empty if the document does not say.")
    score: float
    start: int
    end: int


class QuestionAnswerBody(SpanBody):
    """The best answer."""

    alternatives: list[SpanBody] = Field(description="The `top_k` best answers, best first, this one among them.")
    model: ModelName
    usage: UsageBody


class LabelBody(AnswerBody):
    """A label and its score."""

    label: str
    score: float


class ClassificationAnswerBody(LabelBody):
    """The best label."""

    labels: list[LabelBody] = Field(description="The `top_k` best labels, best first, this one among them.")
    model: ModelName
    usage: UsageBody


class EntitySpanBody(AnswerBody):
    """An entity: `text` is exactly the document's `[start:end]` in Unicode code points."""

    entity: str
    text: str
    start: int
    end: int
    score: float


class EntityAnswerBody(AnswerBody):
    """The entities in the order of the text."""

    entities: list[EntitySpanBody]
    model: ModelName
    usage: UsageBody


class Results(AnswerBody, Generic[AnswerT]):
    """One answer for each item of a list, in the same order."""

    results: list[AnswerT]


class BucketBody(AnswerBody):
    """A padded length of a model."""

    length: int
    attention: str
    max_abs_difference: float = Field(description="Largest difference of logits from the reference, at export.")


class SourceBody(AnswerBody):
    """The checkpoint that a model came from."""

    name: str
    sha256: str


class ModelBody(AnswerBody):
    """A loaded model."""

    name: str
    task: str
    endpoint: str
    labels: list[str]
    problem_type: str | None
    max_length: int = Field(description="Longest window in tokens.")
    block_size: int
    pattern: str = Field(description="Which reference implementation's random blocks the model attends to.")
    precision: str
    pair_types: str
    buckets: list[BucketBody]
    source: SourceBody
    versions: dict[str, str] = Field(description="What the bundle was written with.")


class ModelsBody(AnswerBody):
    """The loaded models by name."""

    models: list[ModelBody]


class HealthBody(AnswerBody):
    """The state of the process."""

    status: str
