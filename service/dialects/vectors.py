"""Texts as vectors, and how alike they are, as Hugging Face's clients and Text Embeddings Inference ask for them.

Both send `inputs`; an object in it with a source sentence and others asks for their cosines.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, TypeAdapter

from bigbird_inference.errors import InvalidInput
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.tasks.declaration import Text
from bigbird_inference.tasks.embedding import EmbeddingRequest
from service.api.answering import Answered, Asked, listed_items
from service.api.task_bodies import OneOrMany, as_list, check_size
from service.dialects.bodies import AnyModel, DialectBody, Form, Truncate
from service.request_run import ItemResult
from service.settings import Settings

_VECTOR = TypeAdapter(list[float])


class EmbeddingParameters(DialectBody):
    """How a text becomes a vector."""

    normalize: Annotated[bool | None, Field(description="Whether vectors are scaled to length 1. Default: yes.")] = None
    truncate: Truncate = None


class HuggingFaceEmbeddingBody(EmbeddingParameters):
    """A text to embed, or a list of texts, in the form of Hugging Face and of Text Embeddings Inference."""

    inputs: Annotated[OneOrMany, Field(examples=["The survey of the northern bridges was led by Maria Okafor."])]
    parameters: EmbeddingParameters = EmbeddingParameters()
    model: AnyModel = None


def _embeddings(body: HuggingFaceEmbeddingBody, settings: Settings) -> Asked[bytes]:
    check_size("inputs", body.inputs, settings)
    texts, listed = as_list(body.inputs)
    asked = {body.parameters.normalize, body.normalize} - {None}
    if len(asked) > 1:
        raise InvalidInput("normalize is both true and false: beside inputs and in parameters")
    normalize = next(iter(asked), True)
    requests = [EmbeddingRequest(text, normalize=normalize is not False) for text in texts]

    return Asked(
        dialect="huggingface",
        served_by="embed",
        model=body.model,
        items=requests,
        listed=listed,
        write=write_vector,
        respond=listed_items,
        names={"text": "inputs"},
    )


def write_vector(model: LoadedModel, result: ItemResult) -> bytes:
    """Return a text's embedding."""
    return _VECTOR.dump_json(result.answer.embedding)


def _normalised(value: bool | None) -> bool | None:
    if value is False:
        raise ValueError("Input should be True")
    return value


class SimilarityInputs(DialectBody):
    """A text, and others to compare it with."""

    source_sentence: Text
    sentences: Annotated[list[Text], Field(min_length=1)]


class SimilarityParameters(DialectBody):
    """How texts are compared."""

    normalize: Annotated[
        bool | None,
        AfterValidator(_normalised),
        Field(description="Cosines are of vectors of length 1; `false` is refused.", json_schema_extra={"const": True}),
    ] = None
    truncate: Truncate = None


class SimilarityBody(DialectBody):
    """Texts to compare, in the form of Hugging Face and of Text Embeddings Inference."""

    inputs: Annotated[
        SimilarityInputs,
        Field(
            examples=[
                {
                    "source_sentence": "The bridge was surveyed in May.",
                    "sentences": ["In May somebody surveyed the bridge.", "The claim was admitted."],
                }
            ]
        ),
    ]
    parameters: SimilarityParameters = SimilarityParameters()
    model: AnyModel = None


class Vector:
    """An embedding that is not sent.

    Args:
        numbers: Of length 1.
    """

    def __init__(self, numbers: Sequence[float]) -> None:
        self.numbers: npt.NDArray[np.float32] = np.asarray(numbers, np.float32)

    def __len__(self) -> int:
        return self.numbers.nbytes


def _similarity(body: SimilarityBody, settings: Settings) -> Asked[Vector]:
    texts = [body.inputs.source_sentence, *body.inputs.sentences]
    check_size("inputs.sentences", body.inputs.sentences, settings)
    check_size("inputs.source_sentence", body.inputs.source_sentence, settings)

    def write(model: LoadedModel, result: ItemResult) -> Vector:
        return Vector(result.answer.embedding)

    def respond(answered: Answered[Vector]) -> Iterable[bytes]:
        source, *others = (item.numbers.astype(np.float64) for item in answered.items)
        yield _VECTOR.dump_json([float(source @ other) for other in others])

    requests = [EmbeddingRequest(text) for text in texts]
    return Asked(
        dialect="huggingface",
        served_by="embed",
        model=body.model,
        items=requests,
        listed=True,
        write=write,
        respond=respond,
        names={"text": "inputs"},
    )


EMBEDDINGS = Form(HuggingFaceEmbeddingBody, list[list[float]], _embeddings)
SIMILARITY = Form(SimilarityBody, list[float], _similarity)
"""Another form of `embed`, told by its `inputs`."""
