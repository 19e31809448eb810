"""What goes into a task's graphs and what comes out, by name and shape; tracing and the manifest agree through this."""

from dataclasses import dataclass

from bigbird_inference.manifest import Tensor
from model_export.config import BigBirdConfig

BATCH_AXIS = "batch"
LENGTH_AXIS = "length"
POSITIONS_AXIS = "positions"


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs of the graphs of a model, in order; the length axis differs from bucket to bucket."""

    inputs: list[Tensor]
    outputs: list[Tensor]

    @property
    def takes_positions(self) -> bool:
        """Whether the logits are computed at given positions only."""
        return any(tensor.name == "positions" for tensor in self.inputs)


def signature(task: str, config: BigBirdConfig) -> Signature:
    """Return the signature of a task's graphs."""
    labels, vocabulary, hidden = len(config.labels), config.vocab_size, config.hidden_size
    inputs = [
        Tensor(name, "int64", [BATCH_AXIS, LENGTH_AXIS]) for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    if task == "embed":
        outputs = [Tensor("hidden", "float32", [BATCH_AXIS, LENGTH_AXIS, hidden])]
        if config.has_pooler:
            outputs.append(Tensor("pooled", "float32", [BATCH_AXIS, hidden]))
        return Signature(inputs, outputs)
    if task in ("fill-mask", "generate"):
        inputs.append(Tensor("positions", "int64", [BATCH_AXIS, POSITIONS_AXIS]))
    logits: dict[str, list[int | str]] = {
        "qa": [LENGTH_AXIS, 2],
        "classify": [labels],
        "ner": [LENGTH_AXIS, labels],
        "fill-mask": [POSITIONS_AXIS, vocabulary],
        "generate": [POSITIONS_AXIS, vocabulary],
        "next-sentence": [2],
        "multiple-choice": [1],
    }
    return Signature(inputs, [Tensor("logits", "float32", [BATCH_AXIS, *logits[task]])])
