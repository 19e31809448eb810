"""What a request's record makes of times that are written here by hand."""

from service.batching.bucket_queue import InferenceResult
from service.telemetry.request_record import RequestRecord


def result(bucket: int, queue: float, collate: float, inference: float, finished_at: float) -> InferenceResult:
    return InferenceResult({}, bucket, queue, collate, inference, finished_at)


def parsed_record() -> RequestRecord:
    record = RequestRecord("id", "POST", arrived_at=100.0)
    record.stages.until("parse", 101.0)
    return record


def test_the_stages_of_a_document_with_one_window_are_its_time() -> None:
    record = parsed_record()
    item = record.accepted(bucket=128, windows=1, tokens=90, at=103.5)
    # Accepted at 103, begun at 107, collated at 107.5, finished at 115.5.
    item.ran([result(256, 4.0, 0.5, 8.0, 115.5)])
    item.decoded(131.5)
    record.finish("/qa", 200, 163.5)
    assert record.stages.seconds == {
        "parse": 1.0,
        "tokenise": 2.0,
        "queue": 4.0,
        "collate": 0.5,
        "inference": 8.0,
        "decode": 16.0,
        "respond": 32.0,
    }
    assert sum(record.stages.seconds.values()) == record.seconds == 63.5
    assert record.answered
    assert record.buckets == [256]


def test_the_way_of_a_document_with_windows_is_that_of_the_window_that_ended_last() -> None:
    record = parsed_record()
    item = record.accepted(bucket=128, windows=2, tokens=200, at=102.0)
    item.ran([result(128, 1.0, 0.0, 2.0, 105.0), result(64, 5.0, 1.0, 3.0, 111.0)])
    item.decoded(112.0)
    record.finish("/qa", 200, 112.0)
    assert record.stages.seconds["queue"] == 5.0
    assert record.stages.seconds["inference"] == 3.0
    assert sum(record.stages.seconds.values()) == record.seconds == 12.0
    assert record.buckets == [64, 128]


def test_the_way_of_a_list_is_that_of_the_document_that_ended_last() -> None:
    record = parsed_record()
    first, last = (record.accepted(bucket, 1, 50, 102.0) for bucket in (64, 128))
    first.ran([result(64, 1.0, 0.0, 1.0, 104.0)])
    first.decoded(105.0)
    last.ran([result(128, 2.0, 0.0, 10.0, 114.0)])
    last.decoded(118.0)
    record.finish("/qa", 200, 120.0)
    assert record.stages.seconds == {
        "parse": 1.0,
        "tokenise": 1.0,
        "queue": 2.0,
        "collate": 0.0,
        "inference": 10.0,
        "decode": 4.0,
        "respond": 2.0,
    }
    assert first.stages.seconds["decode"] == 1.0


def test_a_text_built_in_steps_goes_through_its_stages_again_and_the_time_between_two_runs_is_decoding() -> None:
    record = parsed_record()
    item = record.accepted(bucket=16, windows=1, tokens=3, at=102.0)
    item.ran([result(16, 1.0, 0.5, 2.0, 105.5)])
    item.continued(windows=1, tokens=4)
    item.ran([result(32, 2.0, 0.5, 4.0, 113.0)])  # accepted at 106.5
    item.decoded(114.0)
    record.finish("/generate", 200, 115.0)
    assert record.stages.seconds == {
        "parse": 1.0,
        "tokenise": 1.0,
        "queue": 3.0,
        "collate": 1.0,
        "inference": 6.0,
        "decode": 2.0,
        "respond": 1.0,
    }
    assert (item.windows, item.tokens, record.buckets) == (2, 7, [16, 32])


def test_a_request_that_ends_while_it_waits_has_the_stages_that_it_passed() -> None:
    record = parsed_record()
    record.accepted(bucket=128, windows=1, tokens=90, at=103.0)
    record.finish("/qa", 504, 110.0)
    assert record.stages.seconds == {"parse": 1.0, "tokenise": 2.0}
    assert not record.answered
    assert record.buckets == [128]
    assert record.seconds == 10.0


def test_a_request_that_was_never_accepted_has_no_documents() -> None:
    record = parsed_record()
    record.finish("/qa", 429, 102.0)
    assert record.stages.seconds == {"parse": 1.0}
    assert (record.items, record.buckets, record.answered) == ([], [], False)
