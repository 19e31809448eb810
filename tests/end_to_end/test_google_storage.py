"""`gs://` as `s3://`: inputs, bundle and output in a bucket of an emulator of Google's store, on this machine."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bulk.cluster.part_folder import PartFolder
from bulk.object_store import _store, look_up, open_stored, upload
from tests.bulk.cluster.test_part_folder import part
from tests.end_to_end.test_object_stores import TEXTS, batch, names_left_out, read
from tests.foreign_programs import need_package
from tests.reliability.small_bundles import write_small_bundles

pytestmark = pytest.mark.integration  # a server of its own


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """Without credentials, and without a look for some on the network."""
    need_package("gcsfs")
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        patched.setenv("CLOUDSDK_CONFIG", str(tmp_path_factory.mktemp("gcloud")))
        patched.setenv("NO_GCE_CHECK", "true")
        yield patched


@pytest.fixture(scope="module")
def bucket(unknown: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket."""
    need_package("gcp_storage_emulator")
    from gcp_storage_emulator.server import create_server

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    unknown.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    with create_server("127.0.0.1", port, in_memory=True, default_bucket="documents"):
        yield "gs://documents"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    write_small_bundles(folder, ["ner"])
    return folder / "small-ner"


def test_inputs_bundle_and_output_in_a_bucket_give_the_rows_of_files_here(
    tmp_path: Path, bucket: str, bundle: Path
) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    (tmp_path / "docs" / "b").mkdir(parents=True)
    (tmp_path / "docs" / "a.txt").write_text(TEXTS[0])
    (tmp_path / "docs" / "b" / "c.html").write_text(f"<p>{TEXTS[1]}</p>")
    for path in tmp_path.rglob("*.*"):
        upload(path, f"{bucket}/{path.relative_to(tmp_path)}")
    for path in bundle.iterdir():
        upload(path, f"{bucket}/models/small-ner/{path.name}")
    here = batch(tmp_path, "in.jsonl", "docs", "--model", bundle, "--output", "out.jsonl")
    assert here.returncode == 0, here.stderr
    given = [f"{bucket}/*.jsonl", f"{bucket}/docs", "--model", f"{bucket}/models/small-ner"]
    there = batch(tmp_path, *given, "--output", f"{bucket}/rows/out.jsonl")
    assert there.returncode == 0, there.stderr
    (told,) = (line for line in there.stderr.splitlines() if not line.startswith("batch:"))
    assert told.startswith(f"{bucket}/rows/out.jsonl: {len(TEXTS) + 2} rows")
    assert names_left_out(read(f"{bucket}/rows/out.jsonl")) == names_left_out((tmp_path / "out.jsonl").read_bytes())


def test_parts_of_a_cluster_are_kept_in_a_bucket(bucket: str) -> None:
    folder = PartFolder(f"{bucket}/parts")
    folder.open({"model": "a"}, restart=False)
    folder.put(0, part(0), "a")
    again = PartFolder(f"{bucket}/parts")
    again.open({"model": "a"}, restart=False)
    assert [notes.after.row for notes in again.notes([0])] == [1]
    other = PartFolder(f"{bucket}/parts")
    other.open({"model": "b"}, restart=True)
    other.put(1, part(1), "b")
    assert look_up(f"{bucket}/parts/part-00000000.parquet") is None


def test_no_request_waits_for_ever(unknown: pytest.MonkeyPatch) -> None:
    assert 0 < _store("gs://documents").requests_timeout.sock_read < 60


@pytest.fixture
def refusing(unknown: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """A store that answers everything with one status and one message."""
    status, message = request.param
    content = json.dumps({"error": {"code": status, "message": message}}).encode()

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *said: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server, pytest.MonkeyPatch.context() as patched:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        patched.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()


@pytest.mark.parametrize(
    "refusing",
    [
        pytest.param((403, "somebody does not have storage.objects.get access"), id="not for these"),
        pytest.param((401, "Anonymous caller does not have storage.objects.get access"), id="none"),
    ],
    indirect=True,
)
def test_what_is_refused_is_one_line_and_of_a_document_the_row_s_error(
    tmp_path: Path, refusing: None, bundle: Path
) -> None:
    ended = batch(tmp_path, "gs://documents/in.jsonl", "--model", bundle, "--output", "out.jsonl")
    assert ended.returncode == 1
    (told,) = ended.stderr.splitlines()
    assert "gs://documents/in.jsonl: cannot be looked up: the store refuses it to these credentials" in told
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PermissionError, match="the store refuses it to these credentials"):
        open_stored("gs://documents/contract.pdf")
