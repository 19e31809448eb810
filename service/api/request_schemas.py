"""The bodies of requests: strict JSON types, no unknown fields, every field described for `/docs`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

# Names of a union's branches; `service.api.problems` leaves them out of the names of fields.
ONE = "<one>"
MANY = "<many>"

VISIBLE_PATTERN = r"\S"
"""A text of nothing but white space is refused. By the tasks: only they know what their model's normaliser leaves."""

Text = Annotated[str, Field(min_length=1, json_schema_extra={"pattern": VISIBLE_PATTERN})]


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
    timeout_ms: int | None = Field(
        None, ge=1, le=3_600_000, description="Time for the answer in milliseconds; then 504. Default: the server's."
    )


class WindowedBody(RequestBody):
    """What the requests of tasks for long documents may hold besides."""

    window_stride: int | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description=(
            "Tokens that neighbouring windows of a document longer than the model share. Default: 512, or half a "
            "window where that is less."
        ),
    )


class QuestionBody(WindowedBody):
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


class ClassificationBody(WindowedBody):
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


class EntityBody(WindowedBody):
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


class EmbeddingBody(WindowedBody):
    """A text to embed, or a list of texts."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"tokens": {"const": True}}, "required": ["tokens"]},
            "then": {"properties": {"text": {"type": "string"}}},
        }
    )

    text: OneOrMany = Field(
        description="The document, or a list. It may be longer than the model.",
        examples=["The survey of the northern bridges was led by Maria Okafor."],
    )
    pooling: Literal["cls", "mean", "pooler"] = Field(
        "mean",
        description=(
            "What the embedding is: the hidden state of `[CLS]`, the mean of the hidden states of all tokens with the "
            "special ones, or what the model's pooler makes of `[CLS]`, if it has one."
        ),
    )
    normalize: bool = Field(True, description="Whether the embedding is scaled to length 1.")
    tokens: bool = Field(
        False, description="Whether each token's vector is returned, too. For one text, not for a list."
    )


class MaskBody(RequestBody):
    """A text with masks to fill, or a list of texts."""

    text: OneOrMany = Field(
        description="The text with its masks, or a list. It must fit the model.",
        examples=["Bergen is a city in [MASK]."],
    )
    mask: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description=(
            "The string that is a mask in the text, and the only one. Default: the model's own, which is `[MASK]` in "
            "the released vocabulary."
        ),
    )
    top_k: int = Field(5, ge=1, le=1000, description="Most predictions for each mask.")
    sequences: bool = Field(True, description="Whether each prediction comes with the filled-in text.")


class NextSentenceBody(RequestBody):
    """Two texts, or a list of such pairs.

    Either field may be a list. Two lists pair up item by item; one text beside a list goes with each of its items.
    """

    first: OneOrMany = Field(
        description="The first text, or a list.", examples=["The survey of the northern bridges ended in May."]
    )
    second: OneOrMany = Field(
        description="The text that may follow it, or a list. Both together must fit the model.",
        examples=["Its report was published in June."],
    )


class ChoiceBody(RequestBody):
    """A prompt and the texts to choose from, or a list of prompts that share their choices."""

    prompt: OneOrMany = Field(
        description="The prompt, or a list. It must fit the model together with each choice.",
        examples=["The survey of the bridges took longer than planned, because"],
    )
    choices: list[Text] = Field(
        min_length=2,
        max_length=64,
        description="The texts to choose from.",
        examples=[["the river was in flood.", "bridges cross rivers."]],
    )


class GenerationBody(RequestBody):
    """A prompt to continue, or a list of prompts."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"sampling": {"const": "greedy"}}},
            "then": {"properties": {name: {"type": "null"} for name in ("top_p", "temperature", "seed")}},
        }
    )

    prompt: OneOrMany = Field(
        description="The text to continue, or a list. It must fit the model.", examples=["The survey of the bridges"]
    )
    max_new_tokens: int = Field(
        64, ge=1, le=4096, description="Most tokens to generate. Each one costs a run of all text before it."
    )
    sampling: Literal["greedy", "top_p"] = Field(
        "greedy", description="`greedy` takes the most probable token each time, `top_p` draws."
    )
    top_p: float | None = Field(
        None,
        gt=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="Draw from the most probable tokens that together have this probability. Default: 0.9.",
    )
    temperature: float | None = Field(
        None,
        ge=0.01,
        le=100.0,
        allow_inf_nan=False,
        description="Below 1 the probable becomes more probable, above 1 less. Default: 1.",
    )
    seed: int | None = Field(
        None, ge=0, le=2**32 - 1, description="The same seed gives the same text. Default: a new one each time."
    )
