"""The tokenizer as the bundle holds it: no piece of it can be called up from a user's text.

SentencePiece turns user-defined pieces ("[SEP]", "<s>", ...) into their control ids wherever they stand in a text.
Re-typed as unused, they are ordinary characters there; the service adds the ids around a text itself. Some of them may
be markup that texts had in training ("<row>"); those stay if they are named, and never those that steer the model.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bigbird_inference.manifest import AddedToken
from bigbird_inference.tokenization.charsmap import check_charsmap
from model_export.checkpoints.checkpoint_tokenizer import parse_sentencepiece
from model_export.errors import CheckpointError

WHERE_NAMED = "if they have other names, say so in special_tokens_map.json; or take another tokenizer with --tokenizer"
"""What to do about special tokens that are not found."""


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Ids that are added around texts; `mask` is None where the vocabulary has none."""

    cls: int
    sep: int
    mask: int | None


def write_tokenizer(
    serialised: bytes,
    source: Path,
    destination: Path,
    pieces: Mapping[str, str],
    vocab_size: int,
    *,
    added_tokens: Sequence[AddedToken] = (),
    text_pieces: Collection[str] = (),
) -> SpecialIds:
    """Write the bundle's SentencePiece model.

    Args:
        serialised: The checkpoint's SentencePiece model.
        source: The file that it came from, for messages.
        destination: The file to write.
        pieces: The special tokens' pieces by role: `cls`, `sep`, `pad`, `mask`; the last two may be missing.
        vocab_size: Rows of the model's word embeddings.
        added_tokens: Tokens beside the model's pieces; special ones may be those of a role.
        text_pieces: User-defined pieces that stay as they are.

    Raises:
        CheckpointError: The file is not a SentencePiece model, lacks a special piece, has more pieces than embeddings,
            or a character map with which SentencePiece would read foreign memory.
    """
    model = parse_sentencepiece(serialised, source)
    try:
        check_charsmap(model.normalizer_spec.precompiled_charsmap)
        check_charsmap(model.denormalizer_spec.precompiled_charsmap)
    except ValueError as error:
        raise CheckpointError(f"{source}: precompiled_charsmap: {error}") from None
    if len(model.pieces) > vocab_size:
        raise CheckpointError(f"{source}: has {len(model.pieces)} pieces, but vocab_size is {vocab_size}")
    ids = {piece.piece: index for index, piece in enumerate(model.pieces)}
    ids |= {token.content: token.id for token in added_tokens if token.special}
    missing = [f"{role} {pieces[role]!r}" for role in ("cls", "sep") if pieces[role] not in ids]
    if missing:
        raise CheckpointError(f"{source}: lacks the special pieces {', '.join(missing)}; {WHERE_NAMED}")

    roles = {pieces[role] for role in ("cls", "sep", "mask", "pad")}
    for piece in model.pieces:
        is_role = piece.piece in roles and piece.type == piece.NORMAL
        is_user_defined = piece.type == piece.USER_DEFINED and piece.piece not in text_pieces
        if is_user_defined or is_role:
            piece.type = piece.UNUSED
    destination.write_bytes(model.SerializeToString(deterministic=True))
    return SpecialIds(cls=ids[pieces["cls"]], sep=ids[pieces["sep"]], mask=ids.get(pieces["mask"]))
