"""Bundles that cannot be fetched or kept; those that can are in tests/end_to_end/test_object_stores.py."""

from pathlib import Path

import pytest

from bulk import remote_bundle
from bulk.errors import JobError

NAME = "s3://models/demo-qa"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(FileNotFoundError(2, "no such object", f"{NAME}/manifest.json"), "no bundle there", id="none"),
        pytest.param(
            PermissionError(13, "refused", f"{NAME}/manifest.json"),
            "cannot be read: refused; see which credentials are set",
            id="of others",
        ),
        pytest.param(OSError(28, "No space left on device", "cache/a"), "No space left .*name another", id="no room"),
    ],
)
def test_whether_the_store_or_this_machine_is_at_fault_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, message: str
) -> None:
    def read_stored(name: str, most_bytes: int) -> bytes:
        raise error

    monkeypatch.setattr(remote_bundle, "read_stored", read_stored)
    with pytest.raises(JobError, match=f"^{NAME}: .*{message}"):
        remote_bundle.local_bundle(NAME, tmp_path)
