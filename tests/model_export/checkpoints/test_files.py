import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from model_export.checkpoints.files import (
    MAX_JSON_BYTES,
    check_folder,
    optional_file,
    read_json,
    regular_file,
    weight_files,
)
from model_export.errors import CheckpointError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (tmp_path / "outside.json").write_text("{}")
    return folder


AGAIN = "download it again, with a login if the model is private or gated"


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(CheckpointError) as refused:
        call()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_file_of_the_folder_is_found(folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    assert regular_file(folder, "config.json") == folder / "config.json"
    assert optional_file(folder, "config.json") == folder / "config.json"


def test_a_folder_may_be_reached_by_a_link(folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert regular_file(link, "config.json") == link / "config.json"


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    (folder / "files").mkdir()
    (folder / "files" / "one").write_text("{}")
    (folder / "config.json").symlink_to("files/one")
    assert regular_file(folder, "config.json").read_text() == "{}"


def test_a_missing_file_is_an_error_or_none_as_asked(folder: Path) -> None:
    assert refusal(lambda: regular_file(folder, "config.json")) == f"{folder}/config.json: missing"
    assert optional_file(folder, "config.json") is None


def _folder_in_place(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _link_out(path: Path) -> None:
    path.symlink_to("../outside.json")


def _link_to_the_folder_above(path: Path) -> None:
    path.symlink_to("..")


def _link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def _link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def _chain_out(path: Path) -> None:
    (path.parent / "second").symlink_to(path.parent.parent / "outside.json")
    path.symlink_to("second")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(_folder_in_place, "is not a regular file", id="a folder"),
        pytest.param(_pipe, "is not a regular file", id="a pipe"),
        pytest.param(_link_to_device, "leads out of the folder, to /dev/zero", id="a link to a device"),
        pytest.param(_link_out, "leads out of the folder, to", id="a link out of the folder"),
        pytest.param(_chain_out, "leads out of the folder, to", id="a link to a link out of the folder"),
        pytest.param(_link_to_the_folder_above, "leads out of the folder, to", id="a link to the folder above"),
        pytest.param(_link_to_nothing, "is a link that leads nowhere, to '", id="a link that leads nowhere"),
        pytest.param(_link_to_itself, "cannot be read", id="a link to itself"),
    ],
)
def test_what_is_no_regular_file_of_the_folder_is_refused(
    folder: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(folder / "config.json")
    for find in (regular_file, optional_file):
        assert refusal(lambda find=find: find(folder, "config.json")).startswith(f"{folder}/config.json: {reason}")


@pytest.mark.parametrize("name", ["../outside.json", "/etc/hostname", "x" * 300, "a\0b", "no\nfile"])
def test_names_that_lead_elsewhere_or_cannot_be_are_refused(folder: Path, name: str) -> None:
    assert refusal(lambda: regular_file(folder, name))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e"
            b"adbb8f32b1258daaa5e2ca24d17e2393\nsize 498\n",
            "is a Git LFS pointer, not the file; run `git lfs pull` in {folder}",
            id="a pointer of Git LFS",
        ),
        pytest.param(
            b"\n<!DOCTYPE HTML><html><head><title>Sign in</title>",
            "is a web page, not the file; download it again, with a login if the page asks for one",
            id="a page",
        ),
        pytest.param(
            b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
            "is a web page, not the file; download it again, with a login if the page asks for one",
            id="an error of a store",
        ),
        pytest.param(
            b"Entry not found",
            "is a server's answer, 'Entry not found', not the file; {again}",
            id="an answer of the hub",
        ),
        pytest.param(
            b'{"error":"Repository not found"}',
            'is a server\'s answer, \'{{"error":"Repository not found"}}\', not the file; {again}',
            id="an answer in JSON",
        ),
        pytest.param(
            b"Access to model a/b is restricted and you are not in the authorized list.\nVisit",
            "is a server's answer, 'Access to model a/b is restricted and you are not in the authorized list.', not "
            "the file; {again}",
            id="a gated model",
        ),
    ],
)
@pytest.mark.parametrize("name", ["config.json", "spiece.model", "tokenizer.json", "model.safetensors", "model.ckpt"])
def test_what_stands_in_a_files_place_is_called_that(folder: Path, name: str, content: bytes, reason: str) -> None:
    (folder / name).write_bytes(content)
    assert (
        refusal(lambda: regular_file(folder, name)) == f"{folder}/{name}: {reason.format(folder=folder, again=AGAIN)}"
    )


class TestCacheOfTheHub:
    """The layout of the hub library: a snapshot's files are links to contents that lie beside all snapshots."""

    @pytest.fixture
    def snapshot(self, tmp_path: Path) -> Path:
        model = tmp_path / "hub" / "models--someone--tiny"
        snapshot = model / "snapshots" / "0123"
        snapshot.mkdir(parents=True)
        (model / "blobs").mkdir()
        (model / "blobs" / "abcd").write_text("{}")
        (snapshot / "config.json").symlink_to("../../blobs/abcd")
        return snapshot

    def test_links_to_its_contents_are_followed(self, snapshot: Path) -> None:
        assert regular_file(snapshot, "config.json").read_text() == "{}"

    def test_links_to_another_model_are_refused(self, snapshot: Path) -> None:
        other = snapshot.parents[2] / "models--else" / "blobs"
        other.mkdir(parents=True)
        (other / "abcd").write_text("{}")
        (snapshot / "spiece.model").symlink_to("../../../models--else/blobs/abcd")
        assert "leads out of the folder" in refusal(lambda: regular_file(snapshot, "spiece.model"))

    def test_another_layout_has_no_such_leave(self, folder: Path) -> None:
        snapshot = folder / "snapshots" / "0123"
        snapshot.mkdir(parents=True)
        (folder / "abcd").write_text("{}")
        (snapshot / "config.json").symlink_to("../../abcd")
        assert "leads out of the folder" in refusal(lambda: regular_file(snapshot, "config.json"))


class TestCheckFolder:
    def test_a_checkpoint_of_any_source_passes(self, folder: Path) -> None:
        for file in ("config.json", "adapter_config.json", "model.ckpt-5.index"):
            (folder / file).touch()
            check_folder(folder)
            (folder / file).unlink()

    def test_the_checkpoints_of_a_training_are_named_in_their_order(self, folder: Path) -> None:
        for steps in (20, 100, 3):
            (folder / f"checkpoint-{steps}").mkdir()
            (folder / f"checkpoint-{steps}" / "config.json").touch()
        (folder / "runs").mkdir()
        named = ", ".join(f"{folder}/checkpoint-{steps}" for steps in (3, 20, 100))
        assert refusal(lambda: check_folder(folder)) == (
            f"{folder}: is not a checkpoint, but holds some; give one of them: {named}"
        )

    def test_a_model_in_the_cache_of_the_hub_is_led_to_its_snapshot(self, folder: Path) -> None:
        (folder / "snapshots" / "0123").mkdir(parents=True)
        (folder / "snapshots" / "0123" / "config.json").touch()
        assert refusal(lambda: check_folder(folder)).endswith(f"give one of them: {folder}/snapshots/0123")

    def test_a_configuration_that_is_a_link_to_nothing_is_called_that(self, folder: Path) -> None:
        (folder / "config.json").symlink_to("nothing")
        assert f"{folder}/config.json: is a link that leads nowhere" in refusal(lambda: check_folder(folder))

    def test_a_file_is_led_to_its_folder(self, folder: Path) -> None:
        (folder / "config.json").touch()
        assert refusal(lambda: check_folder(folder / "config.json")).endswith(
            f"is not a folder; give the one that the checkpoint lies in: {folder}"
        )


class TestReadJson:
    def test_an_object_is_returned(self, folder: Path) -> None:
        (folder / "a.json").write_text('{"ä": [1, null]}', encoding="utf-8")
        assert read_json(folder / "a.json") == {"ä": [1, None]}

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            pytest.param(b"{", "cannot be read as JSON", id="cut off"),
            pytest.param(b"", "cannot be read as JSON: it is empty; download or copy it again", id="empty"),
            pytest.param(b'{"a": "\xff"}', "is not text in UTF-8; save it again as such", id="no UTF-8"),
            pytest.param(b"\xff\xfe{\0}\0", "is not text in UTF-8; save it again as such", id="UTF-16"),
            pytest.param(b"[]", "is not a JSON object", id="a list"),
            pytest.param(b"null", "is not a JSON object", id="null"),
            pytest.param(b"[" * 200_000, "is nested too deeply", id="nested without end"),
            pytest.param(b'{"a": ' + b"9" * 10_000 + b"}", "cannot be read as JSON", id="a number of 10,000 digits"),
        ],
    )
    def test_anything_else_is_refused_by_the_name_of_the_file(self, folder: Path, content: bytes, reason: str) -> None:
        (folder / "a.json").write_bytes(content)
        message = refusal(lambda: read_json(folder / "a.json"))
        assert message.startswith(f"{folder}/a.json: ")
        assert reason in message

    def test_a_missing_file_is_refused(self, folder: Path) -> None:
        assert refusal(lambda: read_json(folder / "a.json")) == f"{folder}/a.json: missing"

    def test_a_pipe_is_not_waited_for(self, folder: Path) -> None:
        os.mkfifo(folder / "a.json")
        assert refusal(lambda: read_json(folder / "a.json")) == f"{folder}/a.json: is not a regular file"

    def test_a_giant_is_not_read_to_its_end(self, folder: Path) -> None:
        with (folder / "a.json").open("wb") as file:
            file.truncate(2**40)
        assert refusal(lambda: read_json(folder / "a.json")).endswith(f"is larger than {MAX_JSON_BYTES} bytes")


class TestWeightFiles:
    def find(self, folder: Path) -> tuple[Path, ...] | None:
        return weight_files(folder, "model.bin", "model.bin.index.json")

    def index(self, folder: Path, **weight_map: object) -> None:
        (folder / "model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))

    def test_neither_a_file_nor_an_index_is_nothing(self, folder: Path) -> None:
        assert self.find(folder) is None

    def test_the_whole_file_wins(self, folder: Path) -> None:
        self.index(folder, a="absent.bin")
        (folder / "model.bin").write_bytes(b"")
        assert self.find(folder) == (folder / "model.bin",)

    def test_shards_come_in_order_and_once_each(self, folder: Path) -> None:
        self.index(folder, a="2.bin", b="1.bin", c="2.bin")
        for name in ("1.bin", "2.bin"):
            (folder / name).write_bytes(b"")
        assert self.find(folder) == (folder / "1.bin", folder / "2.bin")

    def test_all_missing_shards_are_named(self, folder: Path) -> None:
        self.index(folder, a="2.bin", b="1.bin", c="3.bin")
        (folder / "2.bin").write_bytes(b"")
        assert refusal(lambda: self.find(folder)).endswith(
            "shards named in model.bin.index.json are missing: 1.bin, 3.bin"
        )

    @pytest.mark.parametrize("name", ["../outside.json", "/etc/hostname", "shards/1.bin", "..", ".", "", "a\nb", 7, []])
    def test_an_index_that_names_no_file_beside_it_is_refused(self, folder: Path, name: object) -> None:
        self.index(folder, a=name)
        assert refusal(lambda: self.find(folder))

    def test_a_shard_that_is_a_link_out_of_the_folder_is_refused(self, folder: Path) -> None:
        self.index(folder, a="1.bin")
        (folder / "1.bin").symlink_to("../outside.json")
        assert "1.bin: leads out of the folder" in refusal(lambda: self.find(folder))

    def test_a_shard_that_is_a_link_to_nothing_is_called_that(self, folder: Path) -> None:
        self.index(folder, a="1.bin")
        (folder / "1.bin").symlink_to("../blobs/1234")
        assert "1.bin: is a link that leads nowhere, to '../blobs/1234'" in refusal(lambda: self.find(folder))

    @pytest.mark.parametrize("weight_map", [None, {}, ["1.bin"], "1.bin"])
    def test_a_spoilt_weight_map_is_refused(self, folder: Path, weight_map: object) -> None:
        (folder / "model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
        assert refusal(lambda: self.find(folder)).endswith("model.bin.index.json: has no weight_map")
