"""What the differences between the implementations of BigBird do to the logits of one model with random weights.

    python -m benchmarks.pattern_differences

Each row computes the same document with the same weights in two ways and compares the logits: the largest and the mean
absolute difference, in standard deviations of the first way's logits. The weights are drawn so that attention is
uneven and the logits' standard deviation is about 1; a trained model may differ by less. Writes a Markdown table and
JSON.
"""

import argparse
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from tqdm import tqdm

from model_export.config import BigBirdConfig
from model_export.nn.attention import AttentionLayout, key_bias, masked_score
from model_export.nn.block_sparse_attention import block_layout, chosen_table, fixed_slots
from model_export.nn.encoder import Encoder, Layer
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern

LENGTHS = (512, 1000, 2048, 3000, 4096)
SPARSE_LENGTHS = LENGTHS[1:]
CLASSIFIED_DOCUMENTS = 32
QUESTION_TOKENS = 20
# The base configuration's blocks, positions and head size; fewer layers and heads.
CONFIG = BigBirdConfig(
    vocab_size=2000,
    hidden_size=256,
    num_hidden_layers=6,
    num_attention_heads=4,
    intermediate_size=1024,
    labels=tuple(f"LABEL_{number}" for number in range(8)),
)


class PaddedEncoder(Encoder):
    """Block-sparse at every length, with the last padded block as the global one, as google-research wrote it."""

    def _layouts(self, attention_mask: torch.Tensor, dtype: torch.dtype) -> list[AttentionLayout]:
        block_size = self.config.block_size
        # As if the document filled all blocks, then without the keys that are padding.
        filled = fixed_slots(torch.ones_like(attention_mask), block_size, dtype)
        blocks = attention_mask.shape[1] // block_size
        is_padding = (attention_mask == 0).view(-1, blocks, block_size)
        document = torch.arange(len(attention_mask))[:, None, None, None]
        layouts: list[AttentionLayout] = []
        for random_blocks in self.random_blocks:
            table = chosen_table(random_blocks, filled.document_blocks, blocks)
            layout = block_layout(filled, table, random_blocks.first_block_copies)
            slot_is_padding = is_padding[document, layout.key_blocks].flatten(start_dim=-2)[..., None, :]
            slot_bias = layout.slot_bias.masked_fill(slot_is_padding, masked_score(dtype))
            layouts.append(replace(layout, key_bias=key_bias(attention_mask, dtype), slot_bias=slot_bias))
        return layouts


class FullEncoder(Encoder):
    """Every token attends to every other, at any length."""

    def _layouts(self, attention_mask: torch.Tensor, dtype: torch.dtype) -> list[AttentionLayout]:
        return [self.kernel.full(attention_mask, dtype, causal=False)] * len(self.layers)


class PrenormEncoder(Encoder):
    """LayerNorm before attention and feed-forward instead of after them, as google-research's `prenorm`."""

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Map `[batch, length, hidden]` to the same shape."""
        for layer, layout in zip(self.layers, self._layouts(attention_mask, hidden.dtype), strict=True):
            assert isinstance(layer, Layer)
            hidden = hidden + _without_norm(layer.attention, hidden, layout)
            hidden = hidden + _without_norm(layer.feed_forward, hidden)
        return hidden


def _without_norm(part: nn.Module, hidden: torch.Tensor, *layout: AttentionLayout) -> torch.Tensor:
    """Normalise, then compute what a part of a layer adds to its input."""
    normalised = part.get_submodule("norm")(hidden)
    with patch.dict(part._modules, norm=nn.Identity()):
        added: torch.Tensor = part(normalised, *layout) - normalised
    return added


ENCODERS: dict[str, type[Encoder]] = {
    "anchored": Encoder,
    "padded": PaddedEncoder,
    "full": FullEncoder,
    "prenorm": PrenormEncoder,
}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to compute the logits; by default that of transformers in `eval()`.

    Attributes:
        name: In the table.
        pattern: Name of the random-block pattern.
        fields: Fields of the configuration.
        encoder: A key of `ENCODERS`.
        task: The head.
        bucket: Padded length; None pads to whole blocks.
        mask_score: What a masked key's score becomes; None takes ours.
        question_types: Whether the question has a token type of its own.
    """

    name: str
    pattern: str = "transformers"
    fields: Mapping[str, Any] = field(default_factory=dict)
    encoder: str = "anchored"
    task: str = "qa"
    bucket: int | None = None
    mask_score: float | None = None
    question_types: bool = True

    def logits(self, tokens: int) -> torch.Tensor:
        """Return the logits of the document, or of each of the classified documents, of that length."""
        documents = CLASSIFIED_DOCUMENTS if self.task == "classify" else 1
        generator = torch.Generator().manual_seed(tokens)
        length = self.bucket or -(-tokens // CONFIG.block_size) * CONFIG.block_size
        ids, mask, types = (torch.zeros(documents, length, dtype=torch.int64) for _ in range(3))
        ids[:, :tokens] = torch.randint(CONFIG.vocab_size, (documents, tokens), generator=generator)
        mask[:, :tokens] = 1
        types[:, QUESTION_TOKENS:tokens] = int(self.question_types)
        with torch.inference_mode(), self._mask_score():
            logits: torch.Tensor = self._model()(ids, mask, types)
        return logits if self.task == "classify" else logits[:, :tokens]

    def _model(self) -> BigBird:
        return _model(self.pattern, tuple(self.fields.items()), self.encoder, self.task)

    @contextlib.contextmanager
    def _mask_score(self) -> Iterator[None]:
        score = self.mask_score
        if score is None:
            yield
            return
        with (
            patch("model_export.nn.attention.masked_score", return_value=score),
            patch("model_export.nn.block_sparse_attention.masked_score", return_value=score),
        ):
            yield


@lru_cache(maxsize=2)
def _model(pattern: str, fields: tuple[tuple[str, Any], ...], encoder: str, task: str) -> BigBird:
    """Return a model; the same task has the same weights."""
    config = replace(CONFIG, **dict(fields))
    model = build_model(config, task, get_pattern(pattern)).eval()
    model.encoder = ENCODERS[encoder](config, get_pattern(pattern)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim == 1:
                parameter.copy_(0.2 * noise)
            elif name.startswith("embeddings."):
                parameter.copy_(noise)
            else:
                is_uneven = ".query." in name or ".key." in name or name.startswith("head.output")
                parameter.copy_((2.0 if is_uneven else 1.0) * noise / parameter.shape[1] ** 0.5)
    if encoder == "prenorm":
        # The embeddings' LayerNorm stands at the end there.
        model.head = nn.Sequential(model.embeddings.norm, model.head)
        model.embeddings.norm = nn.Identity()  # type: ignore[assignment]
    return model


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two ways, and the lengths in tokens at which they are compared."""

    difference: str
    first: Way
    second: Way
    lengths: Sequence[int]


@dataclass(frozen=True, slots=True)
class Row:
    """A comparison at one length; `largest` and `mean` are in standard deviations of the first way's logits."""

    difference: str
    first: str
    second: str
    tokens: int
    largest: float
    mean: float
    standard_deviation: float


def comparisons() -> list[Comparison]:
    """Return what is compared, in the table's order."""
    usual = Way("transformers")
    train, google, garden = (Way(name, pattern=name) for name in ("transformers-train", "google", "model-garden"))
    padded = Way("the padded batch's, of 4096 tokens", encoder="padded", bucket=CONFIG.max_length)
    classify = Way(CONFIG.hidden_act, task="classify")
    random_blocks = [(usual, train), (usual, garden), (usual, Way("none", pattern="none"))]
    random_blocks += [(train, google), (train, garden)]
    return [
        *(Comparison("random blocks", first, second, SPARSE_LENGTHS) for first, second in random_blocks),
        Comparison(
            "long documents",
            Way("block-sparse"),
            Way("full attention", encoder="full"),
            SPARSE_LENGTHS,
        ),
        Comparison(
            "short documents",
            Way("full attention"),
            Way("block-sparse, transformers", encoder="padded"),
            (512,),
        ),
        Comparison(
            "short documents",
            Way("full attention"),
            Way("block-sparse, model-garden", pattern="model-garden", encoder="padded"),
            (512,),
        ),
        Comparison("last block", Way("the document's own"), padded, (1000, 2048, 3000)),
        Comparison(
            "masked scores",
            Way("lowest number", bucket=CONFIG.max_length),
            Way("-10000", bucket=CONFIG.max_length, mask_score=-10000.0),
            (1000, 3000),
        ),
        Comparison("activation", Way("GELU, tanh form"), Way("GELU, exact", fields={"hidden_act": "gelu"}), LENGTHS),
        Comparison(
            "classifier's activation",
            classify,
            replace(classify, name="tanh", fields={"classifier_activation": "tanh"}),
            (512,),
        ),
        Comparison("token types", Way("question 0, context 1"), Way("all 0", question_types=False), LENGTHS),
        Comparison(
            "epsilon of the answer head",
            Way("1e-12"),
            Way("1e-3", fields={"qa_layer_norm_eps": 1e-3}),
            LENGTHS,
        ),
        Comparison(
            "word embeddings", Way("as they are"), Way("rescaled", fields={"rescale_embeddings": True}), LENGTHS
        ),
        Comparison("LayerNorm", Way("after"), Way("before", encoder="prenorm"), LENGTHS),
    ]


def measure(compared: Sequence[Comparison]) -> list[Row]:
    """Compute every comparison at each of its lengths."""
    rows = []
    with tqdm(total=sum(len(comparison.lengths) for comparison in compared), disable=None) as progress:
        for comparison in compared:
            for tokens in comparison.lengths:
                first, second = comparison.first.logits(tokens), comparison.second.logits(tokens)
                spread = float(first.std())
                differences = (first - second).abs() / spread
                rows.append(
                    Row(
                        comparison.difference,
                        comparison.first.name,
                        comparison.second.name,
                        tokens,
                        float(differences.max()),
                        float(differences.mean()),
                        spread,
                    )
                )
                progress.update()
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """Return one line for each comparison and one column for each length: largest / mean."""
    lines = [
        "| Difference | Compared | " + " | ".join(f"{tokens} tokens" for tokens in LENGTHS) + " |",
        "|---|---|" + "---|" * len(LENGTHS),
    ]
    cells = {(row.difference, row.first, row.second, row.tokens): f"{row.largest:.2g} / {row.mean:.2g}" for row in rows}
    for difference, first, second in dict.fromkeys((row.difference, row.first, row.second) for row in rows):
        values = [cells.get((difference, first, second, tokens), "") for tokens in LENGTHS]
        lines.append(f"| {difference} | {first} / {second} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    rows = measure(comparisons())
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "pattern_differences.json").write_text(
        json.dumps([asdict(row) for row in rows], indent=2) + "\n"
    )
    (arguments.output / "pattern_differences.md").write_text(markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
