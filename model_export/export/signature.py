"""What goes into a task's graphs and what comes out, by name and shape; tracing and the manifest agree through this."""

from dataclasses import dataclass

from bigbird_inference.manifest import Tensor
from bigbird_inference.tasks.signature import (
    ANSWER_TYPE_OUTPUT,
    BATCH_AXIS,
    LENGTH_AXIS,
    POSITIONS_AXIS,
    output_shapes,
)
from model_export.config import BigBirdConfig


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs of the graphs of a task's model, in order; the length axis differs from bucket to bucket."""

    task: str
    inputs: list[Tensor]
    outputs: list[Tensor]

    @property
    def takes_positions(self) -> bool:
        """Whether the logits are computed at given positions only."""
        return any(tensor.name == "positions" for tensor in self.inputs)


def signature(task: str, config: BigBirdConfig) -> Signature:
    """Return the signature of a task's graphs."""
    inputs = [
        Tensor(name, "int64", [BATCH_AXIS, LENGTH_AXIS]) for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    if task in ("fill-mask", "generate"):
        inputs.append(Tensor("positions", "int64", [BATCH_AXIS, POSITIONS_AXIS]))
    shapes = output_shapes(task, labels=len(config.labels), vocabulary=config.vocab_size, hidden=config.hidden_size)
    if not config.has_pooler:
        shapes.pop("pooled", None)
    if not config.has_answer_types:
        shapes.pop(ANSWER_TYPE_OUTPUT, None)
    return Signature(task, inputs, [Tensor(name, "float32", shape) for name, shape in shapes.items()])
