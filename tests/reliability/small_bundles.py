"""A bundle of every task with a real vocabulary and a graph of three operators, written in a second without torch.

Bad input is stopped before the model, and what comes out of it only has to be different for different tokens: every
output is the sine of a token's id times a weight. So the fuzzers reach all endpoints at the speed of HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import sentencepiece
from onnx import TensorProto, helper, numpy_helper

from bigbird_inference.bundle import write_manifest
from bigbird_inference.bundle_files import file_sha256
from bigbird_inference.manifest import HashedFile, TaskName, Tensor, TokenizerFile
from tests.fake_model import MODEL_CONFIG, fake_graph, fake_manifest

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = ROOT / "examples" / "checkpoints" / "demo-qa" / "spiece.model"
TASKS: tuple[TaskName, ...] = get_args(TaskName)

_LENGTHS = (64, 512)
_LABELS: dict[str, list[str]] = {"classify": ["invoice", "report", "letter"], "ner": ["O", "B-PER", "I-PER", "B-LOC"]}
_HIDDEN_SIZE = 32


def write_small_bundles(
    folder: Path,
    tasks: Sequence[TaskName] = TASKS,
    lengths: tuple[int, ...] = _LENGTHS,
    hidden_size: int = _HIDDEN_SIZE,
) -> None:
    """Write `folder/small-<task>` for each task; the hidden size is that of embeddings."""
    for task in tasks:
        _write_bundle(folder / f"small-{task}", task, lengths, hidden_size)


def _write_bundle(folder: Path, task: TaskName, lengths: tuple[int, ...], hidden_size: int) -> None:
    folder.mkdir(parents=True)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(VOCABULARY))
    (folder / "tokenizer.model").write_bytes(VOCABULARY.read_bytes())
    (folder / "weights.bin").write_bytes(b"")
    vocab_size = int(pieces.get_piece_size())
    graph = folder / "graph-full.onnx"
    onnx.save(_graph(task, _outputs(task, vocab_size, hidden_size)), graph)
    tokenizer = folder / "tokenizer.model"
    manifest = replace(
        fake_manifest(task, lengths),
        labels=_LABELS.get(task, []),
        tokenizer=TokenizerFile(
            tokenizer.name,
            tokenizer.stat().st_size,
            file_sha256(tokenizer),
            cls_id=pieces.piece_to_id("[CLS]"),
            sep_id=pieces.piece_to_id("[SEP]"),
            pad_id=pieces.piece_to_id("<pad>"),
            mask_id=pieces.piece_to_id("[MASK]"),
            eos_id=pieces.piece_to_id("</s>"),
        ),
        weights=HashedFile("weights.bin", 0, file_sha256(folder / "weights.bin")),
        outputs=[Tensor(name, "float32", shape) for name, shape in _outputs(task, vocab_size, hidden_size).items()],
        graphs=[replace(fake_graph(max(lengths)), bytes=graph.stat().st_size, sha256=file_sha256(graph))],
        model={**MODEL_CONFIG, "vocab_size": vocab_size, "hidden_size": hidden_size},
    )
    write_manifest(manifest, folder)


def _outputs(task: TaskName, vocab_size: int, hidden_size: int) -> dict[str, list[int | str]]:
    match task:
        case "embed":
            return {"hidden": ["batch", "length", hidden_size], "pooled": ["batch", hidden_size]}
        case "qa":
            return {"logits": ["batch", "length", 2]}
        case "ner":
            return {"logits": ["batch", "length", len(_LABELS[task])]}
        case "fill-mask" | "generate":
            return {"logits": ["batch", "positions", vocab_size]}
        case "classify":
            return {"logits": ["batch", len(_LABELS[task])]}
        case "next-sentence":
            return {"logits": ["batch", 2]}
        case "multiple-choice":
            return {"logits": ["batch", 1]}


def _graph(task: TaskName, shapes: Mapping[str, list[int | str]]) -> onnx.ModelProto:
    """Make a graph whose outputs are `sin(id * weight)` for each token, or their mean over the sequence."""
    names = ["input_ids", "attention_mask"] + (["positions"] if task in ("fill-mask", "generate") else [])
    inputs = [
        helper.make_tensor_value_info(
            name, TensorProto.INT64, ["batch", "positions" if name == "positions" else "length"]
        )
        for name in names
    ]
    constants = [_constant("last_axis", np.array([2])), _constant("length_axis", np.array([1]))]
    nodes: list[Any] = [helper.make_node("Mul", ["input_ids", "attention_mask"], ["ids"])]
    outputs = []
    for name, shape in shapes.items():
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        source = "ids"
        if "positions" in shape:
            source = f"{name}_ids"
            nodes.append(helper.make_node("GatherElements", ["ids", "positions"], [source], axis=1))
        weights = np.linspace(0.1, 3.0, int(shape[-1]), dtype=np.float32)[None, None]
        constants.append(_constant(f"{name}_weights", weights))
        each = name if len(shape) == 3 else f"{name}_each"
        nodes += [
            helper.make_node("Cast", [source], [f"{name}_float"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", [f"{name}_float", "last_axis"], [f"{name}_column"]),
            helper.make_node("Mul", [f"{name}_column", f"{name}_weights"], [f"{name}_angle"]),
            helper.make_node("Sin", [f"{name}_angle"], [each]),
        ]
        if each != name:
            nodes.append(helper.make_node("ReduceSum", [each, "length_axis"], [name], keepdims=0))
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _constant(name: str, value: Any) -> Any:
    return numpy_helper.from_array(value, name)
