"""Small transformers models to compare with, saved as checkpoints, and how to ask them about a document alone.

transformers initialises a model so that its attention is nearly uniform, where full and block-sparse attention cannot
be told apart. The weights here are drawn so that attention is uneven and the logits' standard deviation is about 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece
import torch
import transformers

SPECIAL_PIECES = ("<pad>", "[CLS]", "[SEP]", "[MASK]")


class BigBirdForNaturalQuestions(transformers.BigBirdForQuestionAnswering):
    """The head for Natural Questions, after transformers' research project `jax-projects/big_bird`.

    It is a linear map from the pooler's output to five categories, beside the head for spans.
    """

    def __init__(self, config: transformers.BigBirdConfig) -> None:
        super().__init__(config, add_pooling_layer=True)
        self.cls = torch.nn.Linear(config.hidden_size, 5)

    def answer_types(self, output: Any) -> npt.NDArray[np.float32]:
        """Return the logits `[batch, 5]` that belong to what `forward` returned."""
        with torch.inference_mode():
            logits: npt.NDArray[np.float32] = self.cls(output.pooler_output).numpy()
        return logits


MODEL_CLASSES = {
    "qa": transformers.BigBirdForQuestionAnswering,
    "natural-questions": BigBirdForNaturalQuestions,
    "classify": transformers.BigBirdForSequenceClassification,
    "ner": transformers.BigBirdForTokenClassification,
    "fill-mask": transformers.BigBirdForMaskedLM,
    "next-sentence": transformers.BigBirdForPreTraining,
    "multiple-choice": transformers.BigBirdForMultipleChoice,
    "embed": transformers.BigBirdModel,
    "generate": transformers.BigBirdForCausalLM,
}

# Drawn larger: for uneven attention, and for logits that are well spread.
_ATTENTION = (".query.", ".key.")
_HEADS = ("qa_outputs", "out_proj", "classifier.weight", "seq_relationship", "cls.weight")

_TEXTS = (
    "Alice Smith leads the Acme project in New York since March 2024.",
    "The budget of project Borealis is 2.5 million euros, said Bob Jones.",
    "Who leads the project? Where is the office of Acme? What is the budget?",
    "The office for finance is in Paris, and Carol Stone works there.",
)


def train_spiece_model(folder: Path, **options: Any) -> Path:
    """Train a tiny vocabulary; `control_symbols` or `user_defined_symbols` may be given instead of the usual ones."""
    symbols = options or {"control_symbols": list(SPECIAL_PIECES[1:])}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_TEXTS * 20),
        model_prefix=str(folder / "spiece"),
        vocab_size=96,
        hard_vocab_limit=False,
        pad_id=0,
        pad_piece="<pad>",
        unk_id=4,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
        **symbols,
    )
    return folder / "spiece.model"


@dataclass(frozen=True, slots=True)
class Document:
    """Token ids and token types of one model input, int64 `[length]`; neither is padded."""

    input_ids: npt.NDArray[np.int64]
    token_type_ids: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.input_ids)


def make_document(length: int, *, vocab_size: int, type_vocab_size: int = 2) -> Document:
    """Draw a document; every id and every token type may occur anywhere in it."""
    generator = np.random.default_rng([length, vocab_size, type_vocab_size])
    return Document(
        input_ids=generator.integers(0, vocab_size, length),
        token_type_ids=generator.integers(0, type_vocab_size, length),
    )


def make_config(vocab_size: int, **fields: Any) -> transformers.BigBirdConfig:
    """Return a small configuration; keywords replace fields."""
    defaults: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 64,
        "max_position_embeddings": 256,
        "block_size": 16,
        "num_random_blocks": 1,
        "sep_token_id": 2,
    }
    return transformers.BigBirdConfig(**{**defaults, **fields})


def make_model(
    task: str,
    config: transformers.BigBirdConfig,
    seed: int = 0,
    head_gain: float = 2.0,
    draw: Callable[[torch.Size], torch.Tensor] | None = None,
) -> transformers.PreTrainedModel:
    """Return a model in evaluation mode; no tensor of it is left at zeros or ones.

    Deep models need a larger `head_gain` for logits of the same spread. `draw` returns normally distributed numbers; by
    default they are torch's of the seed, which another processor may round otherwise.
    """
    model = MODEL_CLASSES[task](config).eval()
    draw_weights(model, seed, head_gain, draw)
    return model


def draw_weights(
    model: transformers.PreTrainedModel,
    seed: int = 0,
    head_gain: float = 2.0,
    draw: Callable[[torch.Size], torch.Tensor] | None = None,
) -> None:
    """Draw every tensor of a model, a BigBird or a BERT; `make_model` says what the arguments are."""
    generator = torch.Generator().manual_seed(seed)
    draw = draw or partial(torch.randn, generator=generator)
    config = model.config
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = draw(parameter.shape)
            if "predictions.transform.LayerNorm.weight" in name:
                # What follows is a product with embeddings whose standard deviation is 1.
                parameter.copy_((1 + 0.2 * noise) / config.hidden_size**0.5)
            elif "LayerNorm.weight" in name:
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim == 1:
                parameter.copy_(0.2 * noise)
            elif "embeddings" in name:
                is_rescaled = getattr(config, "rescale_embeddings", False) and "word" in name
                parameter.copy_(noise / config.hidden_size**0.5 if is_rescaled else noise)
            else:
                is_head = any(part in name for part in _HEADS)
                is_attention = any(part in name for part in _ATTENTION)
                gain = head_gain if is_head else 2.0 if is_attention else 1.0
                parameter.copy_(gain * noise / parameter.shape[1] ** 0.5)


def small_model(seed: int = 0) -> transformers.PreTrainedModel:
    """Return the entity model that stands for any model: up to 112 tokens in full attention, 256 block-sparse."""
    return make_model("ner", make_config(100, id2label={0: "O", 1: "B-PER", 2: "I-PER"}), seed)


class Reference:
    """Asks a transformers model; the attention type is set before every run, because short inputs change it for good.

    Args:
        model: In evaluation mode.
    """

    def __init__(self, model: transformers.PreTrainedModel) -> None:
        self.model = model
        self._attention_type = model.config.attention_type

    def alone(self, document: Document) -> npt.NDArray[np.float32]:
        """Return the logits of the exact document, padded by transformers itself where it must."""
        return self._run([document], len(document), self._attention_type)[0]

    def with_full_attention(self, document: Document) -> npt.NDArray[np.float32]:
        """Return what the document would get if every token attended to every other."""
        return self._run([document], len(document), "original_full")[0]

    def padded(self, documents: list[Document], length: int) -> list[npt.NDArray[np.float32]]:
        """Return what transformers makes of documents padded to one length, where the last block is a padded one."""
        return self._run(documents, length, self._attention_type)

    def _run(self, documents: list[Document], length: int, attention_type: str) -> list[npt.NDArray[np.float32]]:
        ids, mask, types = (torch.zeros(len(documents), length, dtype=torch.int64) for _ in range(3))
        for row, document in enumerate(documents):
            ids[row, : len(document)] = torch.from_numpy(document.input_ids)
            types[row, : len(document)] = torch.from_numpy(document.token_type_ids)
            mask[row, : len(document)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        if isinstance(self.model, transformers.BigBirdForQuestionAnswering):
            # A question of no tokens: nothing is subtracted from the logits, so every position can be compared.
            inputs["question_lengths"] = torch.zeros(len(documents), 1, dtype=torch.int64)
        self.model.bert.set_attention_type(attention_type)
        with torch.inference_mode():
            output = self.model(**inputs)
        if isinstance(self.model, transformers.BigBirdForQuestionAnswering):
            logits = torch.stack([output.start_logits, output.end_logits], dim=-1)
        else:
            logits = output.logits
        if isinstance(self.model, transformers.BigBirdForSequenceClassification):
            return list(logits.numpy())
        return [row[: len(document)] for row, document in zip(logits.numpy(), documents, strict=True)]
