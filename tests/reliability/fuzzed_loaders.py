"""One loader after the other given spoilt files, in a process of its own; `loader_fuzz` starts these processes.

    python -m tests.reliability.fuzzed_loaders LOADER INPUTS SEED FOLDER

Every input must be loaded, or refused by one line that names its file. One that computes for ten seconds, or waits for
two minutes, ends the process, whatever code it is in; address space is limited, so that a length that a file merely
claims cannot be allocated. The input that was tried last lies in FOLDER.
"""

import faulthandler
import json
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import hypothesis
import sentencepiece
import torch
from hypothesis import strategies
from safetensors.torch import save_file

from bigbird_inference.bundle import open_bundle, write_manifest
from bigbird_inference.bundle_files import file_sha256
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import HashedFile
from bigbird_inference.runtime.graph_sessions import check_buckets
from bigbird_inference.tasks.registry import create_task
from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.checkpoints import flax as flax_files
from model_export.checkpoints import pytorch as pytorch_files
from model_export.checkpoints import safetensors_files, tensorflow_files
from model_export.checkpoints.recognise import read_checkpoint
from model_export.checkpoints.tokenizer_json import TokenizerDocument, find_tokenizer_json
from model_export.errors import ExportError
from model_export.export.buckets import plan_buckets
from model_export.export.tokenizer import SpecialIds, write_tokenizer
from model_export.export.tokenizer_json import write_tokenizer_json
from tests.fake_model import fake_manifest
from tests.reliability.spoilt_files import json_values, put_somewhere, spoil_bytes, spoil_json

FIXTURES = Path(__file__).parents[1] / "fixtures"
_SECONDS = 10
_WAITING_SECONDS = 120
_SPARE_BYTES = 2**30
_SPECIAL = {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}
_SPECIAL_IDS = SpecialIds(3, 4, 5)
_TEXT = "In 1987 Zoë\u0301 paid 3,50 € for ﬁve  pens — [SEP] 東京 \U0001f52c."


@dataclass(frozen=True, slots=True)
class FuzzedLoader:
    """A loader and a file that it loads.

    Attributes:
        file: The file's name in the folder.
        prepare: Makes the folder, with that file as it should be.
        load: Reads the folder.
        is_json: Whether the file is spoilt as JSON.
    """

    file: str
    prepare: Callable[[Path], object]
    load: Callable[[Path], object]
    is_json: bool = False


def _make_bundle(folder: Path) -> None:
    train_vocabulary(folder / "tokenizer.model")
    (folder / "weights.bin").write_bytes(b"weights")
    manifest = fake_manifest("classify", (64, 128))
    for graph in manifest.graphs:
        (folder / graph.file).write_bytes(b"graph")

    def hashed(name: str) -> dict[str, str | int]:
        path = folder / name
        return {"file": name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}

    write_manifest(
        replace(
            manifest,
            weights=HashedFile(**hashed("weights.bin")),
            tokenizer=replace(manifest.tokenizer, **hashed("tokenizer.model")),
            graphs=[replace(graph, **hashed(graph.file)) for graph in manifest.graphs],
        ),
        folder,
    )


def _load_bundle(folder: Path) -> None:
    bundle = open_bundle(folder)
    check_buckets(bundle)
    special = bundle.manifest.tokenizer
    tokenizer = Tokenizer(bundle.path(special.file), special.cls_id, special.sep_id, special.pad_id)
    try:
        create_task(bundle.manifest, tokenizer)
    except BundleError as error:  # as in `service.models.loading.load_model`
        raise BundleError(f"{folder / 'manifest.json'}: {error}") from error


def train_vocabulary(path: Path) -> None:
    """Write a vocabulary with byte pieces, control pieces and a small character map."""
    rules = path.with_suffix(".tsv")
    rules.write_text("FB01\t66 69\n301\t\nE9\t65\n")
    with path.open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["the quick brown fox jumps over the lazy dog", "In 1987 Zoe paid 3,50 for pens"]),
            model_writer=stream,
            vocab_size=330,
            byte_fallback=True,
            hard_vocab_limit=False,
            normalization_rule_tsv=str(rules),
            control_symbols=["[CLS]", "[SEP]", "[MASK]", "<pad>"],
            minloglevel=2,
        )


def _make_checkpoint(folder: Path) -> None:
    for name in ("config.json", "spiece.model"):
        shutil.copy(FIXTURES / "flax" / "classify" / name, folder)
    (folder / "tokenizer_config.json").write_text('{"cls_token": "[CLS]", "sep_token": {"content": "[SEP]"}}')
    save_file(_tensors(), folder / "model.safetensors")


def _load_checkpoint(folder: Path) -> None:
    checkpoint = read_checkpoint(folder)
    checkpoint.config.to_dict()
    try:
        plan_buckets(checkpoint.config, None)
    except ExportError as error:
        raise ExportError(f"{folder}: {error}") from error


def _tensors() -> dict[str, torch.Tensor]:
    return {"bert.pooler.weight": torch.ones(4, 4), "bert.pooler.bias": torch.zeros(4), "counter": torch.tensor(7)}


def _make_shards(folder: Path) -> None:
    weight_map = {}
    for number, (name, tensor) in enumerate(_tensors().items()):
        weight_map[name] = f"model-{number}.safetensors"
        save_file({name: tensor}, folder / weight_map[name])
    index = {"metadata": {"total_size": 88}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _make_adapter(folder: Path) -> None:
    for file in (FIXTURES / "lora" / "classify").iterdir():
        shutil.copy(file, folder)
    config = folder / "adapter_config.json"
    base = str(FIXTURES / "pytorch" / "pre-training")
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": base}))


def _load_adapter(folder: Path) -> None:
    # A name of a base that is not a path here would be asked of the hub.
    with mock.patch("model_export.checkpoints.lora.resolve", Path):
        read_checkpoint(folder)


def _load_weights(source: Callable[[Path], object]) -> Callable[[Path], None]:
    def load(folder: Path) -> None:
        weights = source(folder)
        if weights is not None:
            weights.read()  # type: ignore[attr-defined]

    return load


def _load_vocabulary(folder: Path) -> None:
    source, made = folder / "spiece.model", folder / "tokenizer.model"
    ids = write_tokenizer(source.read_bytes(), source, made, _SPECIAL, 10_000)
    try:
        tokenizer = Tokenizer(made, ids.cls, ids.sep, 0, ids.mask).load()
    except BundleError as error:
        raise BundleError(str(error).replace(made.name, source.name)) from error
    tokenizer.tokenize(_TEXT)


def _make_tokenizer_json(folder: Path) -> None:
    from tests.model_export.checkpoints.saved_tokenizers import as_transformers_4

    train_vocabulary(folder / "spiece.model")
    (folder / "tokenizer.json").write_text(json.dumps(as_transformers_4(folder / "spiece.model")))


def _made_tokenizer_json(folder: Path) -> TokenizerDocument:
    _make_tokenizer_json(folder)
    return _found_tokenizer_json(folder)


def _found_tokenizer_json(folder: Path) -> TokenizerDocument:
    found = find_tokenizer_json(folder)
    assert found is not None
    return found


def _load_tokenizer_json(folder: Path) -> None:
    made = folder / "made.json"
    ids = _write_tokenizer_json(_found_tokenizer_json(folder), made)
    try:
        _tokenize(made, ids)
    except BundleError as error:
        raise BundleError(str(error).replace(made.name, "tokenizer.json")) from error


def _write_tokenizer_json(found: TokenizerDocument, made: Path) -> SpecialIds:
    return write_tokenizer_json(json.dumps(found.values).encode(), found.file, made, found.special_tokens, 10_000)


def _tokenize(file: Path, ids: SpecialIds) -> None:
    Tokenizer(file, ids.cls, ids.sep, 0, ids.mask, "tokenizers").load().tokenize(_TEXT)


def _copy(*parts: str) -> Callable[[Path], None]:
    def copy(folder: Path) -> None:
        for file in FIXTURES.joinpath(*parts).iterdir():
            shutil.copy(file, folder)

    return copy


LOADERS: Mapping[str, FuzzedLoader] = {
    "manifest": FuzzedLoader("manifest.json", _make_bundle, _load_bundle, is_json=True),
    "config": FuzzedLoader("config.json", _make_checkpoint, _load_checkpoint, is_json=True),
    "adapter config": FuzzedLoader("adapter_config.json", _make_adapter, _load_adapter, is_json=True),
    "tokenizer config": FuzzedLoader("tokenizer_config.json", _make_checkpoint, _load_checkpoint, is_json=True),
    "safetensors": FuzzedLoader(
        "model.safetensors",
        lambda folder: save_file(_tensors(), folder / "model.safetensors"),
        _load_weights(safetensors_files.find),
    ),
    "shard index": FuzzedLoader(
        "model.safetensors.index.json", _make_shards, _load_weights(safetensors_files.find), is_json=True
    ),
    "pickle": FuzzedLoader(
        "pytorch_model.bin",
        lambda folder: torch.save(_tensors(), folder / "pytorch_model.bin"),
        _load_weights(pytorch_files.find),
    ),
    "msgpack": FuzzedLoader("flax_model.msgpack", _copy("flax", "multiple-choice"), _load_weights(flax_files.find)),
    "vocabulary": FuzzedLoader(
        "spiece.model", lambda folder: train_vocabulary(folder / "spiece.model"), _load_vocabulary
    ),
    "tokenizer.json": FuzzedLoader(
        "tokenizer.json",
        _make_tokenizer_json,
        _load_tokenizer_json,
        is_json=True,
    ),
    "tokenizer.json of a bundle": FuzzedLoader(
        "tokenizer.json",
        lambda folder: _write_tokenizer_json(_made_tokenizer_json(folder), folder / "tokenizer.json"),
        lambda folder: _tokenize(folder / "tokenizer.json", _SPECIAL_IDS),
        is_json=True,
    ),
    "tensorflow index": FuzzedLoader("model.ckpt-0.index", _copy("google", "classifier"), tensorflow_files.find),
}


class Fuzzing:
    """Tries inputs, and counts what becomes of them."""

    def __init__(self, loader: FuzzedLoader, folder: Path) -> None:
        self.loader = loader
        self.folder = folder
        self.path = folder / loader.file
        self.loaded = self.refused = 0
        self.slowest = 0.0
        self.failures: list[str] = []

    def attempt(self, content: bytes) -> None:
        """Load one input; it must be loaded, or refused by one line that names its file."""
        self.path.write_bytes(content)
        began = time.process_time()
        faulthandler.dump_traceback_later(_WAITING_SECONDS, exit=True)
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)  # of processor time, whose signal ends the process
        try:
            self.loader.load(self.folder)
            self.loaded += 1
        except (BundleError, ExportError) as error:
            self.refused += 1
            message = str(error)
            if not message.isprintable() or len(message) > 2000 or str(self.folder) not in message:
                self._failed(f"the refusal is not one line about its file: {message[:300]!r}")
        except Exception as error:
            self._failed(f"{type(error).__name__}: {error}"[:300])
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.cancel_dump_traceback_later()
            self.slowest = max(self.slowest, time.process_time() - began)

    def _failed(self, what: str) -> None:
        kept = self.folder.with_name(f"{self.folder.name}-failure-{len(self.failures)}")
        if len(self.failures) < 20:
            shutil.copytree(self.folder, kept)
            self.failures.append(f"{self.loader.file}: {what} (kept in {kept})")


def _attempt_generated(fuzzing: Fuzzing, original: bytes, count: int) -> None:
    """Let hypothesis think of inputs: any JSON in any place, or any bytes there."""

    @hypothesis.settings(
        max_examples=count,
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategies.integers(0, 2**32), json_values, strategies.binary(max_size=200))
    def attempt(place: int, value: object, content: bytes) -> None:
        if fuzzing.loader.is_json:
            values = put_somewhere(json.loads(original), value, random.Random(place))
            fuzzing.attempt(json.dumps(values).encode())
        else:
            start = place % (len(original) + 1)
            fuzzing.attempt(original[:start] + content + original[start + len(content) * (place % 2) :])

    if count:
        attempt()


def fuzz(name: str, inputs: int, seed: int, folder: Path) -> dict[str, object]:
    """Try so many inputs, a tenth of them hypothesis's; return what `loader_fuzz` wants to know."""
    loader = LOADERS[name]
    folder.mkdir(parents=True)
    loader.prepare(folder)
    loader.load(folder)
    original = (folder / loader.file).read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _SPARE_BYTES,) * 2)
    fuzzing, chance = Fuzzing(loader, folder), random.Random(f"{name} {seed}")
    spoil = spoil_json if loader.is_json else spoil_bytes
    _attempt_generated(fuzzing, original, inputs // 10)
    while fuzzing.loaded + fuzzing.refused + len(fuzzing.failures) < inputs:
        fuzzing.attempt(spoil(original, chance))
    return {
        "inputs": inputs,
        "loaded": fuzzing.loaded,
        "refused": fuzzing.refused,
        "slowest": fuzzing.slowest,
        "peak_bytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024,
        "failures": fuzzing.failures,
    }


if __name__ == "__main__":
    print(json.dumps(fuzz(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))
