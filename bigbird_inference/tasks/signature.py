"""What the graphs of each task must give: export and manifest agree through this, and loading checks it."""

from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Manifest
from bigbird_inference.tasks.answer_types import ANSWER_TYPES

BATCH_AXIS = "batch"
LENGTH_AXIS = "length"
POSITIONS_AXIS = "positions"
ANSWER_TYPE_OUTPUT = "answer_type"
"""Of models trained on Natural Questions: a logit for each of `ANSWER_TYPES`."""


def output_shapes(task: str, *, labels: int, vocabulary: int, hidden: int) -> dict[str, list[int | str]]:
    """Return the shape of each output that a model of the task can have, float32; symbolic axes are strings.

    Args:
        task: The task.
        labels: How many labels the model has.
        vocabulary: Size of its vocabulary.
        hidden: Width of its hidden states.
    """
    if task == "embed":
        return {"hidden": [BATCH_AXIS, LENGTH_AXIS, hidden], "pooled": [BATCH_AXIS, hidden]}
    logits: dict[str, list[int | str]] = {
        "qa": [LENGTH_AXIS, 2],
        "classify": [labels],
        "ner": [LENGTH_AXIS, labels],
        "fill-mask": [POSITIONS_AXIS, vocabulary],
        "generate": [POSITIONS_AXIS, vocabulary],
        "next-sentence": [2],
        "multiple-choice": [1],
    }
    shapes: dict[str, list[int | str]] = {"logits": [BATCH_AXIS, *logits[task]]}
    if task == "qa":
        shapes[ANSWER_TYPE_OUTPUT] = [BATCH_AXIS, len(ANSWER_TYPES)]
    return shapes


def check_outputs(manifest: Manifest) -> None:
    """Compare the outputs that a manifest describes with its task, labels and configuration.

    Raises:
        BundleError: One of them has another shape; outputs that the task does not know are not looked at.
    """
    labels = len(manifest.labels)
    shapes = output_shapes(
        manifest.task,
        labels=labels,
        vocabulary=manifest.model["vocab_size"],
        hidden=manifest.model["hidden_size"],
    )
    for tensor in manifest.outputs:
        needed = shapes.get(tensor.name, tensor.shape)
        if tensor.shape != needed:
            why = f" with {labels} labels" if labels else ""
            raise BundleError(
                f"outputs: {tensor.name} is {tensor.shape}, and a bundle of the task {manifest.task}{why} needs "
                f"{needed}; export the checkpoint again"
            )
