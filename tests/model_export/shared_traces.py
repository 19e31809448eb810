"""Let a test run trace each graph once, in whatever test and process it is wanted first.

Tracing is most of what an export takes, and many tests export models that differ in nothing that the tracer sees: it
gets a template whose random weights are always the same (`model_export.export.trace`). What the tracer made of a
template is kept in a file and read again for one that is equal in every attribute; all other steps of an export are
done anew, the comparison with torch among them.
"""

import hashlib
import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest
import torch
from filelock import FileLock

from model_export.export import trace
from model_export.export.buckets import GraphPlan
from model_export.export.signature import Signature
from model_export.nn.model import BigBird

Tracer = Callable[[BigBird, Signature, GraphPlan], ir.Model]


@contextmanager
def shared_traces(folder: Path) -> Iterator[None]:
    """Keep what is traced in a folder, which several processes may use."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "_export", partial(traced_once, folder, trace._export))
        yield


def traced_once(folder: Path, tracer: Tracer, template: BigBird, signature: Signature, plan: GraphPlan) -> ir.Model:
    """Return what the tracer makes, or what it made of an equal template."""
    path = folder / f"{fingerprint(template, signature, plan)}.onnx"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            ir.save(tracer(template, signature, plan), path.with_suffix(".new"))
            path.with_suffix(".new").rename(path)
    return ir.load(path)


def fingerprint(*traced: object) -> str:
    """Return a hash of everything that the objects hold, in all depth."""
    file = io.BytesIO()
    pickler = _Pickler(file)
    # Equal objects are written alike, whether they are one or several.
    pickler.fast = True
    pickler.dump(traced)
    return hashlib.sha256(file.getvalue()).hexdigest()


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """Write tensors by their contents; torch writes addresses of memory with them."""
        if isinstance(value, torch.Tensor):
            array = trace._as_array(value.detach())
            return str, (f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}",)
        return NotImplemented
