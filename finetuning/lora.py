"""Low-rank adaptation (Hu et al. 2021): the base stays as it is, and narrow matrices beside its layers are trained.

Every linear layer of the encoder computes `W x + scale * B (A x)` with a frozen `W`, the head is trained whole, and so
is the token-type embedding where it tells case. What is saved is an adapter as PEFT saves it, megabytes beside a base
of any size; `bigbird export` merges it (`model_export.checkpoints.lora_weights`).
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from finetuning.served_task import PAIR_TYPES
from model_export.checkpoints.bert import BertWeights
from model_export.checkpoints.checkpoint import Checkpoint, Weights
from model_export.checkpoints.huggingface_configuration import PAIR_TYPES_FIELD, PATTERN_FIELD
from model_export.checkpoints.lora import CONFIG_FILE, WEIGHTS_FILES
from model_export.checkpoints.pytorch import PyTorchWeights
from model_export.checkpoints.safetensors_files import SafetensorsWeights
from model_export.config import BigBirdConfig
from model_export.errors import ConfigError
from model_export.nn.model import BigBird

ALPHA_PER_RANK = 2
"""`lora_alpha` as a multiple of the rank, so that what a learning rate does hardly depends on the rank."""

_B_FACTOR = 4.0
_WHOLE_FACTOR = 10.0

_PEFT_PREFIX = "base_model.model."
_TASK_TYPES = {"classify": "SEQ_CLS", "ner": "TOKEN_CLS", "qa": "QUESTION_ANS"}
# What a model with the head is called in transformers, behind "BigBird" or "Bert".
_ARCHITECTURES = {
    "classify": "ForSequenceClassification",
    "ner": "ForTokenClassification",
    "qa": "ForQuestionAnswering",
}
# Heads that a BERT and a BigBird have alike, under the same names.
_TASKS_OF_BERT = ("ner",)


class LoraLinear(nn.Linear):
    """A linear layer with a low-rank difference.

    Attributes:
        lora_A: `[rank, in]`.
        lora_B: `[out, rank]`, zeros at first: the layer begins as its base.
        scale: Of their product.
    """

    def __init__(self, base: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__(base.in_features, base.out_features, bias=base.bias is not None, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.scale = float(ALPHA_PER_RANK)
        self.lora_A = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.lora_B = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5), generator=generator)  # as PEFT begins

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Map `[..., in]` to `[..., out]`."""
        if not torch.is_grad_enabled():
            return F.linear(values, self.merged(), self.bias)
        product: torch.Tensor = _AdaptedProduct.apply(
            values, self.weight, self.bias, self.lora_A, self.lora_B, self.scale
        )  # type: ignore[no-untyped-call]
        return product

    def merged(self) -> torch.Tensor:
        """Return the weight with its difference, `[out, in]`."""
        return self.weight + self.scale * (self.lora_B @ self.lora_A)


class _AdaptedProduct(torch.autograd.Function):
    """The product with the merged weight, whose gradient is computed for `lora_A` and `lora_B` alone.

    Two products beside each large one would write their results to memory and add them; merging first costs as little
    as the two matrices are small, and the gradient of the whole weight is never needed.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        lora_A: torch.Tensor,
        lora_B: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """Map `[..., in]` to `[..., out]`."""
        kind = values.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else values.dtype
        with torch.autocast(kind, enabled=False):
            merged = (weight + scale * (lora_B @ lora_A)).to(dtype)
            cast = values.to(dtype)
            ctx.save_for_backward(cast, merged, lora_A, lora_B)
            ctx.scale, ctx.dtype = scale, values.dtype
            return F.linear(cast, merged, None if bias is None else bias.to(dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of the values, of `lora_A` and of `lora_B`."""
        (gradient,) = gradients
        values, merged, lora_A, lora_B = ctx.saved_tensors
        of_values = (gradient @ merged).to(ctx.dtype) if ctx.needs_input_grad[0] else None
        # [tokens, out] and [tokens, in]
        flat, inputs = gradient.flatten(0, -2), values.flatten(0, -2)
        of_A = (flat @ lora_B.to(flat.dtype)).T @ inputs
        of_B = flat.T @ (inputs @ lora_A.T.to(flat.dtype))
        return of_values, None, None, ctx.scale * of_A.float(), ctx.scale * of_B.float(), None


def require_adaptable(checkpoint: Checkpoint, task: str) -> None:
    """Make sure that an adapter of a checkpoint can be saved so that others can merge it.

    Raises:
        ConfigError: Its weights are in another layout than PEFT names, or its heads are not a BigBird's.
    """
    if task not in _TASK_TYPES:
        raise ConfigError(f"lora: there are adapters for {', '.join(_TASK_TYPES)}; train {task} without --lora")
    weights: Weights = checkpoint.weights
    is_bert = isinstance(weights, BertWeights)
    base = weights.base if isinstance(weights, BertWeights) else weights
    if not isinstance(base, PyTorchWeights | SafetensorsWeights):
        raise ConfigError(
            f"lora: needs a base in the Hugging Face layout, in safetensors or pytorch_model.bin; {checkpoint.folder} "
            f"is {weights.kind}: train it without --lora, or start from such a checkpoint"
        )
    if is_bert and task not in _TASKS_OF_BERT:
        raise ConfigError(
            f"lora: the head for {task} of a BERT is not that of a BigBird; train it without --lora, which writes a "
            "BigBird, or train ner"
        )


def adapt(model: BigBird, rank: int, seed: int) -> None:
    """Freeze a model, and put low-rank differences beside the linear layers of its encoder.

    Args:
        model: To be changed; its head stays trainable, and its token types if they tell case.
        rank: Of the differences.
        seed: Of their first weights.
    """
    generator = torch.Generator().manual_seed(seed)
    for part in (model.embeddings, model.encoder):
        part.requires_grad_(False)
    for module in list(model.encoder.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, LoraLinear(child, rank, generator))
    if model.config.token_types == "case":
        model.embeddings.token_type.requires_grad_(True)


def rate_factor(name: str) -> float:
    """Return by what the learning rate of a weight is multiplied in a model that was adapted.

    `lora_B` begins with zeros and learns faster than `lora_A` (LoRA+, Hayou et al. 2024). A head that is new, and rows
    of token types, learn as fast as weights that nothing depends on yet. With one rate for all, a sentence encoder
    found no entity after as many tokens as gave an F1 of 0.36 with these.
    """
    if name.endswith(".lora_A"):
        return 1.0
    return _B_FACTOR if name.endswith(".lora_B") else _WHOLE_FACTOR


def save_adapter(model: BigBird, source: Checkpoint, task: str, folder: Path, *, base: str, pattern: str) -> None:
    """Write `adapter_config.json`, `adapter_model.safetensors` and the configuration of the adapted model.

    Args:
        model: That was adapted and trained.
        source: The checkpoint that is the base.
        task: What was trained.
        folder: An existing folder.
        base: What the adapter is to call its base.
        pattern: Random blocks of the training.
    """
    config_file = source.files[0]
    names = source.weights.names(task, model.config)
    layers = {
        name: names[f"{name}.weight"].name.removesuffix(".weight")
        for name, module in model.named_modules()
        if isinstance(module, LoraLinear)
    }
    tensors: dict[str, torch.Tensor] = {}
    whole: set[str] = set()
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        layer, _, part = name.rpartition(".")
        if layer in layers:
            key = f"{layers[layer]}.{part}.weight"
        else:
            key = names[name].name
            whole.add(key.split(".")[-2] if key.startswith("bert.") else key.split(".")[0])
        tensors[f"{_PEFT_PREFIX}{key}"] = weight.detach().cpu().contiguous()
    rank = next(module.lora_A.shape[0] for module in model.modules() if isinstance(module, LoraLinear))
    values = {
        "peft_type": "LORA",
        "task_type": _TASK_TYPES[task],
        "base_model_name_or_path": base,
        "bias": "none",
        "r": rank,
        "lora_alpha": ALPHA_PER_RANK * rank,
        "lora_dropout": 0.0,
        "target_modules": sorted({_ending(layer) for layer in layers.values()}),
        "modules_to_save": sorted(whole),
        "inference_mode": True,
    }
    _write_json(folder / CONFIG_FILE, values)
    save_file(tensors, folder / WEIGHTS_FILES[0], metadata={"format": "pt"})
    _write_json(folder / config_file.name, _adapted_configuration(config_file, model, task, pattern))


def _adapted_configuration(config_file: Path, model: BigBird, task: str, pattern: str) -> dict[str, Any]:
    """Return the base's configuration with the head that was trained."""
    given: Mapping[str, Any] = json.loads(config_file.read_text(encoding="utf-8"))
    own = model.config.to_dict()
    # Fields of ours stand in a configuration only where they are not as in transformers.
    ours = own.keys() - BigBirdConfig().to_dict().keys()
    changed = {name: own[name] for name in ("id2label", "label2id", "type_vocab_size", "problem_type", *sorted(ours))}
    if given.get("model_type") == "bert":
        return {**given, "architectures": [f"Bert{_ARCHITECTURES[task]}"], **changed}
    changed |= {PAIR_TYPES_FIELD: PAIR_TYPES, PATTERN_FIELD: pattern}
    return {**given, "architectures": [f"BigBird{_ARCHITECTURES[task]}"], **changed}


def _ending(layer: str) -> str:
    """Return what names a layer in every layer of the encoder: "attention.self.query"."""
    return re.sub(r".*\.layer\.\d+\.", "", layer)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
