"""The bodies of 200 answers."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

AnswerT = TypeVar("AnswerT", bound=BaseModel)

ModelName = Annotated[str, Field(description="The model that answered.")]


class AnswerBody(BaseModel):
    """An answer is made once and read out of the dataclasses of the tasks."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class UsageBody(AnswerBody):
    """What the answer cost."""

    tokens: int = Field(description="Tokens that the model read over all windows, special tokens included.")
    windows: int = Field(
        description=(
            "Windows that were run: 1 if the document fits the model; one for each choice of `/multiple-choice` and "
            "for each token that `/generate` predicted."
        )
    )
    buckets: list[int] = Field(description="Padded length of each window's run, in the order of the document.")
    truncated_tokens: int = Field(
        description="Tokens that no window holds: always 0, what is too long is windowed or refused."
    )
    queue_ms: float = Field(description="Longest wait of a window, in milliseconds; for `/generate`, of all together.")
    inference_ms: float = Field(
        description=(
            "Longest run of a batch with one of the windows, in milliseconds; for `/generate`, of all together. "
            "Batches are shared with others."
        )
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


class TokenVectorBody(AnswerBody):
    """A token of the text, `text` being exactly its `[start:end]` in Unicode code points, and its hidden state."""

    text: str
    start: int
    end: int
    vector: list[float] = Field(description="As the model gives it, never normalised.")


class EmbeddingAnswerBody(AnswerBody):
    """The text as a vector."""

    embedding: list[float]
    dimension: int
    tokens: list[TokenVectorBody] | None = Field(description="Every token of the text, if `tokens` asked for them.")
    model: ModelName
    usage: UsageBody


class MaskPredictionBody(AnswerBody):
    """A token that could stand for a mask."""

    token: str = Field(description="What it reads as, without the space before it.")
    token_id: int
    score: float = Field(description="Its probability among the whole vocabulary.")
    start: int = Field(description="Where the mask begins in the text, in Unicode code points.")
    end: int = Field(description="One past the mask's last code point.")
    sequence: str | None = Field(
        description="The text with the token in this mask's place; other masks stay. Null if `sequences` is false."
    )


class MaskAnswerBody(AnswerBody):
    """What could stand for each mask."""

    predictions: list[list[MaskPredictionBody]] = Field(
        description="For each mask, in the order of the text, its `top_k` best tokens, best first."
    )
    model: ModelName
    usage: UsageBody


class NextSentenceScoresBody(AnswerBody):
    """The probabilities of both possibilities; together 1."""

    is_next: float
    not_next: float


class NextSentenceAnswerBody(AnswerBody):
    """Whether the second text follows the first."""

    is_next: bool = Field(description="Whether following is at least as probable as not following.")
    score: float = Field(description="Probability that the second text follows the first.")
    scores: NextSentenceScoresBody
    model: ModelName
    usage: UsageBody


class ChoiceAnswerBody(AnswerBody):
    """The choice that goes best with the prompt."""

    choice: str
    index: int = Field(description="Its position in `choices`, from 0.")
    scores: list[float] = Field(description="The probability of each choice, in the order of the request.")
    model: ModelName
    usage: UsageBody


class GeneratedTokenBody(AnswerBody):
    """A generated token."""

    token: str = Field(description="What it reads as, without the space before it.")
    token_id: int


class GenerationAnswerBody(AnswerBody):
    """The continuation of the prompt."""

    text: str = Field(description="What follows the prompt, with the space between the two where there is one.")
    tokens: list[GeneratedTokenBody] = Field(description="The generated tokens, without the one that ended the text.")
    stop: Literal["end", "length"] = Field(
        description="`end`: the model ended the text. `length`: `max_new_tokens` or the model's length was reached."
    )
    seed: int | None = Field(description="Draws the same text again; null for greedy generation.")
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
    kind: str = Field(description="The format of its weights.")
    sha256: str


class ModelBody(AnswerBody):
    """A loaded model."""

    name: str
    version: int = Field(description="How often a model of this name has been loaded since the server started.")
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


class ModelStateBody(AnswerBody):
    """Whether a model answers, and if not, why."""

    name: str
    state: Literal["loading", "ready", "unloading", "failed"]
    version: int = Field(description="Which version answers, or did last; 0 if none ever did.")
    change: Literal["load", "unload", "reload"] | None = Field(description="What is being done with it, or null.")
    failure: str | None = Field(description="Why the last change failed or the model does not answer; null otherwise.")


class ModelsBody(AnswerBody):
    """The loaded models by name, and the state of every model that is known."""

    models: list[ModelBody]
    states: list[ModelStateBody]


class UnloadedBody(AnswerBody):
    """A model that is not served any more."""

    name: str
    version: int


class HealthBody(AnswerBody):
    """The state of the process."""

    status: str


class DeviceBody(AnswerBody):
    """A device that runs batches."""

    name: str = Field(description="`cpu`, or `cuda:0` and up.")
    alive: bool = Field(description="Whether its thread lives.")
    stuck: bool = Field(description="Whether its run takes so much longer than predicted that it may never end.")


class ReadinessBody(HealthBody):
    """What requests are answered with."""

    degraded: str | None = Field(description="Why the CPU serves although there is a GPU to be used; null otherwise.")
    devices: list[DeviceBody]
