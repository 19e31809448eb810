"""A real task with a real tokenizer in front of a session whose every row is decided by the test."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName
from bigbird_inference.runtime.session import Batch, Outputs, RunControl, RunTerminated
from bigbird_inference.tasks.registry import create_task
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.fake_model import fake_manifest

Row = Callable[[list[int], list[int]], Mapping[str, np.ndarray]]
"""From a sequence's ids and positions to its outputs, without batch axis; who shares its batch is unknown to it."""


class ScriptedSession:
    """Runs each row alone, and pads the rows' outputs to one batch as a graph would."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.batches: list[Batch] = []

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        self.batches.append(batch)
        lengths = batch.attention_mask.sum(axis=1)
        positions = np.zeros((len(lengths), 0), np.int64) if batch.positions is None else batch.positions
        rows = [
            self.row(ids[:length].tolist(), own.tolist())
            for ids, length, own in zip(batch.input_ids, lengths, positions, strict=True)
        ]
        if control is not None and control.terminated:
            raise RunTerminated
        return {name: _stack([np.asarray(row[name], np.float32) for row in rows]) for name in rows[0]}


def scripted_model(
    task: TaskName, tokenizer: Tokenizer, row: Row, lengths: tuple[int, ...] = (16, 32), **fields: Any
) -> LoadedModel:
    manifest = replace(fake_manifest(task, lengths), **fields)
    if manifest.labels:
        (logits,) = manifest.outputs
        shape = [*logits.shape[:-1], len(manifest.labels)]
        manifest = replace(manifest, outputs=[replace(logits, shape=shape)])
    manifest = replace(
        manifest, tokenizer=replace(manifest.tokenizer, mask_id=tokenizer.mask_id, eos_id=tokenizer.vocabulary.unk_id)
    )
    session = ScriptedSession(row)
    return LoadedModel(task, manifest, create_task(manifest, tokenizer), {"full": [session]})


def _stack(rows: list[np.ndarray]) -> np.ndarray:
    stacked = np.zeros((len(rows), *np.max([row.shape for row in rows], axis=0)), np.float32)
    for number, row in enumerate(rows):
        stacked[(number, *(slice(size) for size in row.shape))] = row
    return stacked
