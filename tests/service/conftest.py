"""Tiny SentencePiece vocabularies of three kinds, and manifests that need no files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from service.bundle import Bucket, HashedFile, Manifest, Parity, Source, TokenizerFile
from service.tokenization.tokenizer import Tokenizer

SPECIAL_PIECES = ("<pad>", "[CLS]", "[SEP]", "[MASK]")

CORPUS = [
    "Alice Smith leads the Acme project in New York since March 2024.",
    "The budget of project Borealis is 2.5 million euros, said Bob Jones.",
    "Who leads the project? Where is the office of Acme? What is the budget?",
    "The office for finance is in Paris, and Carol Stone works there.",
    "Zürich, München and São Paulo are cities; 北京 and 東京 too.",
    "naïve café résumé coöperate façade x²  ½  10 % of office staff (offline)",
] * 30


def train_vocabulary(prefix: Path, **options: Any) -> Path:
    """Train a vocabulary whose first four pieces are padding, CLS, SEP and mask."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_prefix=str(prefix),
        hard_vocab_limit=False,
        pad_id=0,
        pad_piece="<pad>",
        unk_id=4,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return prefix.with_suffix(".model")


def retype_user_defined_pieces(source: Path, target: Path) -> Path:
    """Write the model with every user-defined piece marked as unused, as an export does."""
    model = sentencepiece_model_pb2.ModelProto.FromString(source.read_bytes())
    for piece in model.pieces:
        if piece.type == piece.USER_DEFINED:
            piece.type = piece.UNUSED
    target.write_bytes(model.SerializeToString())
    return target


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


def open_tokenizer(model_file: Path) -> Tokenizer:
    """Find the special ids by their pieces, and load."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
    pad, cls, sep, mask = (processor.piece_to_id(piece) for piece in SPECIAL_PIECES)
    return Tokenizer(model_file, cls_id=cls, sep_id=sep, pad_id=pad, mask_id=mask).load()


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
        bucket = Bucket(
            length=64,
            attention="full",
            file="graph-64.onnx",
            bytes=1,
            sha256="0" * 64,
            parity=Parity(0.0, 1.0, 1e-4, [1]),
            peak_memory_bytes=None,
        )
        defaults: dict[str, Any] = {
            "format_version": 1,
            "task": "qa",
            "labels": [],
            "problem_type": None,
            "pattern": "transformers",
            "precision": "fp32",
            "pair_types": "segments",
            "block_size": 16,
            "max_length": 64,
            "tokenizer": TokenizerFile("tokenizer.model", 1, "0" * 64, cls_id=1, sep_id=2, pad_id=0, mask_id=3),
            "weights": HashedFile("weights.bin", 1, "0" * 64),
            "inputs": [],
            "outputs": [],
            "buckets": [bucket],
            "source": Source("test", "0" * 64),
            "model": {"type_vocab_size": 2},
            "versions": {},
        }
        return Manifest(**{**defaults, **fields})

    return make
