import subprocess
import sys

import pytest
import torch

from benchmarks.base_checkpoint import BASE_CONFIG
from benchmarks.gpu.contenders import Dense, OurSessions, Reference, RungLost
from benchmarks.gpu.plan import FIRST_RUNG, ON_A_CPU, ON_A_GPU, plan_for
from benchmarks.gpu.speed import TOLERANCE
from benchmarks.random_documents import random_batch
from bigbird_inference.runtime.cuda import iobinding

pytestmark = pytest.mark.slow

FULL, SPARSE = 704, 1024
GIB = 1 << 30


@pytest.mark.parametrize(
    ("length", "is_same"),
    [pytest.param(FULL, True, id="up to the edge"), pytest.param(SPARSE, False, id="another function beyond")],
)
def test_dense_attention_is_our_model_up_to_the_edge(length: int, is_same: bool) -> None:
    assert BASE_CONFIG.full_attention_edge == FULL
    batch = random_batch(range(2), length)
    torch.compiler.reset()
    found = Dense(ON_A_CPU.checkpoint, "cpu", "fp32", length, [2])(batch)
    expected = Reference(ON_A_CPU.checkpoint, "cpu").logits(batch)
    difference = float(abs(found - expected).max() / expected.std())
    assert difference < 1e-4 if is_same else difference > 2 * TOLERANCE


def test_a_rung_that_is_given_up_is_a_failure_and_not_the_time_of_the_rung_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("no place for it")

    batch = random_batch([0], FULL)
    monkeypatch.setattr(iobinding.Places, "run", refuse)
    with pytest.raises(RungLost, match=r"iobinding is off \(failed\): no place for it"):
        OurSessions(ON_A_CPU.bundle, "cpu", "iobinding").run(batch)
    assert OurSessions(ON_A_CPU.bundle, "cpu", FIRST_RUNG).run(batch)["logits"].shape == (1, 8)


@pytest.mark.parametrize(("gib", "documents"), [(139.8, [1, 8, 32]), (79.1, [1, 8, 16]), (23.6, [1, 4]), (7.9, [1])])
def test_a_small_gpu_gets_smaller_batches(gib: float, documents: list[int]) -> None:
    plan = plan_for(int(gib * GIB))
    assert plan.documents_at(4096) == documents
    assert plan.lengths == ON_A_GPU.lengths


def test_a_gpu_host_needs_no_transformers() -> None:
    hidden = "import sys; sys.modules['transformers'] = None; import benchmarks.gpu.__main__"
    completed = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
