"""Tiny SentencePiece vocabularies of three kinds, and manifests that need no files."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from bigbird_inference.manifest import HashedFile, Manifest, Source, TokenizerFile
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.cpu_runtimes import exports_without_openvino
from tests.fake_model import MODEL_CONFIG, fake_bucket, fake_graph, graph_inputs, graph_outputs
from tests.vocabularies import SPECIAL_PIECES, open_tokenizer, retype_user_defined_pieces, train_vocabulary

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


# One process runs a file: these take longest, and begun last they would leave the other cores with nothing to do.
LONGEST_FILES = (
    "test_nothing_leaves.py",
    "test_look_alikes.py",
    "test_documented_sequence.py",
    "test_every_length.py",
    "test_make_demo.py",
    "test_openapi.py",
    "test_pdf_corpus.py",
    "test_parity_with_a_dense_mask.py",
    "test_evaluate.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, in the order of their list."""
    places = {name: place for place, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session", autouse=True)
def _exports_without_openvino() -> Iterator[None]:
    """Spare exports a second each, and have the same bundles on every machine; `exports_with_openvino` undoes it."""
    with exports_without_openvino():
        yield


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The folder of the whole test run, which all the processes have that its tests are spread over."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if hasattr(request.config, "workerinput") else folder


@pytest.fixture(scope="session")
def shared_traces(run_folder: Path) -> Iterator[None]:
    """Trace equal graphs once."""
    # Only tests that export need torch.
    from tests.model_export import shared_traces

    with shared_traces.shared_traces(run_folder / "traces"):
        yield


@pytest.fixture(scope="session")
def control_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unigram, NFKC, byte fallback; the special pieces are control symbols."""
    prefix = tmp_path_factory.mktemp("control") / "control"
    return train_vocabulary(
        prefix,
        vocab_size=520,
        byte_fallback=True,
        character_coverage=0.98,
        control_symbols=list(SPECIAL_PIECES[1:]),
    )


@pytest.fixture(scope="session")
def user_defined_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BPE, text taken as it is, unknown pieces; the special pieces and "<s>", "<t>" come out of texts."""
    prefix = tmp_path_factory.mktemp("user_defined") / "user_defined"
    return train_vocabulary(
        prefix,
        vocab_size=300,
        model_type="bpe",
        normalization_rule_name="identity",
        user_defined_symbols=[*SPECIAL_PIECES[1:], "<s>", "<t>"],
    )


@pytest.fixture(scope="session")
def retyped_vocabulary(user_defined_vocabulary: Path) -> Path:
    """The user-defined vocabulary as a bundle holds it."""
    return retype_user_defined_pieces(user_defined_vocabulary, user_defined_vocabulary.with_name("retyped.model"))


@pytest.fixture(scope="session")
def suffix_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unigram with case folding; spaces end pieces instead of beginning them, and pieces may span words."""
    prefix = tmp_path_factory.mktemp("suffix") / "suffix"
    return train_vocabulary(
        prefix,
        vocab_size=520,
        byte_fallback=True,
        normalization_rule_name="nmt_nfkc_cf",
        treat_whitespace_as_suffix=True,
        split_by_whitespace=False,
        control_symbols=list(SPECIAL_PIECES[1:]),
    )


@pytest.fixture(scope="session")
def tokenizer(control_vocabulary: Path) -> Tokenizer:
    return open_tokenizer(control_vocabulary)


@pytest.fixture(
    scope="session",
    params=["control_vocabulary", "retyped_vocabulary", "suffix_vocabulary"],
    ids=["control pieces and bytes", "re-typed pieces and unknowns", "spaces as suffixes and case folding"],
)
def any_tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Each of the three kinds of vocabulary in turn."""
    return open_tokenizer(request.getfixturevalue(request.param))


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., Manifest]:
    """Return a function that makes a manifest without a bundle; keywords replace fields."""

    def make(**fields: Any) -> Manifest:
        defaults: dict[str, Any] = {
            "format_version": 2,
            "task": "qa",
            "labels": [],
            "problem_type": None,
            "pattern": "transformers",
            "precision": "fp32",
            "pair_types": "segments",
            "block_size": 16,
            "max_length": 64,
            "max_batch_items": None,
            "tokenizer": TokenizerFile(
                "tokenizer.model", 1, "0" * 64, cls_id=1, sep_id=2, pad_id=0, mask_id=3, eos_id=None
            ),
            "weights": HashedFile("weights.bin", 1, "0" * 64),
            "inputs": graph_inputs(fields.get("task", "qa")),
            "outputs": graph_outputs(fields.get("task", "qa")),
            "graphs": [fake_graph(64, block_size=16)],
            "buckets": [fake_bucket(64)],
            "source": Source("test", "safetensors", "0" * 64, []),
            "model": MODEL_CONFIG,
            "versions": {},
        }
        return Manifest(**{**defaults, **fields})

    return make
