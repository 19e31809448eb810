import json
from pathlib import Path

import pytest

from benchmarks.gpu.contenders import DENSE_COMPILED, FLEX, OURS, TRANSFORMERS
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.plan import MEASUREMENT, REHEARSAL
from benchmarks.gpu.report import figure, notes, rows, write
from tests.benchmarks.gpu.examples import findings


def test_a_row_holds_times_rates_and_the_share_of_the_ceiling() -> None:
    row = rows(findings())[0]
    assert (row["tokens"], row["contender"], row["variant"], row["documents"]) == (1024, OURS, "plain", 1)
    assert (row["repeats"], row["median ms"], row["fastest ms"], row["slowest ms"]) == (3, 5.0, 4.0, 9.0)
    assert row["documents/s"] == 200.0
    assert row["tokens/s"] == 204_800.0
    # 5e9 operations in 5 ms by 2e12 a second
    assert row["share of ceiling"] == 0.5


def test_a_row_is_compared_with_peers_at_the_same_number_of_documents() -> None:
    row = rows(findings())[2]
    assert row["documents"] == 2
    assert row["vs transformers"] == pytest.approx(4.8)
    assert row["vs FlexAttention"] == pytest.approx(1.2)
    assert row["vs dense, compiled"] is None


def test_a_failure_stands_in_its_row() -> None:
    row = rows(findings())[6]
    assert (row["contender"], row["documents"]) == (TRANSFORMERS, 4)
    assert row["failed"] == "MemoryError: no room"
    assert row["median ms"] is None


def test_the_notes_hold_what_the_other_parts_found() -> None:
    text = "\n".join(notes(findings(), MEASUREMENT))
    assert "Numbers, fp16, bucket 1,024: at most 0.004 from torch in fp32, tolerance 0.02" in text
    assert "Attention kernels, bucket 4,096: CUDNN_FLASH_ATTENTION (24 operators)." in text
    assert "CUDA graphs, bucket 704: numbers of documents that were recorded: 1, 2, 4." in text
    assert "TFLOP/s: a 1; b 2; copy within the memory 4,000 GB/s" in text
    assert "gpu: an example" in text
    assert "9 buckets together 4,196 MiB, 1.10 of the largest" in text
    assert "900 documents/s, 1,080,000 tokens/s, 0.90 of the bare executor's 1,200,000" in text
    assert f"{DENSE_COMPILED}: the fastest of torch's SDPA backends here: CUDNN_ATTENTION." in text
    assert "must be at least 5.0: reached." in text


def test_a_rehearsal_is_called_one_and_not_judged() -> None:
    lines = notes(findings(), REHEARSAL)
    assert "rehearsal" in lines[0]
    assert not [line for line in lines if "must be" in line]


def test_failed_parts_are_named_with_their_reason() -> None:
    found = Findings(failures={"server": "no port"})
    assert notes(found, MEASUREMENT)[0] == "server failed: no port"


def test_the_plot_has_a_line_for_each_contender_at_each_length() -> None:
    plot = figure(findings().cells)
    labels = [text.get_text() for text in plot.legends[0].get_texts()]
    assert labels == [OURS, TRANSFORMERS, DENSE_COMPILED, FLEX]
    long = plot.axes[1]
    # The best variant at 2 documents, then 4.
    assert list(long.lines[0].get_ydata()) == [250.0, 200.0]


def test_what_was_found_so_far_can_be_written_at_any_time(tmp_path: Path) -> None:
    write(Findings(), MEASUREMENT, tmp_path)
    assert not (tmp_path / "gpu.png").exists()
    write(findings(), MEASUREMENT, tmp_path)
    assert (tmp_path / "gpu.png").exists()
    assert len(json.loads((tmp_path / "gpu.json").read_text())["rows"]) == 9
