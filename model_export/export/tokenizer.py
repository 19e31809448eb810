"""The tokenizer as the bundle holds it: no piece of it can be called up from a user's text.

SentencePiece turns user-defined pieces ("[SEP]", "<s>", ...) into their control ids wherever they stand in a text.
Re-typed as unused, they are ordinary characters there; the service adds the ids around a text itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2

from bigbird_inference.tokenization.charsmap import check_charsmap
from model_export.errors import CheckpointError

# The generated module makes its classes at import, out of mypy's sight.
_MODEL_PROTO = sentencepiece_model_pb2.ModelProto  # type: ignore[attr-defined]
_PIECE_TYPE = _MODEL_PROTO.SentencePiece


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Ids that are added around texts; `mask` is None where the vocabulary has none."""

    cls: int
    sep: int
    mask: int | None


def write_tokenizer(
    serialised: bytes, source: Path, destination: Path, pieces: Mapping[str, str], vocab_size: int
) -> SpecialIds:
    """Write the bundle's SentencePiece model.

    Args:
        serialised: The checkpoint's SentencePiece model.
        source: The file that it came from, for messages.
        destination: The file to write.
        pieces: The special tokens' pieces by role: `cls`, `sep`, `pad`, `mask`; the last two may be missing.
        vocab_size: Rows of the model's word embeddings.

    Raises:
        CheckpointError: The file is no SentencePiece model, lacks a special piece, has more pieces than embeddings, or
            a character map with which SentencePiece would read foreign memory.
    """
    model = _MODEL_PROTO()
    try:
        model.ParseFromString(serialised)
    except DecodeError:
        raise CheckpointError(f"{source}: is not a SentencePiece model") from None
    try:
        check_charsmap(model.normalizer_spec.precompiled_charsmap)
        check_charsmap(model.denormalizer_spec.precompiled_charsmap)
    except ValueError as error:
        raise CheckpointError(f"{source}: precompiled_charsmap: {error}") from None
    if len(model.pieces) > vocab_size:
        raise CheckpointError(f"{source}: has {len(model.pieces)} pieces, but vocab_size is {vocab_size}")
    ids = {piece.piece: index for index, piece in enumerate(model.pieces)}
    missing = [f"{role} {pieces[role]!r}" for role in ("cls", "sep") if pieces[role] not in ids]
    if missing:
        raise CheckpointError(f"{source}: lacks the special pieces {', '.join(missing)}")

    roles = {pieces[role] for role in ("cls", "sep", "mask", "pad")}
    for piece in model.pieces:
        is_role = piece.piece in roles and piece.type == _PIECE_TYPE.NORMAL
        if piece.type == _PIECE_TYPE.USER_DEFINED or is_role:
            piece.type = _PIECE_TYPE.UNUSED
    destination.write_bytes(model.SerializeToString(deterministic=True))
    return SpecialIds(cls=ids[pieces["cls"]], sep=ids[pieces["sep"]], mask=ids.get(pieces["mask"]))
