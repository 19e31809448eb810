from bigbird_inference.runtime.session import RunControl


def test_terminating_ends_the_run_that_is_attached() -> None:
    ended: list[str] = []
    control = RunControl()
    control.attach(lambda: ended.append("run"))
    assert not control.terminated
    assert ended == []
    control.terminate()
    assert control.terminated
    assert ended == ["run"]


def test_a_run_that_begins_after_the_end_was_asked_for_is_ended_at_once() -> None:
    ended: list[str] = []
    control = RunControl()
    control.terminate()
    assert control.terminated
    control.attach(lambda: ended.append("run"))
    assert ended == ["run"]


def test_a_run_is_ended_only_once() -> None:
    ended: list[str] = []
    control = RunControl()
    control.attach(lambda: ended.append("run"))
    control.terminate()
    control.terminate()
    assert ended == ["run"]
