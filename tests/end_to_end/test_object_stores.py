"""`bigbird batch` with inputs, bundle and output in an object store: moto's, on this machine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from bulk.cluster.part_folder import PartFolder
from bulk.errors import JobError
from bulk.object_store import look_up, open_stored, upload, write_stored
from bulk.remote_bundle import local_bundle
from bulk.sources.inputs import Inputs, Shard
from bulk.sources.rows import Position
from tests.bulk.cluster.test_part_folder import part
from tests.bulk.cluster.test_parts import CONTRACT, without_numbers
from tests.foreign_programs import need_package
from tests.reliability.small_bundles import write_small_bundles

pytestmark = pytest.mark.integration  # a server of its own

ROOT = Path(__file__).resolve().parents[2]
SECRET = "not/to/be/told"
TEXTS = [f"The survey of bridge {number} ended in May. 🌉 Maria Okafor led it. " * (1 + number) for number in range(6)]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket, with credentials for it in the environment as the stores' own tools look for them."""
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, value in variables.items():
            patched.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("documents")
        yield "s3://documents"
    server.stop()


@pytest.fixture(scope="module")
def bundle(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle here; the bucket has a copy of it."""
    folder = tmp_path_factory.mktemp("bundles")
    write_small_bundles(folder)
    for path in (folder / "small-ner").iterdir():
        upload(path, f"{bucket}/models/small-ner/{path.name}")
    return folder / "small-ner"


def batch(folder: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `bigbird batch` in a folder, whose `cache` is for copies."""
    return subprocess.run(
        [sys.executable, "-m", "bigbird_cli", "batch", *map(str, arguments), "--threads", "1"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def read(name: str) -> bytes:
    with open_stored(name) as stream:
        return stream.read()


def names_left_out(rows: bytes) -> list[dict[str, Any]]:
    return [{name: value for name, value in json.loads(line).items() if name != "id"} for line in rows.splitlines()]


def test_inputs_bundle_and_output_in_a_store_give_the_rows_of_files_here(
    tmp_path: Path, bucket: str, bundle: Path
) -> None:
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    (tmp_path / "in.tsv").write_text("text\n" + "".join(text + "\n" for text in TEXTS))
    parquet.write_table(pyarrow.table({"text": TEXTS}), tmp_path / "in.parquet")
    (tmp_path / "docs" / "b").mkdir(parents=True)
    (tmp_path / "docs" / "a.txt").write_text(TEXTS[0])
    (tmp_path / "docs" / "b" / "c.html").write_text(f"<p>{TEXTS[1]}</p>")
    (tmp_path / "docs" / ".hidden.txt").write_text(TEXTS[2])
    for path in tmp_path.rglob("*"):
        if path.is_file():
            upload(path, f"{bucket}/{path.relative_to(tmp_path)}")
    given = ["in.jsonl", "in.tsv", "in.parquet", "docs"]
    here = batch(tmp_path, *given, "--model", bundle, "--output", "out.jsonl")
    assert here.returncode == 0, here.stderr
    stored = [f"{bucket}/{name}" for name in ("in.json*", "in.tsv", "in.parquet", "docs")]
    command = [*stored, "--model", f"{bucket}/models/small-ner", "--output", f"{bucket}/out.jsonl"]
    there = batch(tmp_path, *command)
    assert there.returncode == 0, there.stderr
    rows = read(f"{bucket}/out.jsonl")
    assert names_left_out(rows) == names_left_out((tmp_path / "out.jsonl").read_bytes())
    assert json.loads(rows.splitlines()[-1])["id"] == f"{bucket}/docs/b/c.html"
    # Done, it does nothing; with another content of an input it refuses.
    assert batch(tmp_path, *command).returncode == 0
    write_stored(f"{bucket}/docs/a.txt", b"another")
    refused = batch(tmp_path, *command)
    assert refused.returncode == 1 and "input files was" in refused.stderr


@pytest.mark.parametrize("on_ray", [False, True], ids=["on one machine", "on Ray"])
def test_documents_of_a_store_have_the_pages_and_boxes_of_files_here(
    tmp_path: Path, bucket: str, bundle: Path, on_ray: bool
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    if on_ray:
        need_package("ray")
    documents = tmp_path / "contracts"
    documents.mkdir()
    shutil.copy(CONTRACT, documents / "a.pdf")
    (documents / "b.txt").write_text(TEXTS[0])
    for path in documents.iterdir():
        upload(path, f"{bucket}/contracts/{path.name}")
    asked = ["--model", bundle.with_name("small-qa"), "--question", "Who led it?"]
    here = batch(tmp_path, "contracts", *asked, "--output", "here.parquet")
    assert here.returncode == 0, here.stderr
    output, way = (f"{bucket}/located", ["--ray", "local"]) if on_ray else (f"{bucket}/located.parquet", [])
    there = batch(tmp_path, f"{bucket}/contracts", *asked, "--output", output, *way)
    assert there.returncode == 0, there.stderr
    rows = read(f"{output}/part-00000000.parquet" if on_ray else output)
    own, whole = (parquet.read_table(made).to_pylist() for made in (BytesIO(rows), tmp_path / "here.parquet"))
    assert [row.pop("id") for row in own] == [f"{bucket}/contracts/{name}" for name in ("a.pdf", "b.txt")]
    assert all(row.pop("id") for row in whole)
    assert without_numbers(own) == without_numbers(whole)
    assert own[0]["page"] in (1, 2) and {box["page"] for box in own[0]["boxes"]} == {own[0]["page"]}
    assert own[1]["page"] is None and own[1]["boxes"] is None


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_reading_goes_on_behind_each_row_of_an_object(bucket: str, ending: str) -> None:
    content = {"jsonl": b'{"text": "one"}\n\n{"text": "f\xc3\xbcnf"}\n', "csv": b'text\n"one,\nmore"\nf\xc3\xbcnf\n'}
    write_stored(f"{bucket}/rows.{ending}", content[ending])
    inputs = Inputs([f"{bucket}/rows.{ending}"])
    rows = list(inputs.rows(Position(), Shard()))
    values = [row.read() for row in rows]
    assert [value["text"] for value in values] == ["one" if ending == "jsonl" else "one,\nmore", "fünf"]
    for number, row in enumerate(rows, start=1):
        assert [own.read() for own in inputs.rows(row.after, Shard())] == values[number:]


def test_only_what_is_read_is_asked_of_the_store(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    write_stored(f"{bucket}/large", bytes(6 * 2**20) + b"the end\n")
    asked: list[tuple[int, int]] = []
    fetch = s3fs.core.S3File._fetch_range

    def noted(file: Any, start: int, end: int) -> bytes:
        asked.append((start, end))
        return bytes(fetch(file, start, end))

    monkeypatch.setattr(s3fs.core.S3File, "_fetch_range", noted)
    with open_stored(f"{bucket}/large", 6 * 2**20) as stream:
        assert stream.readline() == b"the end\n"
    assert min(start for start, _ in asked) == 6 * 2**20


def test_a_bundle_that_is_not_what_its_manifest_says_is_refused_and_not_kept(
    tmp_path: Path, bucket: str, bundle: Path
) -> None:
    for path in bundle.iterdir():
        content = path.read_bytes()
        spoilt = content[:-1] + b"?" if path.suffix == ".bin" else content
        write_stored(f"{bucket}/spoilt/small-ner/{path.name}", spoilt)
    with pytest.raises(JobError, match="do not match the hash"):
        local_bundle(f"{bucket}/spoilt/small-ner", tmp_path)
    assert list(tmp_path.rglob("*")) == []


def test_parts_of_a_cluster_are_kept_in_a_store(bucket: str) -> None:
    folder = PartFolder(f"{bucket}/parts")
    folder.open({"model": "a"}, restart=False)
    for number in range(3):
        folder.put(number, part(number), "a")
    again = PartFolder(f"{bucket}/parts/")
    again.open({"model": "a"}, restart=False)
    assert again.unbroken() == 3
    assert [notes.after.row for notes in again.notes(range(3))] == [1, 2, 3]
    other = PartFolder(f"{bucket}/parts")
    other.open({"model": "b"}, restart=True)
    other.put(1, part(1), "b")
    assert look_up(f"{bucket}/parts/part-00000000.parquet") is None
    # Of two commands at the same job, the one that began last goes on.
    with pytest.raises(JobError, match="another command has begun with this job"):
        folder.put(3, part(3), "a")
    assert look_up(f"{bucket}/parts/part-00000003.parquet") is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param("s3://documents/none.jsonl", "the store has no such object", id="no object"),
        pytest.param("s3://nobody/in.jsonl", "the store has no such object", id="no bucket"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, bucket: str, bundle: Path, given: str, message: str) -> None:
    ended = batch(tmp_path, given, "--model", bundle, "--output", "out.jsonl")
    assert ended.returncode == 1 and message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "variables"),
    [
        pytest.param("input", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, id="no credentials"),
        *(
            pytest.param(place, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, id=f"nobody answers, {place}")
            for place in ("input", "model", "output")
        ),
    ],
)
def test_a_store_that_cannot_be_asked_is_one_line_without_what_opens_it(
    tmp_path: Path, bucket: str, bundle: Path, place: str, variables: dict[str, str]
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "one"}\n')
    given = {"input": "in.jsonl", "model": str(bundle), "output": "out.jsonl"}
    given[place] = f"{bucket}/of/a/{given[place].rpartition('/')[2]}"
    arguments = [given["input"], "--model", given["model"], "--output", given["output"]]
    ended = batch(tmp_path, *arguments, AWS_CONFIG_FILE="none", AWS_SHARED_CREDENTIALS_FILE="none", **variables)
    assert ended.returncode == 1
    assert given[place].rpartition("/")[0] in ended.stderr and "Traceback" not in ended.stderr
    assert len([line for line in ended.stderr.splitlines() if not line.startswith("batch:")]) == 1
    assert SECRET not in ended.stderr
