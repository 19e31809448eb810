"""Small torch models that are compared with their own graphs, without a checkpoint or a bundle."""

from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir
import torch

from bigbird_inference.runtime import quiet_openvino
from bigbird_inference.runtime.onnx_session import OnnxSession, session_options
from bigbird_inference.runtime.openvino_session import OpenVinoSession, session_properties
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import Session
from model_export.config import BigBirdConfig
from model_export.export.buckets import GraphPlan
from model_export.export.signature import signature
from model_export.export.trace import trace
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern
from tests.cpu_runtimes import IN_ONNXRUNTIME, CpuCase, need_openvino

SMALL = BigBirdConfig(
    vocab_size=60,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=14 * 16,
    block_size=16,
    num_random_blocks=1,
    labels=tuple("ABCDEFGH"),
)


def spread_model(config: BigBirdConfig, pattern: str) -> BigBird:
    """Return an entity model with uneven attention and logits that are spread; no tensor is left at zeros or ones."""
    model = build_model(config, "ner", get_pattern(pattern)).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm.weight" in name:
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim == 1:
                parameter.copy_(0.2 * noise)
            elif "embeddings" in name:
                parameter.copy_(noise)
            else:
                gain = 2.0 if any(part in name for part in (".query.", ".key.", "head.")) else 1.0
                parameter.copy_(gain * noise / parameter.shape[1] ** 0.5)
    return model


def save_traced(model: BigBird, plans: Sequence[GraphPlan], graph: Path) -> Path:
    """Trace a model into a file, with its weights inside."""
    ir.save(trace(model, signature("ner", model.config), plans), graph)
    return graph


def open_traced(graph: Path, cpu: CpuCase) -> Session:
    """Load a traced graph as the service does, without a bundle."""
    if cpu.runtime == "onnxruntime":
        options = session_options(1, cpu_only=True)
        return OnnxSession(onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"]))
    need_openvino()
    model = quiet_openvino.imported().Core().read_model(graph)
    return OpenVinoSession(model, session_properties(cpu.precision, threads=1))


def traced_session(model: BigBird, plans: Sequence[GraphPlan], graph: Path) -> Session:
    """Trace a model into a file and load it in onnxruntime."""
    return open_traced(save_traced(model, plans, graph), IN_ONNXRUNTIME)
