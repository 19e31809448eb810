"""Files in flax's form as they are read, those that are refused, and the table of names against its own files."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_export.checkpoints.flax import FlaxWeights, find, flax_names
from model_export.checkpoints.pytorch import huggingface_names
from model_export.checkpoints.source_tensors import SourceTensor
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError
from model_export.nn.heads import HEADS
from model_export.nn.model import build_model
from model_export.patterns.registry import get_pattern
from tests.model_export.checkpoints.exported_fixtures import FIXTURES
from tests.model_export.checkpoints.flax_packing import array, chunked, packed_array

WHOLE = FIXTURES / "flax" / "classify" / "flax_model.msgpack"


def read(content: bytes, folder: Path) -> dict[str, torch.Tensor]:
    """Read a file of that content alone in a folder."""
    (folder / "flax_model.msgpack").write_bytes(content)
    weights = find(folder)
    assert weights is not None
    return weights.read().tensors


def refusal(content: bytes, folder: Path) -> str:
    """Return why a file is refused, which is one line that begins with its name."""
    with pytest.raises(CheckpointError) as refused:
        read(content, folder)
    message = str(refused.value)
    assert "\n" not in message
    prefix = f"{folder / 'flax_model.msgpack'}: cannot be read as Flax weights: "
    assert message.startswith(prefix)
    return message.removeprefix(prefix)


def test_nested_maps_become_paths(tmp_path: Path) -> None:
    content = msgpack.packb({"bert": {"pooler": {"bias": array([1, 2])}}, "classifier": {"kernel": array([[3], [4]])}})
    tensors = read(content, tmp_path)
    assert tensors.keys() == {"bert/pooler/bias", "classifier/kernel"}
    assert tensors["bert/pooler/bias"].tolist() == [1, 2]
    assert tensors["classifier/kernel"].tolist() == [[3], [4]]


def test_an_encoder_saved_by_itself_gets_the_prefix_that_it_lacks(tmp_path: Path) -> None:
    words = {"word_embeddings": {"embedding": array([[1]])}}
    tree = {"embeddings": words, "pooler": {"bias": array([1])}, "other": {"bias": array([2])}}
    names = {"bert/embeddings/word_embeddings/embedding", "bert/pooler/bias", "other/bias"}
    assert read(msgpack.packb(tree), tmp_path).keys() == names
    assert read(msgpack.packb({"params": tree}), tmp_path).keys() == names
    assert read(msgpack.packb({"params": {"bert": tree}}), tmp_path).keys() >= {"bert/pooler/bias"}


def test_a_file_that_was_cut_off_is_called_that(tmp_path: Path) -> None:
    content = WHOLE.read_bytes()[:1000]
    assert refusal(content, tmp_path) == "it is cut off after 1000 bytes; download or copy it again"


@pytest.mark.parametrize("type_name", ["float64", "float32", "float16", "int64", "int32", "uint8", "bool"])
def test_number_types_are_kept(type_name: str, tmp_path: Path) -> None:
    tensor = read(msgpack.packb({"a": array([[1, 0, 1]], type_name)}), tmp_path)["a"]
    assert str(tensor.dtype) == f"torch.{type_name}"
    assert tensor.tolist() == [[1, 0, 1]]


def test_bfloat16_is_read_as_it_is_stored(tmp_path: Path) -> None:
    # Sign, eight bits of exponent, seven of mantissa: 1.5 is 0x3fc0, -2 is 0xc000; little end first.
    content = msgpack.packb({"a": packed_array([2], "bfloat16", b"\xc0\x3f\x00\xc0")})
    tensor = read(content, tmp_path)["a"]
    assert tensor.dtype == torch.bfloat16
    assert tensor.tolist() == [1.5, -2]


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)], ids=["a scalar", "no elements", "no elements in rows"])
def test_arrays_of_few_elements_are_read(shape: tuple[int, ...], tmp_path: Path) -> None:
    tensor = read(msgpack.packb({"a": array(np.full(shape, 7.0))}), tmp_path)["a"]
    assert tensor.shape == shape
    assert (tensor == 7).all()


def test_chunks_are_put_together_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    chunks = {str(number): array([number]) for number in sorted(range(12), key=str)}
    content = msgpack.packb({"a": {"b": chunked(chunks, {"0": 3, "1": 4})}})
    assert read(content, tmp_path)["a/b"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_what_flax_wrote_in_other_forms_is_what_the_fixtures_are_meant_to_hold() -> None:
    assert b"__msgpack_chunked_array__" in (FIXTURES / "flax" / "qa" / "flax_model.msgpack").read_bytes()
    assert b"bfloat16" in (FIXTURES / "flax" / "multiple-choice" / "flax_model.msgpack").read_bytes()
    sharded = find(FIXTURES / "flax" / "ner")
    assert sharded is not None
    assert [file.name for file in sharded.files] == [f"flax_model-0000{n}-of-00003.msgpack" for n in (1, 2, 3)]
    index = json.loads((FIXTURES / "flax" / "ner" / "flax_model.msgpack.index.json").read_text())
    assert sharded.read().tensors.keys() == index["weight_map"].keys()


def test_a_folder_without_flax_weights_has_none(tmp_path: Path) -> None:
    assert find(tmp_path) is None


@pytest.mark.parametrize("kept", [0, 1, 100, 5000, -1], ids=lambda kept: f"cut at {kept}")
def test_a_cut_file_is_refused(kept: int, tmp_path: Path) -> None:
    assert refusal(WHOLE.read_bytes()[:kept], tmp_path)


def test_bytes_after_the_end_are_refused(tmp_path: Path) -> None:
    assert "extra data" in refusal(WHOLE.read_bytes() + b"\x00", tmp_path)


GIANT = 2**40
REFUSED: dict[str, tuple[Any, str]] = {
    "a number": (7, "it does not hold named arrays"),
    "a list": ([array([1])], "exceeds max_array_len"),
    "an array without a name": (array([1]), "it does not hold named arrays"),
    "a text among the arrays": ({"a": "text"}, "'a' is not an array"),
    "a number for a name": ({7: array([1])}, "int is not allowed for map key"),
    "bytes for a name": ({b"a": array([1])}, "b'a' is not a name"),
    "a name of two lines": ({"a\nb": array([1])}, "'a\\nb' is not a name"),
    "an object of another extension": ({"a": msgpack.ExtType(42, b"x")}, "extension type 42 is not an array"),
    "a complex number": ({"a": msgpack.ExtType(2, msgpack.packb((1.0, 2.0)))}, "extension type 2 is not an array"),
    "a point in time": ({"a": msgpack.Timestamp(1)}, "'a' is not an array"),
    "an array of objects": ({"a": packed_array([1], "object", b"x" * 8)}, "elements of type 'object'"),
    "an array of an invented type": ({"a": packed_array([1], "x" * 9999, b"x")}, f"elements of type '{'x' * 40}'"),
    "a type that is not text": ({"a": packed_array([1], "\udcff".encode("utf-8", "surrogateescape"), b"x")}, "type"),
    "a giant array": ({"a": packed_array([GIANT, GIANT], "float32", b"")}, "has 0 bytes"),
    "an array of astronomic size": ({"a": packed_array([2**63, 2], "float32", b"")}, "not a list of sizes"),
    "a negative size": ({"a": packed_array([-1], "float32", b"")}, "not a list of sizes"),
    "a true size": ({"a": packed_array([True], "uint8", b"x")}, "not a list of sizes"),
    "a fraction of a size": ({"a": packed_array([1.0], "uint8", b"x")}, "not a list of sizes"),
    "too few bytes": ({"a": packed_array([3], "float32", b"x" * 8)}, "has 8 bytes"),
    "too many dimensions": ({"a": packed_array([1] * 9, "uint8", b"x")}, "exceeds max_array_len"),
    "a shape that is not a list": ({"a": packed_array(1, "uint8", b"x")}, "not packed as shape, type and bytes"),
    "a fourth part": ({"a": packed_array([1], "uint8", b"x", 1)}, "not packed as shape, type and bytes"),
    "no parts": ({"a": msgpack.ExtType(1, b"")}, "incomplete input"),
    "chunks that are not a map": ({"a": chunked(1, {"0": 1})}, "chunks that do not fit together"),
    "chunks with a gap": ({"a": chunked({"0": array([1]), "2": array([1])}, {"0": 2})}, "do not fit together"),
    "chunks of two types": (
        {"a": chunked({"0": array([1]), "1": array([1], "float16")}, {"0": 2})},
        "do not fit together",
    ),
    "chunks with an object": ({"a": chunked({"0": msgpack.ExtType(9, b"")}, {"0": 1})}, "extension type 9"),
    "chunks that announce a giant": ({"a": chunked({"0": array([1])}, {"0": GIANT})}, "do not fill its shape"),
    "chunks of a shape that is none": ({"a": chunked({"0": array([1])}, {"0": "1"})}, "not a list of sizes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_map_of_arrays_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    content, reason = REFUSED[case]
    assert reason in refusal(msgpack.packb(content, strict_types=True), tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xdd\xff\xff\xff\xff", id="a list of four billion"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="a map of four billion"),
        pytest.param(b"\x81\xa1a\xc9\xff\xff\xff\xff\x01", id="an extension of four gigabytes"),
        pytest.param(b"\x81\xa1a" * 100_000, id="maps in maps without end"),
        pytest.param(b"\x81\xa1a" * 400 + b"\xc0", id="nothing below many maps"),
        pytest.param(b"\xc1", id="a byte that means nothing"),
        pytest.param(b"PK\x03\x04 an archive", id="an archive"),
    ],
)
def test_what_a_file_only_announces_takes_no_memory(content: bytes, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(content, tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_memory_stays_a_small_multiple_of_the_file(tmp_path: Path) -> None:
    """In a process of its own, whose peak is that of the reading."""
    file = tmp_path / "flax_model.msgpack"
    file.write_bytes(msgpack.packb({str(number): array(np.zeros(2_500_000)) for number in range(10)}))
    program = (
        "import resource, sys; from pathlib import Path; from model_export.checkpoints.flax import find\n"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "find(Path(sys.argv[1])).read()\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * 1024)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 3 * file.stat().st_size


@given(position=st.integers(0, 3000), value=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(position: int, value: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(msgpack.packb({"bert": {f"part{n}": array(np.arange(30.0)) for n in range(20)}}))
    content[position % len(content)] = value
    file = tmp_path_factory.getbasetemp() / "changed.msgpack"
    file.write_bytes(content)
    try:
        tensors = FlaxWeights((file,)).read().tensors
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())


POOLER = {"bert/pooler/kernel", "bert/pooler/bias"}
SEQUENCE_PAIRS = {"cls/seq_relationship/kernel", "cls/seq_relationship/bias"}


@pytest.mark.parametrize("use_bias", [True, False], ids=["with query, key and value biases", "without them"])
@pytest.mark.parametrize("tied", [True, False], ids=["decoder tied", "decoder not tied"])
@pytest.mark.parametrize("task", HEADS)
def test_each_tensor_of_our_model_has_one_name(task: str, tied: bool, use_bias: bool) -> None:
    config = BigBirdConfig(
        vocab_size=60,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=128,
        block_size=16,
        num_random_blocks=1,
        tie_word_embeddings=tied,
        use_bias=use_bias,
    )
    names = flax_names(task, config)
    assert names.keys() == build_model(config, task, get_pattern("none")).state_dict().keys()
    assert names.keys() == huggingface_names(task, config).keys()
    assert len({source.name for source in names.values()}) == len(names)


@pytest.mark.parametrize(
    ("folder", "task", "unread"),
    [
        ("qa", "qa", set()),
        ("classify", "classify", POOLER),
        ("ner", "ner", set()),
        ("fill-mask", "fill-mask", set()),
        ("pre-training", "fill-mask", POOLER | SEQUENCE_PAIRS),
        ("multiple-choice", "multiple-choice", set()),
        ("embed", "embed", set()),
    ],
)
def test_the_names_are_those_that_flax_writes(folder: str, task: str, unread: set[str]) -> None:
    weights = find(FIXTURES / "flax" / folder)
    assert weights is not None
    config = BigBirdConfig(num_hidden_layers=2)
    assert {source.name for source in flax_names(task, config).values()} == set(weights.read().tensors) - unread


def test_an_encoder_without_a_pooler_has_none_in_the_table() -> None:
    names = flax_names("embed", BigBirdConfig(has_pooler=False))
    assert not [name for name in names if name.startswith("head.")]


def test_matrices_lie_the_other_way_round_and_embeddings_do_not() -> None:
    names = flax_names("fill-mask", BigBirdConfig(tie_word_embeddings=False))
    assert names["embeddings.word.weight"] == SourceTensor("bert/embeddings/word_embeddings/embedding", "same")
    assert names["encoder.layers.3.attention.norm.weight"] == SourceTensor(
        "bert/encoder/layer/3/attention/output/LayerNorm/scale", "same"
    )
    assert names["encoder.layers.3.attention.key.weight"] == SourceTensor(
        "bert/encoder/layer/3/attention/self/key/kernel", "transposed"
    )
    assert names["head.decoder_weight"] == SourceTensor("cls/predictions/decoder/kernel", "transposed")
