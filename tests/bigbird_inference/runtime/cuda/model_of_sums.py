"""A bundle whose graphs add up token ids and multiply the sum by three factors: whatever the kernel, the same."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from bigbird_inference.bundle import Bundle
from bigbird_inference.manifest import (
    Attention,
    AttentionKernelName,
    Bucket,
    Graph,
    HashedFile,
    Manifest,
    Parity,
    Source,
    Tensor,
    TokenizerFile,
)
from bigbird_inference.runtime.session import Batch

FACTORS: dict[tuple[Attention, AttentionKernelName], list[float]] = {
    ("full", "composed"): [1, 2, 3],
    ("block_sparse", "composed"): [2, 4, 6],
    ("full", "fused"): [1, 2, 3],
    ("block_sparse", "fused"): [2, 4, 6],
}
# Full attention up to 5 blocks of 2 tokens.
SHORT, EDGE, LONG = 4, 10, 16
INPUTS = [Tensor(name, "int64", ["batch", "length"]) for name in ("input_ids", "attention_mask")]
OUTPUTS = [Tensor("logits", "float32", ["batch", 3])]

_HASH = "0" * 64


def graph_file(attention: Attention, kernel: AttentionKernelName) -> str:
    return f"graph-{attention}{'-fused' if kernel == 'fused' else ''}.onnx"


def bundle_of_sums(folder: Path, *kernels: AttentionKernelName) -> Bundle:
    (folder / "weights.bin").write_bytes(b"".join(np.float32(factors).tobytes() for factors in FACTORS.values()))
    kinds: list[Attention] = ["full", "block_sparse"]
    graphs = []
    for kind in kinds:
        for kernel in kernels:
            _save_graph(folder / graph_file(kind, kernel), 12 * list(FACTORS).index((kind, kernel)))
            lengths = (2, EDGE) if kind == "full" else (EDGE + 2, LONG)
            graphs.append(Graph(graph_file(kind, kernel), 1, _HASH, kind, kernel, *lengths, step=2))
    parity = [Parity(kernel, 0.0, 0.0, 1.0, 1.0, None, 1e-4, [4]) for kernel in kernels]
    manifest = Manifest(
        format_version=2,
        task="classify",
        labels=["a", "b", "c"],
        problem_type=None,
        pattern="transformers",
        precision="fp16",
        pair_types="segments",
        block_size=2,
        max_length=LONG,
        max_batch_items=None,
        tokenizer=TokenizerFile("tokenizer.model", 1, _HASH, cls_id=1, sep_id=2, pad_id=0, mask_id=None, eos_id=None),
        weights=HashedFile("weights.bin", 48, _HASH),
        inputs=INPUTS,
        outputs=OUTPUTS,
        graphs=graphs,
        buckets=[
            Bucket(SHORT, "full", parity, None, False),
            Bucket(EDGE, "full", parity, None, False),
            Bucket(LONG, "block_sparse", parity, None, False),
        ],
        source=Source("checkpoint", "safetensors", _HASH, []),
        model={
            "attention_type": "block_sparse",
            "hidden_size": 1,
            "num_attention_heads": 1,
            "num_hidden_layers": 1,
            "num_random_blocks": 0,
            "type_vocab_size": 2,
            "vocab_size": 100,
        },
        versions={},
    )
    return Bundle(folder, manifest)


def batch(rows: list[list[int]]) -> Batch:
    ids = np.array(rows, dtype=np.int64)
    return Batch(ids, (ids > 0).astype(np.int64), np.zeros_like(ids))


def logits(rows: list[list[int]], factors: list[float]) -> npt.NDArray[np.float32]:
    return np.float32([[sum(row) * factor for factor in factors] for row in rows])


def _save_graph(path: Path, offset: int) -> None:
    factors = TensorProto(name="factors", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights.bin"), ("offset", offset), ("length", 12)):
        factors.external_data.add(key=key, value=str(value))
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["masked"]),
        helper.make_node("Cast", ["masked"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["numbers", "axis"], ["sums"], keepdims=1),
        helper.make_node("Mul", ["sums", "factors"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(tensor.name, TensorProto.INT64, tensor.shape) for tensor in INPUTS],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [factors, axis],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
