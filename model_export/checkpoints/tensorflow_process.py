"""Reads a TensorFlow checkpoint in a process of its own; `tensorflow_files` starts it and takes what it wrote.

TensorFlow logs to stderr from C++ before it can be told not to, may abort on a broken file, and keeps its threads and
memory for good. None of that should happen to an export, so the process that imports it ends after one checkpoint.
This file is run by its path and imports nothing of the package.

    python -P tensorflow_process.py PREFIX OUTPUT LIMIT      shapes to OUTPUT/result.json
    python -P tensorflow_process.py PREFIX OUTPUT LIMIT all  and the tensors to OUTPUT/tensors.safetensors

LIMIT is the number of bytes that the data files hold: an index that announces more is refused before memory is taken.
"""

import importlib
import json
import math
import re
import sys
from collections import deque
from pathlib import Path
from typing import Any

RESULT_FILE = "result.json"
TENSORS_FILE = "tensors.safetensors"
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"

# One part of a variable's name that says it belongs to training: counters, an optimizer, or its slot beside a weight.
_TRAINING_PART = re.compile(
    r"(global_step|save_counter|iterations?|beta[12]_power|\.OPTIMIZER_SLOT|ExponentialMovingAverage"
    r"|(adamw?|adafactor|lamb|momentum|rmsprop)(WeightDecay)?(Optimizer)?(_\w+)?)",
    re.IGNORECASE,
)
# Edges of the object graph that only lead to training state, or to weights once more.
_OTHER_EDGES = {"keras_api", "optimizer", "signatures", "trainable_variables", "non_trainable_variables", "variables"}
_ATTRIBUTE = "VARIABLE_VALUE"


def is_training_state(name: str) -> bool:
    """Tell whether a variable belongs to training and not to the model."""
    return any(_TRAINING_PART.fullmatch(part) for part in name.split("/"))


def object_paths(graph: Any) -> dict[str, str]:
    """Return the key of each variable of an object graph by its path from the root, the shortest one.

    The keys of a file are such paths most of the time; those of a SavedModel are only numbers.

    Args:
        graph: A parsed `TrackableObjectGraph`.
    """
    keys: dict[str, str] = {}
    seen, waiting = {0}, deque([(0, "")])
    while waiting:
        number, path = waiting.popleft()
        node = graph.nodes[number]
        for attribute in node.attributes:
            if attribute.name == _ATTRIBUTE and path:
                keys[path] = attribute.checkpoint_key
        # Keras lists every layer as layer-N, and those with weights as layer_with_weights-N too.
        children = sorted(node.children, key=lambda child: not child.local_name.startswith("layer_with_weights"))
        for child in children:
            # A name with a dot is made up for restoring parts: `sentence_prediction.pooler_dense`.
            if child.node_id in seen or child.local_name in _OTHER_EDGES or "." in child.local_name:
                continue
            seen.add(child.node_id)
            waiting.append((child.node_id, f"{path}/{child.local_name}" if path else child.local_name))
    return keys


def _read(prefix: str, output: Path, limit: int, with_tensors: bool) -> dict[str, Any]:
    tensorflow = importlib.import_module("tensorflow")
    reader = tensorflow.train.load_checkpoint(prefix)
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    keys = {name: name for name in shapes}
    if OBJECT_GRAPH in shapes:
        messages = importlib.import_module("tensorflow.core.protobuf.trackable_object_graph_pb2")
        graph = messages.TrackableObjectGraph.FromString(reader.get_tensor(OBJECT_GRAPH))
        keys = object_paths(graph)
    keys = {
        name: key
        for name, key in sorted(keys.items())
        if key in shapes and types[key] != tensorflow.string and not is_training_state(name)
    }
    announced = sum(math.prod(shapes[key]) * types[key].size for key in keys.values())
    if announced > limit:
        raise ValueError(f"its index announces {announced} bytes of tensors, its data files hold {limit}")
    if with_tensors:
        arrays = {name: reader.get_tensor(key) for name, key in keys.items()}
        narrow = {name for name, key in keys.items() if types[key] == tensorflow.bfloat16}
        save = importlib.import_module("safetensors.numpy").save_file
        save({name: array.astype("float32") if name in narrow else array for name, array in arrays.items()},
             output / TENSORS_FILE)  # fmt: skip
    return {"shapes": {name: list(shapes[key]) for name, key in keys.items()}}


def main(arguments: list[str]) -> None:
    """Read the checkpoint and write the result, an error included."""
    prefix, output, limit, *rest = arguments
    try:
        result = _read(prefix, Path(output), int(limit), with_tensors=bool(rest))
    except Exception as error:  # TensorFlow's errors share no base class, and whatever it is belongs in the result
        lines = str(error).strip().splitlines()
        result = {"error": lines[0][:300] if lines else type(error).__name__}
    (Path(output) / RESULT_FILE).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
