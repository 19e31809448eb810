"""How the tests make, re-type and open SentencePiece vocabularies."""

from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from bigbird_inference.tokenization.tokenizer import Tokenizer

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


def open_tokenizer(model_file: Path) -> Tokenizer:
    """Find the special ids by their pieces, and load."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
    pad, cls, sep, mask = (processor.piece_to_id(piece) for piece in SPECIAL_PIECES)
    return Tokenizer(model_file, cls_id=cls, sep_id=sep, pad_id=pad, mask_id=mask).load()
