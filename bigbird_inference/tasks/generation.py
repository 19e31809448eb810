"""Text generation: a causal language model continues a prompt, token by token.

There is no cache of keys and values: every token is one more run of everything before it, in the smallest bucket that
holds it, batched with everybody else's. What a step needs to know stands in the sequence itself (the prompt's tokens,
then the generated ones) and in the request (the seed), so nothing is kept between steps.

The next token is the most probable one, or is drawn from the most probable ones.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from bigbird_inference.errors import InvalidInput
from bigbird_inference.runtime.session import Float32Array, Outputs
from bigbird_inference.tasks.base import EncodedRequest, Task, take_output
from bigbird_inference.tasks.declaration import Listed, Operation, Text
from bigbird_inference.tasks.scores import softmax
from bigbird_inference.tokenization.encoded import EncodedSequence, Int64Array, TokenizedText, Window


def most_probable(logits: Float32Array) -> int:
    """Return the best token; of equal ones the one with the lowest id.

    Args:
        logits: float32 `[vocabulary]`.
    """
    return int(np.argmax(logits))


def draw_nucleus(logits: Float32Array, *, top_p: float, temperature: float, generator: np.random.Generator) -> int:
    """Draw a token from the smallest set of most probable tokens that together have the probability `top_p`.

    This is nucleus sampling (Holtzman et al., "The Curious Case of Neural Text Degeneration", section 3.1), with the
    temperature applied first. It takes one number from the generator.

    Args:
        logits: float32 `[vocabulary]`.
        top_p: From above 0 to 1; the most probable token is always in the set.
        temperature: Above 0; logits are divided by it.
        generator: Where the chance comes from.
    """
    values = logits.astype(np.float64)
    probabilities = softmax((values - values.max()) / temperature)
    ranking = np.argsort(-probabilities, kind="stable")
    cumulative = np.cumsum(probabilities[ranking])
    count = min(int(np.searchsorted(cumulative, top_p)) + 1, len(ranking))
    place = np.searchsorted(cumulative[:count], generator.random() * cumulative[count - 1], side="right")
    return int(ranking[min(int(place), count - 1)])


Sampling = Literal["greedy", "top_p"]
StopReason = Literal["end", "length"]

DEFAULT_TOP_P = 0.9
DEFAULT_TEMPERATURE = 1.0
MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A prompt to continue, or a list of prompts."""

    prompt: Annotated[
        Text,
        Field(
            description="The text to continue, or a list. It must fit the model.",
            examples=["The survey of the bridges"],
        ),
        Listed(),
    ]
    max_new_tokens: Annotated[
        int,
        Field(ge=1, le=4096, description="Most tokens to generate. Each one costs a run of all text before it."),
    ] = 64
    sampling: Annotated[
        Sampling, Field(description="`greedy` takes the most probable token each time, `top_p` draws.")
    ] = "greedy"
    top_p: Annotated[
        float | None,
        Field(
            gt=0.0,
            le=1.0,
            allow_inf_nan=False,
            description="Draw from the most probable tokens that together have this probability. Default: 0.9.",
        ),
    ] = None
    temperature: Annotated[
        float | None,
        Field(
            ge=0.01,
            le=100.0,
            allow_inf_nan=False,
            description="Below 1 the probable becomes more probable, above 1 less. Default: 1.",
        ),
    ] = None
    seed: Annotated[
        int | None,
        Field(ge=0, le=MAX_SEED, description="The same seed gives the same text. Default: a new one each time."),
    ] = None


@dataclass(frozen=True, slots=True)
class GeneratedToken:
    """A generated token."""

    token: Annotated[str, Field(description="What it reads as, without the space before it.")]
    token_id: int


@dataclass(frozen=True, slots=True)
class GenerationAnswer:
    """The continuation of the prompt."""

    text: Annotated[
        str, Field(description="What follows the prompt, with the space between the two where there is one.")
    ]
    tokens: Annotated[
        list[GeneratedToken], Field(description="The generated tokens, without the one that ended the text.")
    ]
    stop: Annotated[
        StopReason,
        Field(
            description="`end`: the model ended the text. `length`: `max_new_tokens` or the model's length was reached."
        ),
    ]
    seed: Annotated[int | None, Field(description="Draws the same text again; null for greedy generation.")]


class Generation(Task[GenerationRequest, GenerationAnswer]):
    """Causal models with a logit for every token of the vocabulary at the last position."""

    operation = Operation(
        "generate",
        "Continue a prompt",
        "Generate text after the prompt, token by token.",
        GenerationRequest,
        GenerationAnswer,
        schema={
            "if": {"properties": {"sampling": {"const": "greedy"}}},
            "then": {"properties": {name: {"type": "null"} for name in ("top_p", "temperature", "seed")}},
        },
        smaller_answer="lower max_new_tokens",
    )

    needed_inputs: ClassVar[frozenset[str]] = frozenset({"positions"})

    def encode(self, request: GenerationRequest) -> EncodedRequest[GenerationRequest]:
        """Put the prompt behind [CLS], and choose a seed where one is needed."""
        if request.sampling == "greedy":
            for name in ("top_p", "temperature", "seed"):
                if getattr(request, name) is not None:
                    raise InvalidInput(f"{name} has no effect unless sampling is top_p")
        elif request.seed is None:
            request = replace(request, seed=secrets.randbelow(MAX_SEED + 1))
        prompt = self.tokenize_field("prompt", request.prompt, positions=False)
        self.ensure_fits("prompt", len(prompt) + 1)
        ids = np.concatenate(([self.tokenizer.cls_id], prompt.ids)).astype(np.int64)
        return EncodedRequest(request, prompt, [_causal_window(ids, prompt)])

    def continuation(
        self, encoded: EncodedRequest[GenerationRequest], outputs: Sequence[Outputs]
    ) -> EncodedRequest[GenerationRequest] | None:
        """Append the next token, unless it ends the text or a limit is reached."""
        generated = len(_generated_ids(encoded)) + 1
        ids = encoded.windows[0].sequence.input_ids
        if generated >= encoded.request.max_new_tokens or len(ids) >= self.manifest.max_length:
            return None
        token_id = self._next_token(encoded, outputs)
        if self._ends(token_id):
            return None
        return EncodedRequest(
            encoded.request, encoded.tokens, [_causal_window(np.append(ids, token_id), encoded.tokens)]
        )

    def decode(self, encoded: EncodedRequest[GenerationRequest], outputs: Sequence[Outputs]) -> GenerationAnswer:
        """Read what was generated, together with the last run's token."""
        vocabulary = self.tokenizer.vocabulary
        token_id = self._next_token(encoded, outputs)
        ids = _generated_ids(encoded)
        if not self._ends(token_id):
            ids = np.append(ids, token_id)
        return GenerationAnswer(
            text=vocabulary.text_after(encoded.tokens.ids, ids),
            tokens=[GeneratedToken(vocabulary.token_text(own), own) for own in ids.tolist()],
            stop="end" if self._ends(token_id) else "length",
            seed=encoded.request.seed,
        )

    def _ends(self, token_id: int) -> bool:
        special = self.manifest.tokenizer
        return token_id in (special.sep_id, special.eos_id, *special.further_eos_ids)

    def _next_token(self, encoded: EncodedRequest[GenerationRequest], outputs: Sequence[Outputs]) -> int:
        (logits,) = take_output(outputs, "logits", [(1, self.manifest.model["vocab_size"])])
        request = encoded.request
        if request.sampling == "greedy":
            return most_probable(logits[0])
        # A generator of its own for each step: the text follows from the seed alone, however the steps are run.
        generator = np.random.default_rng((request.seed or 0, len(_generated_ids(encoded))))
        return draw_nucleus(
            logits[0],
            top_p=request.top_p or DEFAULT_TOP_P,
            temperature=request.temperature or DEFAULT_TEMPERATURE,
            generator=generator,
        )


def _causal_window(ids: Int64Array, prompt: TokenizedText) -> Window:
    """Return a sequence whose last token is asked for the next one."""
    sequence = EncodedSequence(ids, np.zeros_like(ids), positions=np.array([len(ids) - 1], dtype=np.int64))
    return Window(sequence, text_offset=1, first_token=0, token_count=len(prompt))


def _generated_ids(encoded: EncodedRequest[GenerationRequest]) -> Int64Array:
    """Return what stands behind [CLS] and the prompt."""
    return encoded.windows[0].sequence.input_ids[1 + len(encoded.tokens) :]
