import pytest

from benchmarks.contenders import BLOCK_SPARSE, FULL, OURS, OURS_INT8, OURS_OPENVINO_BF16, TRACED
from benchmarks.models_report import Measurement, best_rates, figure, growth, notes, omissions, rows, speed_up

RATES = {
    "torch fp32": [90e9, 100e9, 400e9],
    "onnxruntime fp32": [80e9, 80e9, 80e9],
    "torch bf16": [150e9, 250e9],
    "OpenVINO bf16": [250e9, 150e9, 250e9],
    "torch int8 (_int_mm)": [100e9],
    "onnxruntime int8 (MatMulInteger)": [200e9],
}


def measurement(
    contender: str, length: int, *seconds: float, documents: int = 1, precision: str = "fp32"
) -> Measurement:
    return Measurement(
        contender=contender,
        length=length,
        documents=documents,
        seconds=seconds,
        operations=documents * 50_000_000_000,
        precision=precision,
        peak_memory=512 * 2**20,
        difference=0.25,
    )


MEASUREMENTS = [
    measurement(BLOCK_SPARSE, 1024, 4.0, 2.0, 9.0),
    measurement(TRACED, 1024, 2.0, 3.0),
    measurement(OURS, 1024, 1.0, 1.0, 5.0),
    measurement(OURS, 1024, 2.0, documents=4),
    measurement(OURS_INT8, 1024, 0.5, precision="int8"),
    measurement(BLOCK_SPARSE, 4096, 18.0),
    measurement(TRACED, 4096, 9.0),
    measurement(OURS, 4096, 4.5),
]


def test_the_speed_up_is_the_ratio_of_medians() -> None:
    assert speed_up(MEASUREMENTS, OURS, BLOCK_SPARSE, 1024) == 4.0
    assert speed_up(MEASUREMENTS, OURS, TRACED, 1024) == 2.5


def test_there_is_no_speed_up_over_what_was_not_measured() -> None:
    assert speed_up(MEASUREMENTS, OURS_INT8, BLOCK_SPARSE, 4096) is None
    assert speed_up(MEASUREMENTS, OURS, FULL, 1024) is None


def test_growth_is_the_time_over_that_of_1024_tokens() -> None:
    assert growth(MEASUREMENTS, OURS, 4096) == 4.5
    assert growth(MEASUREMENTS, OURS_INT8, 4096) is None


def test_the_rate_of_a_precision_is_the_median_of_its_best_path() -> None:
    assert best_rates(RATES) == {"fp32": 100e9, "bf16": 250e9, "int8": 200e9}


def test_a_row_holds_the_speed_of_one_document_and_the_floor_of_the_whole_batch() -> None:
    row = rows(MEASUREMENTS, RATES)[3]
    assert row["documents"] == 4
    assert row["median s"] == 2.0
    assert row["vs transformers"] == 8.0
    assert row["vs traced"] == 5.0
    assert row["vs 1,024 tokens"] is None
    # 4 x 50 GFLOP at 100 GFLOP/s
    assert row["floor s"] == 2.0
    assert row["floor / median"] == 1.0
    assert row["peak MiB"] == 512


def test_an_int8_row_is_held_against_the_rate_of_integer_products() -> None:
    assert rows(MEASUREMENTS, RATES)[4]["floor s"] == 0.25


def test_a_bf16_row_is_held_against_the_rate_of_bf16_products() -> None:
    rate = measurement(OURS_OPENVINO_BF16, 1024, 0.4, precision="bf16")
    row = rows([*MEASUREMENTS, rate], RATES)[-1]
    # 50 GFLOP at 250 GFLOP/s
    assert (row["floor s"], row["floor / median"]) == (0.2, 0.5)


def test_rows_do_not_need_the_traced_graph() -> None:
    assert rows([MEASUREMENTS[0]], RATES)[0]["vs traced"] is None


def test_rows_show_the_spread_of_the_runs() -> None:
    row = rows(MEASUREMENTS, RATES)[0]
    assert (row["runs"], row["median s"], row["fastest s"], row["slowest s"]) == (3, 4.0, 2.0, 9.0)


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        pytest.param(4.5, "4.00 times as fast as transformers block_sparse fp32; at least 3.2, goal 4.0: goal reached"),
        pytest.param(5.0, "3.60 times as fast as transformers block_sparse fp32; at least 3.2, goal 4.0: reached"),
        pytest.param(6.0, "3.00 times as fast as transformers block_sparse fp32; at least 3.2, goal 4.0: missed"),
    ],
    ids=["a speed-up as large as the goal", "one that is large enough", "one that is too small"],
)
def test_the_notes_say_what_was_reached(seconds: float, verdict: str) -> None:
    measured = [measurement(BLOCK_SPARSE, 4096, 18.0), measurement(OURS, 4096, seconds)]
    assert f"{OURS}, 4,096 tokens: {verdict}." in notes(measured, RATES)


def test_the_notes_say_how_time_grows_with_length() -> None:
    assert f"{OURS}: 4,096 tokens take 4.50 times as long as 1,024; at most 4.7, goal 4.3: reached." in notes(
        MEASUREMENTS, RATES
    )


@pytest.mark.parametrize(
    ("length", "own", "verdict"),
    [
        pytest.param(4096, 8.9, "0.99 times as long as the fastest peer, TRACED; at most 1: reached", id="ahead"),
        pytest.param(4096, 9.1, "1.01 times as long as the fastest peer, TRACED; at most 1: missed", id="behind"),
        pytest.param(512, 9.1, "1.01 times as long as the fastest peer, TRACED; at most 1.05: reached", id="near"),
        pytest.param(512, 9.9, "1.10 times as long as the fastest peer, TRACED; at most 1.05: missed", id="too far"),
    ],
)
def test_the_fastest_of_ours_is_held_against_the_fastest_of_the_others(length: int, own: float, verdict: str) -> None:
    peers = [measurement(BLOCK_SPARSE, length, 18.0), measurement(TRACED, length, 9.0)]
    measured = [*peers, measurement(OURS, length, 20.0), measurement(OURS_INT8, length, own, precision="int8")]
    assert f"{length:,} tokens: {OURS_INT8} takes {verdict.replace('TRACED', TRACED)}." in notes(measured, RATES)


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [(0.28, "1.40 times its floor; at most 1.4: reached"), (0.3, "1.50 times its floor; at most 1.4: missed")],
    ids=["near its floor", "far from it"],
)
def test_bf16_is_held_against_its_floor(seconds: float, verdict: str) -> None:
    own = measurement(OURS_OPENVINO_BF16, 4096, seconds, precision="bf16")
    assert f"{OURS_OPENVINO_BF16}, 4,096 tokens: {verdict}." in notes([*MEASUREMENTS, own], RATES)


def test_who_was_left_out_is_said_once_for_each_reason() -> None:
    absent = {"a": "it is not installed", "b": "it is not installed"}
    assert omissions({512: absent, 4096: {**absent, "c": "Error: too large."}}) == [
        "Left out at 512 and 4,096 tokens: a and b. it is not installed.",
        "Left out at 4,096 tokens: c. Error: too large.",
    ]


def test_what_was_not_measured_is_not_judged() -> None:
    assert not [note for note in notes(MEASUREMENTS[:1], RATES) if "at most" in note or "goal" in note]


def test_a_model_with_fewer_layers_is_not_judged() -> None:
    assert not [note for note in notes(MEASUREMENTS, RATES, layers=2) if "at most" in note or "goal" in note]


def test_the_plot_shows_every_contender() -> None:
    plot = figure(MEASUREMENTS, RATES)
    _, speed_ups = plot.axes
    labels = [text.get_text() for text in plot.legends[0].get_texts()]
    assert {BLOCK_SPARSE, TRACED, OURS, f"{OURS}, floor", OURS_INT8} <= set(labels)
    assert len(speed_ups.containers) == 4
