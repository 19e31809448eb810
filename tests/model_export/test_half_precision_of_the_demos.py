"""What half precision changes of the shipped demo models' decisions: labels, entities, spans; torch on the CPU.

Documents are generated reports from seeds that training never used. `make test-slow` measures many (`pytest -s`
prints the figures of docs/bundle.md); the ordinary run a few of each.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from bigbird_inference.manifest import Precision
from bigbird_inference.tokenization.tokenizer import Tokenizer
from demo.batches import pad
from demo.question_answering import best_spans
from demo.reports import FIRST_EVALUATION_SEED, Report, generate_report
from demo.tokens import Inputs, question_inputs, single_inputs
from demo.vocabulary import CLASSIFY, MASK, PAD, SEPARATOR
from model_export.checkpoints.checkpoint_tokenizer import SENTENCEPIECE_FILE
from model_export.checkpoints.recognise import read_checkpoint
from model_export.export.trace import traced_model
from model_export.nn.model import BigBird
from model_export.nn.precision import WideProducts
from model_export.patterns.registry import get_pattern

pytestmark = pytest.mark.integration  # takes long

FOLDER = Path(__file__).parents[2] / "examples" / "checkpoints"
SMALLEST_AGREEMENT = 0.995


@dataclass(frozen=True)
class Demo:
    """A demo model in fp32 with the composed kernel, which is the reference, and its tokenizer."""

    model: BigBird
    tokenizer: Tokenizer


def _demo(task: str) -> Demo:
    checkpoint = read_checkpoint(FOLDER / f"demo-{task}")
    model = checkpoint.load(get_pattern("transformers")).model
    return Demo(model, Tokenizer(checkpoint.folder / SENTENCEPIECE_FILE, CLASSIFY, SEPARATOR, PAD, MASK).load())


def _questions(demo: Demo, report: Report) -> Iterator[Inputs]:
    text = demo.tokenizer.tokenize(report.text)
    for question in report.questions[:4]:
        yield question_inputs(demo.tokenizer, demo.tokenizer.tokenize(question.text), text)


def _text(demo: Demo, report: Report) -> Iterator[Inputs]:
    yield single_inputs(demo.tokenizer, demo.tokenizer.tokenize(report.text))


def _spans(logits: torch.Tensor, inputs: Inputs) -> list[object]:
    """The answer's first and last token, among [CLS] and the text's tokens."""
    masked = logits.clone()
    masked[:, 1 : inputs.text_offset] = -1e4
    masked[:, len(inputs) :] = -1e4
    return list(best_spans(masked))


def _labels(logits: torch.Tensor, inputs: Inputs) -> list[object]:
    return list(logits.argmax(dim=-1)[0, : len(inputs)].tolist())


def _label(logits: torch.Tensor, inputs: Inputs) -> list[object]:
    return list(logits.argmax(dim=-1).tolist())


TASKS: dict[str, tuple[Callable[[Demo, Report], Iterator[Inputs]], Callable[[torch.Tensor, Inputs], list[object]]]] = {
    "qa": (_questions, _spans),
    "classify": (_text, _label),
    "ner": (_text, _labels),
}


def agreement(task: str, precision: Precision, tokens: int, reports: int) -> tuple[int, int]:
    """Return how many decisions are the same in half precision, and how many there are."""
    demo = _demo(task)
    half = traced_model(demo.model, precision, "fused")
    to_inputs, decide = TASKS[task]
    same = total = 0
    for seed in range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + reports):
        for inputs in to_inputs(demo, generate_report(seed, tokens)):
            batch = pad([inputs], demo.model.config.block_size)
            feeds = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
            with torch.inference_mode(), WideProducts():
                whole, halved = (decide(model(*feeds), inputs) for model in (demo.model, half))
            same += sum(ours == theirs for ours, theirs in zip(whole, halved, strict=True))
            total += len(whole)
    return same, total


@pytest.mark.parametrize("task", TASKS)
def test_fp16_decides_as_fp32_does(task: str) -> None:
    for tokens, reports in ((200, 8), (1000, 3)):
        same, total = agreement(task, "fp16", tokens, reports)
        assert same >= SMALLEST_AGREEMENT * total


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("task", TASKS)
def test_half_precision_decides_as_fp32_does_on_many_reports(task: str, precision: Precision) -> None:
    for tokens, reports in ((200, 100), (1000, 30)):
        same, total = agreement(task, precision, tokens, reports)
        print(f"\n{task} {precision} {tokens} tokens: {same} of {total} decisions are the same ({same / total:.4f})")
        assert same >= (SMALLEST_AGREEMENT if precision == "fp16" else 0.98) * total
