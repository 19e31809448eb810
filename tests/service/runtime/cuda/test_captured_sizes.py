from service.runtime.cuda.captured_sizes import CapturedSizes, Choice


def sizes() -> CapturedSizes:
    """Ordinary runs take 1.0, 1.1, 1.4 and 2.0 seconds for 1, 2, 4 and 8; replays of 1, 4 and 8 are faster."""
    known = CapturedSizes()
    for size, seconds in ((1, 1.0), (2, 1.1), (4, 1.4), (8, 2.0)):
        known.measured(size, seconds)
    for graph_id, (size, seconds) in enumerate(((1, 0.5), (4, 1.15), (8, 1.6)), start=1):
        known.captured(size, graph_id, seconds)
    return known


def test_a_recorded_size_is_replayed() -> None:
    assert sizes().choose(1) == Choice(1, 1)
    assert sizes().choose(8) == Choice(8, 3)
    assert sizes().sizes == [1, 4, 8]
    assert sizes().ids() == [1, 2, 3]


def test_a_size_between_is_filled_up_where_that_is_faster_than_an_ordinary_run_of_it() -> None:
    assert sizes().choose(3) == Choice(4, 2)  # 1.25 s as it is, by a straight line
    assert sizes().choose(2) == Choice(2, None)  # 1.1 s as it is, 1.15 s filled up
    assert sizes().choose(5) == Choice(5, None)  # 1.55 s against 1.6 s
    assert sizes().choose(6) == Choice(8, 3)  # 1.7 s against 1.6 s


def test_a_size_beyond_all_recorded_ones_runs_as_it_is() -> None:
    assert sizes().choose(9) == Choice(9, None)
    assert CapturedSizes().choose(1) == Choice(1, None)


def test_a_recording_must_save_some_time() -> None:
    assert sizes().pays(2, 1.05)
    assert not sizes().pays(2, 1.09)


def test_forgotten_recordings_are_not_replayed() -> None:
    known = sizes()
    known.forget()
    assert known.choose(4) == Choice(4, None)
    assert known.sizes == []
