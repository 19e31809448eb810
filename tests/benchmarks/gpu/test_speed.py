from dataclasses import replace

import pytest

from benchmarks.gpu.batches import COMPARED_DOCUMENTS, filled_batch
from benchmarks.gpu.cells import Cell
from benchmarks.gpu.contenders import GpuContender
from benchmarks.gpu.plan import REHEARSAL
from benchmarks.gpu.speed import SpeedTest
from model_export.config import BigBirdConfig
from tests.benchmarks.fake_contestants import LocalWorker, fake, logits_of, unloadable

CONFIG = BigBirdConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1, block_size=8)
FULL, SPARSE = 64, 128
PLAN = replace(REHEARSAL, batches=(1, 2), saturating_tokens=0, repeats=2, answer_seconds=60.0)
CONTENDERS = {
    "right": GpuContender(fake()),
    "wrong": GpuContender(fake(offset=1.0)),
    "dense": GpuContender(fake(offset=1.0), attends_fully=True),
    "sparse": GpuContender(fake(), is_sparse_only=True),
    "small": GpuContender(fake(most=1)),
    "missing": GpuContender(unloadable),
    "tired": GpuContender(fake(runs=15)),
    "short-lived": GpuContender(fake(dies_at=SPARSE)),
}
VARIANTS = ("plain", "faster")

Cells = dict[tuple[int, str, str, int], Cell]


@pytest.fixture(scope="module")
def cells() -> Cells:
    found: list[Cell] = []
    with SpeedTest(CONTENDERS, PLAN, start=LocalWorker).loaded() as test:
        for length in (FULL, SPARSE):
            found += test.measure(length, CONFIG, logits_of(filled_batch(COMPARED_DOCUMENTS, length)))
    return {(cell.length, cell.contender, cell.variant, cell.documents): cell for cell in found}


def test_every_variant_is_timed_at_every_number_of_documents(cells: Cells) -> None:
    for variant in VARIANTS:
        for documents in (1, 2):
            cell = cells[SPARSE, "right", variant, documents]
            assert len(cell.seconds) == 2
            assert cell.difference == 0.0
            assert cell.failure is None


@pytest.mark.parametrize(
    ("name", "documents", "failure"),
    [
        pytest.param("wrong", 1, "logits differ from the reference", id="one whose numbers are wrong is not timed"),
        pytest.param("small", 2, "MemoryError: no room for the batch", id="a batch that does not fit is reported"),
        pytest.param("missing", 1, "ImportError: peer is not installed here", id="one that cannot be loaded says why"),
        pytest.param("short-lived", 2, "ended with status 7", id="one whose process ends is out"),
        pytest.param("tired", 2, "ValueError: tired", id="one that fails while it is timed is reported"),
    ],
)
def test_a_failure_is_a_cell_with_its_reason(cells: Cells, name: str, documents: int, failure: str) -> None:
    cell = cells[SPARSE, name, "plain", documents]
    assert cell.failure is not None
    assert failure in cell.failure
    assert cell.seconds == ()


def test_a_batch_that_does_not_fit_does_not_stop_smaller_ones(cells: Cells) -> None:
    assert len(cells[SPARSE, "small", "plain", 1].seconds) == 2


def test_a_process_that_ends_keeps_what_was_measured_before(cells: Cells) -> None:
    assert len(cells[FULL, "short-lived", "plain", 2].seconds) == 2


def test_dense_attention_is_another_function_beyond_the_edge_only(cells: Cells) -> None:
    beyond, below = cells[SPARSE, "dense", "plain", 1], cells[FULL, "dense", "plain", 1]
    assert len(beyond.seconds) == 2
    assert beyond.difference is not None
    assert beyond.difference > 0.5
    assert "logits differ" in str(below.failure)


def test_a_sparse_mask_is_compared_beyond_the_edge_only(cells: Cells) -> None:
    assert (SPARSE, "sparse", "plain", 1) in cells
    assert (FULL, "sparse", "plain", 1) not in cells


def test_everybody_is_held_against_the_operations_of_its_own_attention(cells: Cells) -> None:
    dense, sparse = cells[SPARSE, "dense", "plain", 2].operations, cells[SPARSE, "right", "plain", 2].operations
    assert dense > sparse == 2 * cells[SPARSE, "right", "plain", 1].operations


def test_what_was_chosen_at_load_is_remarked() -> None:
    both = {name: CONTENDERS[name] for name in ("right", "missing")}
    with SpeedTest(both, PLAN, start=LocalWorker).loaded() as test:
        assert test.remarks == {"right": "chosen by nobody"}
