from collections.abc import Callable

import pytest

from benchmarks.gpu.contenders import DENSE_COMPILED, FLEX, OURS, TRANSFORMERS
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.memory import MemoryUse
from benchmarks.gpu.targets import comparisons, verdicts
from tests.benchmarks.gpu.examples import GIGA, cell, findings


def statements(found: Findings) -> list[str]:
    return [str(verdict) for verdict in verdicts(found)]


def test_every_target_is_held_against_what_was_found() -> None:
    # 2 documents in 8 ms are 250/s; transformers 2 in 48 ms; dense 4 in 24 ms; 1,024 tokens 10 in 10 ms.
    assert statements(findings()) == [
        "Attention in fused kernels: in every bucket; must be in every bucket: reached.",
        "CUDA graphs recorded: in 2 of 2 buckets; must be in every bucket: reached.",
        f"{OURS}, 4,096 tokens, times as fast as {TRANSFORMERS}: 6.00; must be at least 5.0: reached.",
        f"{OURS}, 4,096 tokens, times as fast as {DENSE_COMPILED}: 1.50; must be at least 1.2: reached.",
        f"{OURS}, 1,024 tokens, share of the matrix-product ceiling at the largest batch: 0.60; "
        "must be at least 0.45: reached.",
        f"{OURS}, 4,096 tokens, share of the matrix-product ceiling at the largest batch: 0.50; "
        "must be at least 0.45: reached.",
        f"{OURS}, time of 4,096 tokens by that of 1,024: 4.00; must be at most 4.4: reached.",
        "Server, share of the bare executor's tokens per second: 0.90; must be at least 0.85: reached.",
        "GPU memory of 9 buckets by that of the largest alone: 1.10; must be at most 1.15: reached.",
    ]


def slower_long_documents(found: Findings) -> None:
    found.cells = [each for each in found.cells if each.contender != OURS or each.length == 1024]
    found.cells.append(cell(OURS, 4096, 2, 16.0, operations=10 * GIGA))


def unfused(found: Findings) -> None:
    found.kernels = {4096: {"MATH": 1}}


def larger(found: Findings) -> None:
    found.memory = MemoryUse({4096: 4 * GIGA}, 5 * GIGA, 9)


def unrecorded(found: Findings) -> None:
    found.recorded = {704: [1], 4096: []}


@pytest.mark.parametrize(
    ("change", "subjects"),
    [
        pytest.param(unfused, ["fused kernels"], id="an unfused kernel"),
        pytest.param(larger, ["GPU memory"], id="too much memory"),
        pytest.param(unrecorded, ["CUDA graphs recorded: in 1 of 2"], id="a bucket that cannot be recorded"),
        pytest.param(
            slower_long_documents,
            [TRANSFORMERS, DENSE_COMPILED, "4,096 tokens, share", "time of 4,096"],
            id="long documents that take twice as long",
        ),
    ],
)
def test_what_is_not_enough_is_missed(change: Callable[[Findings], None], subjects: list[str]) -> None:
    found = findings()
    change(found)
    missed = [str(verdict) for verdict in verdicts(found) if verdict.reached is False]
    assert len(missed) == len(subjects)
    for statement, subject in zip(missed, subjects, strict=True):
        assert subject in statement
        assert statement.endswith("missed.")


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    nothing = verdicts(Findings())
    assert {verdict.reached for verdict in nothing} == {None}
    assert all("not measured" in str(verdict) for verdict in nothing)
    few = findings()
    few.memory = MemoryUse({4096: 4 * GIGA}, 4 * GIGA, 2)
    assert verdicts(few)[-1].reached is None


def test_a_peer_that_failed_in_one_batch_is_compared_by_its_others() -> None:
    assert f"4,096 tokens: {OURS} 6.00 times as fast as {TRANSFORMERS}, each at its best." in comparisons(
        findings().cells
    )
    assert f"4,096 tokens: {OURS} 1.50 times as fast as {FLEX}, each at its best." in comparisons(findings().cells)
