"""The bodies of requests: strict JSON types, no unknown fields, every field described for `/docs`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

# Names of a union's branches; `service.api.problems` leaves them out of the names of fields.
ONE = "<one>"
MANY = "<many>"

Text = Annotated[str, Field(min_length=1)]


def _branch(value: Any) -> str:
    return MANY if isinstance(value, list) else ONE


OneOrMany = Annotated[
    Annotated[Text, Tag(ONE)] | Annotated[list[Text], Field(min_length=1), Tag(MANY)], Discriminator(_branch)
]


class RequestBody(BaseModel):
    """What every task's request may hold."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="Name of a loaded model, from `/v1/models`. Not needed where one model serves the task.",
    )
    window_stride: int | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description=(
            "Tokens that neighbouring windows of a document longer than the model share. Default: 512, or half a "
            "window where that is less."
        ),
    )
    timeout_ms: int | None = Field(
        None, ge=1, le=3_600_000, description="Time for the answer in milliseconds; then 504. Default: the server's."
    )


class QuestionBody(RequestBody):
    """A question about a document, or a list of such pairs.

    Either field may be a list. Two lists pair up item by item; one text beside a list goes with each of its items.
    """

    question: OneOrMany = Field(
        description="The question, or a list. It stands whole in every window, so it must be much shorter than one.",
        examples=["Who led the survey?"],
    )
    context: OneOrMany = Field(
        description="The document that holds the answer, or a list. It may be longer than the model.",
        examples=["The survey of the northern bridges was led by Maria Okafor."],
    )
    top_k: int = Field(1, ge=1, le=100, description="Most answers in `alternatives`.")
    max_answer_tokens: int = Field(30, ge=1, le=4096, description="Longest answer in tokens.")
    no_answer: bool = Field(False, description="Whether the empty answer competes: the document may not say.")


class ClassificationBody(RequestBody):
    """A text to classify, alone or with a second text, or a list of texts."""

    text: OneOrMany = Field(
        description="The document, or a list. It may be longer than the model.",
        examples=["Quarterly report: revenue rose by four percent."],
    )
    text_pair: OneOrMany | None = Field(
        None, description="A second text for models of pairs, or a list. It stands whole in every window."
    )
    top_k: int | None = Field(None, ge=1, le=10_000, description="Most labels in `labels`. Default: all.")
    function: Literal["softmax", "sigmoid", "none"] | None = Field(
        None, description="How logits become scores. Default: what the model was trained with."
    )


class EntityBody(RequestBody):
    """A text to find entities in, or a list of texts."""

    text: OneOrMany = Field(
        description="The document, or a list. It may be longer than the model.",
        examples=["Maria Okafor signed for Halden Works in Bergen."],
    )
    aggregation: Literal["none", "simple", "first", "average", "max"] = Field(
        "simple", description="How tokens become entities; `none` returns tokens with their labels."
    )
    threshold: float = Field(
        0.0, ge=0.0, le=1.0, allow_inf_nan=False, description="Entities with a lower score are left out."
    )
