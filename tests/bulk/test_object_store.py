"""Names of objects; stores themselves are asked in tests/end_to_end/test_object_stores.py."""

import pytest

from bulk.errors import JobError
from bulk.object_store import is_stored
from bulk.output_file import OutputFile


@pytest.mark.parametrize(
    ("name", "stored"),
    [("s3://bucket/a/b.jsonl", True), ("gs://bucket", True), ("folder/a.jsonl", False), ("odd/s3://a", False)],
)
def test_an_object_is_told_from_a_file_by_its_name(name: str, stored: bool) -> None:
    assert is_stored(name) == stored


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("s3://key:secret@bucket/in.jsonl", "names of objects hold no credentials", id="credentials"),
        pytest.param("https://host/in.jsonl", "only s3:// and gs:// are supported", id="another scheme"),
        pytest.param("s3:///in.jsonl", "names no bucket", id="a name without a bucket"),
    ],
)
def test_names_that_are_no_objects_are_refused_and_secrets_not_repeated(name: str, message: str) -> None:
    with pytest.raises(JobError, match=message) as refused:
        is_stored(name)
    assert "secret" not in str(refused.value)


def test_outputs_of_one_name_in_two_buckets_have_states_of_their_own() -> None:
    folders = {str(OutputFile(f"s3://{bucket}/out.jsonl").job_folder) for bucket in ("a", "b")}
    assert folders == {"s3-a-out.jsonl.job", "s3-b-out.jsonl.job"}
