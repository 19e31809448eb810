"""Names of objects; stores themselves are asked in tests/end_to_end/test_object_stores.py."""

from pathlib import Path

import pytest

from bulk.errors import JobError, RowError
from bulk.object_store import StoredEntry, is_stored
from bulk.output_file import OutputFile
from bulk.sources import stored_documents
from bulk.sources.stored_documents import stored_document_row
from documents.limits import Limits
from documents.parsers import Parsers
from documents.reading import read_document

CONTRACT = Path(__file__).resolve().parents[2] / "examples" / "contracts" / "supply-agreement.pdf"


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


def test_a_stored_document_is_read_as_a_file_is_and_bounded_before_it_is_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched: list[str] = []

    def read_stored(name: str, most_bytes: int) -> bytes:
        fetched.append(name)
        if "secret" in name:
            raise PermissionError(13, "Forbidden")
        return CONTRACT.read_bytes()[:most_bytes]

    monkeypatch.setattr(stored_documents, "read_stored", read_stored)
    size = CONTRACT.stat().st_size
    entries = [StoredEntry("s3://b/a.pdf", bytes=size), StoredEntry("s3://b/large.pdf", bytes=2_000_000)]
    entries.append(StoredEntry("s3://b/secret.pdf", bytes=size))
    with Parsers(Limits(megabytes=1)) as parsers:
        good, large, secret = (stored_document_row(entry, "text", parsers) for entry in entries)
        expected = read_document(CONTRACT, "pdf", Limits())
        cells = good.read()
        assert cells == {"text": expected.text}
        assert cells.document.locate(0, 20) == expected.locate(0, 20)  # type: ignore[attr-defined]
        with pytest.raises(RowError, match=r"2\.0 MB are more than 1; split it, or raise --max-file-megabytes"):
            large.read()
        with pytest.raises(RowError, match="the object cannot be read: Forbidden"):
            secret.read()
    assert fetched == ["s3://b/a.pdf", "s3://b/secret.pdf"]
