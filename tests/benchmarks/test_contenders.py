import pytest

from benchmarks import contenders
from benchmarks.contenders import (
    OURS_OPENVINO,
    OURS_OPENVINO_BF16,
    OURS_OPENVINO_INT8,
    TRACED_INT8,
    TRACED_INT8_WEIGHTS,
    TRACED_OPENVINO,
    TRACED_OPENVINO_BF16,
    cannot_run_here,
)

BF16 = {TRACED_OPENVINO_BF16, OURS_OPENVINO_BF16}
INT8 = {TRACED_INT8_WEIGHTS, TRACED_INT8, OURS_OPENVINO_INT8}


@pytest.mark.parametrize(
    ("openvino", "nncf", "bfloat16", "left_out", "reason"),
    [
        pytest.param(
            False, True, True, {TRACED_OPENVINO, OURS_OPENVINO} | BF16 | INT8, "OpenVINO is not", id="without OpenVINO"
        ),
        pytest.param(True, False, True, INT8, "NNCF is not installed", id="without NNCF"),
        pytest.param(True, True, False, BF16, "no units for bfloat16", id="without units for bfloat16"),
        pytest.param(True, True, True, set(), "", id="with everything"),
    ],
)
def test_what_cannot_run_here_is_left_out_and_the_reason_said(
    monkeypatch: pytest.MonkeyPatch, openvino: bool, nncf: bool, bfloat16: bool, left_out: set[str], reason: str
) -> None:
    monkeypatch.setattr(contenders.quiet_openvino, "installed", lambda: openvino)
    monkeypatch.setattr(contenders.nncf_quantise, "installed", lambda: nncf)
    monkeypatch.setattr(contenders, "computes_bfloat16", lambda: bfloat16)
    found = cannot_run_here()
    assert set(found) == left_out
    assert all(reason in why for why in found.values())
