from functools import partial

import pytest

from benchmarks.gpu.contenders import DENSE
from benchmarks.gpu.results import Cell
from benchmarks.gpu.speed import COMPARED_DOCUMENTS, TOLERANCE, Race
from benchmarks.random_documents import random_batch
from model_export.config import BigBirdConfig
from tests.benchmarks.fake_contestants import FakeContestant, LocalWorker, logits_of, unloadable

pytestmark = pytest.mark.slow

CONFIG = BigBirdConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1, block_size=8)
FULL, SPARSE = 64, 128
CONTENDERS = {
    "right": partial(FakeContestant),
    "wrong": partial(FakeContestant, offset=1.0),
    DENSE: partial(FakeContestant, offset=1.0),
    "small": partial(FakeContestant, most=1),
    "missing": unloadable,
    # Three runs warm each of two numbers of documents; the first of them is timed once, then fails.
    "tired": partial(FakeContestant, runs=8),
    "short-lived": partial(FakeContestant, dies_at=SPARSE),
}

Cells = dict[str, Cell]


@pytest.fixture(scope="module")
def cells() -> Cells:
    found: Cells = {}
    for length in (FULL, SPARSE):
        reference = logits_of(random_batch(range(COMPARED_DOCUMENTS), length))
        with Race(CONTENDERS, length, [1, 2], start=LocalWorker) as race:
            for some in race.cells(CONFIG, reference):
                found |= some
    return found


def test_every_contender_has_a_cell_at_every_length_and_number_of_documents(cells: Cells) -> None:
    expected = {
        f"speed/{length}/{count}/{name}" for length in (FULL, SPARSE) for count in (1, 2) for name in CONTENDERS
    }
    assert cells.keys() == expected


def test_a_cell_has_times_and_what_the_contender_says(cells: Cells) -> None:
    for documents in (1, 2):
        cell = cells[f"speed/{SPARSE}/{documents}/right"]
        assert len(cell["seconds"]) == 9
        assert (cell["difference"], cell["remark"]) == (0.0, "chosen by nobody")


@pytest.mark.parametrize(
    ("name", "documents", "failure"),
    [
        pytest.param("wrong", 1, "standard deviations off", id="one whose numbers are wrong is not timed"),
        pytest.param("small", 2, "MemoryError: no room for the batch", id="a batch that does not fit is reported"),
        pytest.param("missing", 1, "ImportError: peer is not installed here", id="one that cannot be loaded says why"),
        pytest.param("short-lived", 2, "ended with status 7", id="one whose process ends is out"),
        pytest.param("tired", 1, "ValueError: tired", id="one that fails while it is timed is reported"),
    ],
)
def test_a_failure_is_a_cell_with_its_reason(cells: Cells, name: str, documents: int, failure: str) -> None:
    cell = cells[f"speed/{SPARSE}/{documents}/{name}"]
    assert failure in cell["failed"]
    assert "seconds" not in cell


def test_a_failure_stops_neither_smaller_batches_nor_other_lengths(cells: Cells) -> None:
    assert cells[f"speed/{SPARSE}/1/small"]["seconds"]
    assert cells[f"speed/{FULL}/2/short-lived"]["seconds"]


def test_dense_attention_is_another_function_beyond_the_edge_only(cells: Cells) -> None:
    assert cells[f"speed/{SPARSE}/1/{DENSE}"]["difference"] > TOLERANCE
    assert "standard deviations off" in cells[f"speed/{FULL}/1/{DENSE}"]["failed"]


def test_everybody_is_held_against_the_operations_of_its_own_attention(cells: Cells) -> None:
    dense, sparse = (cells[f"speed/{SPARSE}/2/{name}"]["operations"] for name in (DENSE, "right"))
    assert dense > sparse == 2 * cells[f"speed/{SPARSE}/1/right"]["operations"]
