"""One known answer per bundle, asked again on the machine that serves.

Hashes show that the files are those of the export. They do not show that this processor, driver or onnxruntime computes
what the exporting machine did. So the manifest holds a text, its tokens, and some of the numbers that the serving
session gave for them at export (`KnownAnswer`); a model whose numbers are others is not served. That the text still has
these tokens is checked where the tokenizer is loaded (`bigbird_inference.tokenization.tokenizer`).

The export writes the answer with the functions that check it here.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Attention, KnownOutput, Manifest
from bigbird_inference.runtime.cuda.ladder import Ladder, Probe, allowed_difference
from bigbird_inference.runtime.session import Batch, Float32Array, Int64Array, Outputs, Session

# Numbers of an output that stand in the manifest, and positions at which a language model is asked, at most.
_VALUES = 16
_POSITIONS = 8


def check_known_answer(manifest: Manifest, sessions: Mapping[Attention, Session]) -> None:
    """Run the known answer's inputs and compare; do nothing for a bundle without one.

    Blocks for a few runs of a single sequence, so it belongs on the executor of the sessions' device.

    Args:
        manifest: The bundle's manifest.
        sessions: By kind of attention, on the device to check.

    Raises:
        BundleError: An output is not finite, has another shape than the manifest says, or differs by more than the
            tolerance; the message says what was expected and what was measured.
        OutOfMemory, DeviceLost: As in `Session.run`.
    """
    known = manifest.known_answer
    if known is None:
        return
    attention = {bucket.length: bucket.attention for bucket in manifest.buckets}
    for run in known.runs:
        batch = known_answer_batch(manifest, known.token_ids, run.length, run.bucket)
        outputs = sessions[attention[run.bucket]].run(batch)
        _check_shapes(manifest, outputs, batch)
        described = {output.output: output for output in describe_outputs(manifest, outputs, run.length)}
        for expected in run.expected:
            problem = _first_difference(expected, described[expected.output], run.tolerance)
            if problem is not None:
                raise BundleError(
                    f"the known answer of the model from {manifest.source.name!r} (bucket {run.bucket}, "
                    f"{manifest.precision}) is not reproduced: {problem}; this machine, its driver or its runtime "
                    "computes something else than at export"
                )


def climb(ladder: Ladder) -> None:
    """Ask a GPU's first rung for the known answer, and keep those rungs above it that answer as it does, and sooner.

    The probes are the known answer's inputs, and the shortest and the longest bucket of each kind of attention where it
    asks nothing of them. Belongs on the thread that will run batches.

    Raises:
        BundleError: The first rung does not give the known answer.
        OutOfMemory, DeviceLost: As in `Session.run`, of the first rung.
    """
    manifest = ladder.manifest
    check_known_answer(manifest, ladder.first)
    run_unasked_ends(manifest, ladder.first)
    ladder.compare(list(_probes(manifest, ladder.first)))


def _probes(manifest: Manifest, kinds: Iterable[Attention]) -> Iterator[Probe]:
    known = manifest.known_answer
    attention = {bucket.length: bucket.attention for bucket in manifest.buckets}
    runs = [(run.bucket, run.length, known.token_ids) for run in known.runs] if known is not None else []
    padding = [manifest.tokenizer.pad_id]
    runs += [(length, length, padding) for kind in kinds for length in _unasked_ends(manifest, kind)]
    for bucket, length, token_ids in runs:
        batch = known_answer_batch(manifest, token_ids, length, bucket)
        yield Probe(attention[bucket], batch, allowed_difference(manifest, bucket))


def run_unasked_ends(manifest: Manifest, sessions: Mapping[Attention, Session]) -> None:
    """Run the shortest and the longest bucket of each graph, if the known answer does not ask for it.

    So every graph runs at both of its ends before it serves, whatever a bundle's known answer asks for, if it has one.

    Args:
        manifest: The bundle's manifest.
        sessions: By kind of attention, on the device to check.

    Raises:
        BundleError: An output is not finite, or has another shape than the manifest says.
        OutOfMemory, DeviceLost: As in `Session.run`.
    """
    for attention, session in sessions.items():
        for length in _unasked_ends(manifest, attention):
            batch = known_answer_batch(manifest, [manifest.tokenizer.pad_id], length, length)
            outputs = session.run(batch)
            _check_shapes(manifest, outputs, batch)
            for name, array in outputs.items():
                if not np.isfinite(array).all():
                    raise BundleError(
                        f"the model from {manifest.source.name!r} gives no answer in bucket {length}: {name} is not "
                        "finite; export the checkpoint again"
                    )


def _unasked_ends(manifest: Manifest, attention: Attention) -> list[int]:
    known = manifest.known_answer
    asked = {run.bucket for run in known.runs} if known is not None else set()
    lengths = [bucket.length for bucket in manifest.buckets if bucket.attention == attention]
    return sorted({max(lengths), min(lengths)} - asked)


def _check_shapes(manifest: Manifest, outputs: Outputs, batch: Batch) -> None:
    """Compare what came out with the manifest's outputs, also along axes that the graph leaves open."""
    rows, length = batch.input_ids.shape
    sizes = {"batch": rows, "length": length, "positions": 0 if batch.positions is None else batch.positions.shape[1]}
    for tensor in manifest.outputs:
        expected = tuple(axis if isinstance(axis, int) else sizes.get(axis) for axis in tensor.shape)
        found = outputs[tensor.name].shape
        if found != expected:
            raise BundleError(
                f"the model from {manifest.source.name!r} gives {tensor.name} of the shape {list(found)} in a bucket "
                f"of {length}; the manifest says {tensor.shape}: export the checkpoint again"
            )


def known_answer_batch(manifest: Manifest, token_ids: Sequence[int], length: int, bucket: int) -> Batch:
    """Return a batch of one: CLS, the tokens repeated, SEP, together `length`, padded to the bucket.

    Language models are asked at positions from the first to the last.
    """
    special = manifest.tokenizer
    input_ids = np.full((1, bucket), special.pad_id, dtype=np.int64)
    input_ids[0, :length] = [special.cls_id, *np.resize(token_ids, length - 2), special.sep_id]
    attention_mask = np.zeros_like(input_ids)
    attention_mask[0, :length] = 1
    takes_positions = any(tensor.name == "positions" for tensor in manifest.inputs)
    positions = _evenly_spaced(length, _POSITIONS)[np.newaxis] if takes_positions else None
    return Batch(input_ids, attention_mask, np.zeros_like(input_ids), positions)


def describe_outputs(manifest: Manifest, outputs: Outputs, length: int) -> list[KnownOutput]:
    """Return what is written down of outputs for a batch of one, in the manifest's order.

    What belongs to padding does not count, unless it is not finite: then `mean` and `std` are not either.
    """
    return [_describe(tensor.name, outputs[tensor.name][0], length, tensor.shape) for tensor in manifest.outputs]


def _describe(name: str, row: Float32Array, length: int, shape: Sequence[int | str]) -> KnownOutput:
    own = row[:length] if "length" in shape else row
    numbers = own.astype(np.float64).ravel()
    values = [float(numbers[index]) for index in _evenly_spaced(len(numbers), _VALUES)]
    if not np.isfinite(row).all():
        return KnownOutput(name, values, math.nan, math.nan)
    return KnownOutput(name, values, float(numbers.mean()), float(numbers.std()))


def _evenly_spaced(count: int, most: int) -> Int64Array:
    """Return the indices of at most so many of `count` things, the first and the last among them."""
    chosen = min(count, most)
    return np.arange(chosen, dtype=np.int64) * (count - 1) // max(chosen - 1, 1)


def _first_difference(expected: KnownOutput, found: KnownOutput, tolerance: float) -> str | None:
    """Say what differs. Neither mean nor standard deviation can differ by more than the largest single difference."""
    if not np.isfinite(found.mean):
        return f"{expected.output} is not finite"
    if len(found.values) != len(expected.values):
        return f"{expected.output} has {len(found.values)} values to compare, expected {len(expected.values)}"
    named = {f"value {index + 1}": pair for index, pair in enumerate(zip(expected.values, found.values, strict=True))}
    named |= {"the mean": (expected.mean, found.mean), "the standard deviation": (expected.std, found.std)}
    for name, (wanted, measured) in named.items():
        if not abs(measured - wanted) <= tolerance:
            return f"{name} of {expected.output} is {measured:.6g}, expected {wanted:.6g} within {tolerance:.2g}"
    return None
