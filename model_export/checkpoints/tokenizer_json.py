"""`tokenizer.json` as a SentencePiece model: what a checkpoint that transformers 5 saved has instead of `spiece.model`.

The service tokenises with SentencePiece. BigBird's vocabularies are SentencePiece models, and transformers writes them
as a Unigram (or BPE) model of the `tokenizers` library with rules for white space around it; here that is undone. What
SentencePiece cannot do is refused by name, and the result is compared with `tokenizers` (`same_ids`) before it is used.

Tokens that were added to the vocabulary become pieces that no text contains: control pieces if the file calls them
special, user-defined ones otherwise, which the export re-types as unused.

Scores of a SentencePiece BPE model from the ordered merges of a `tokenizer.json`. `tokenizers` joins the pair that
stands first in a list; SentencePiece joins the two neighbours whose joined piece has the highest score, whichever two
they are. Both do the same if every way to put a piece together is in the list, and the ways of one piece follow one
another: then a piece's place in the list is its score.
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from model_export.checkpoints.files import read_json
from model_export.checkpoints.same_ids import check_same_ids
from model_export.checkpoints.text_rules import SPACE_SYMBOL, TextRules, read_text_rules
from model_export.checkpoints.typed_fields import Unusable, flag, integer, items, mapping, string
from model_export.errors import CheckpointError


def scores_of_merges(merges: Sequence[object], pieces: set[str]) -> dict[str, float]:
    """Return the score of every piece that a merge makes: 0, -1, -2, ... in the order of the merges.

    Args:
        merges: Pairs, or strings of two pieces with a space between.
        pieces: The vocabulary without added tokens.

    Raises:
        Unusable: A merge is no pair of pieces, or the list is one that scores cannot express.
    """
    pairs: set[tuple[str, str]] = set()
    scores: dict[str, float] = {}
    newest = None
    for index, entry in enumerate(merges):
        where = f"model.merges[{index}]"
        left, right = _pair(entry, where)
        joined = left + right
        if not {left, right, joined} <= pieces:
            raise Unusable(f"{where}: {left[:40]!r} and {right[:40]!r} are not pieces that make a piece")
        if joined in scores and joined != newest:
            raise Unusable(f"{where}: {joined[:40]!r} is made at two places of the list; SentencePiece has one score")
        scores.setdefault(joined, -float(len(scores)))
        newest = joined
        pairs.add((left, right))
    for joined in pieces:
        for cut in range(1, len(joined)):
            left, right = joined[:cut], joined[cut:]
            if left in pieces and right in pieces and (left, right) not in pairs:
                raise Unusable(f"model.merges: lacks {left[:40]!r} with {right[:40]!r}, which SentencePiece would join")
    return scores


def _pair(entry: object, where: str) -> tuple[str, str]:
    parts = entry.split(" ") if isinstance(entry, str) else items(entry, where)
    if len(parts) != 2:
        raise Unusable(f"{where}: is not a pair")
    return string(parts[0], where), string(parts[1], where)


# The generated module makes its classes at import, out of mypy's sight.
_MODEL_PROTO = sentencepiece_model_pb2.ModelProto  # type: ignore[attr-defined]
_TRAINER_SPEC = sentencepiece_model_pb2.TrainerSpec  # type: ignore[attr-defined]
_TYPE = _MODEL_PROTO.SentencePiece

# Far above any vocabulary; keeps the work on a text in proportion to its length.
_LONGEST_PIECE = 512

# A non-special added token must look like one: `<sep_0>`, `[unused1]`. A word would be split up in the service.
_BRACKETED = re.compile(r"<.*>|\[.*\]", re.DOTALL)

_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """Pieces and scores by id, and what the model does with characters that it does not hold."""

    pieces: list[tuple[str, float]]
    model_type: int
    unk_id: int
    byte_fallback: bool


def sentencepiece_from_tokenizer_json(file: Path) -> bytes:
    """Convert a `tokenizer.json` to a serialised SentencePiece model with the same ids.

    Args:
        file: The `tokenizer.json`.

    Raises:
        CheckpointError: The file cannot be read, holds what SentencePiece cannot express, or the result gives a
            text other ids than `tokenizers` does; one line names the field or the text.
    """
    values = read_json(file)
    try:
        rules = read_text_rules(values.get("normalizer"), values.get("pre_tokenizer"))
        added = _read_added_tokens(values.get("added_tokens"))
        vocabulary = _read_vocabulary(mapping(values.get("model"), "model"), added.keys())
        model = _build(vocabulary, added, rules).SerializeToString(deterministic=True)
        check_same_ids(values, model, skip=frozenset(added))
    except Unusable as error:
        raise CheckpointError(f"{file}: {error}") from None
    return bytes(model)


def _read_vocabulary(model: Mapping[str, Any], added: Set[str]) -> _Vocabulary:
    # Old files name no type; only Unigram models list their pieces.
    kind = model.get("type", "Unigram" if isinstance(model.get("vocab"), list) else None)
    if kind == "Unigram":
        return _read_unigram(model)
    if kind == "BPE":
        return _read_bpe(model, added)
    raise Unusable(f"model.type: {str(kind)[:40]!r} is not a model of SentencePiece (Unigram or BPE)")


def _read_unigram(model: Mapping[str, Any]) -> _Vocabulary:
    pieces = []
    for index, entry in enumerate(items(model.get("vocab"), "model.vocab")):
        where = f"model.vocab[{index}]"
        if not isinstance(entry, list) or len(entry) != 2:
            raise Unusable(f"{where}: is not a piece and its score")
        piece, score = _piece(entry[0], where), entry[1]
        # Also refuses what is not a number: NaN is not less than anything.
        if not isinstance(score, int | float) or isinstance(score, bool) or not abs(score) < 1e30:
            raise Unusable(f"{where}: its score is no number, or too large")
        pieces.append((piece, float(score)))
    unk_id = integer(model.get("unk_id"), "model.unk_id", below=len(pieces))
    return _Vocabulary(
        pieces, _TRAINER_SPEC.UNIGRAM, unk_id, flag(model.get("byte_fallback", False), "model.byte_fallback")
    )


def _read_bpe(model: Mapping[str, Any], added: Set[str]) -> _Vocabulary:
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name) not in (None, ""):
            raise Unusable(f"model.{name}: is set, which SentencePiece does not have")
    if flag(model.get("ignore_merges", False), "model.ignore_merges"):
        raise Unusable("model.ignore_merges: is true, which SentencePiece does not have")
    if not flag(model.get("fuse_unk", False), "model.fuse_unk"):
        raise Unusable("model.fuse_unk: is false, but SentencePiece joins unknown characters")
    ids = mapping(model.get("vocab"), "model.vocab")
    pieces = [""] * len(ids)
    for piece, index in ids.items():
        pieces[integer(index, f"model.vocab[{piece[:40]!r}]", below=len(ids))] = _piece(piece, "model.vocab")
    if "" in pieces:
        raise Unusable(f"model.vocab: no piece has the id {pieces.index('')}")
    unk = model.get("unk_token")
    if not isinstance(unk, str) or unk not in ids:
        raise Unusable("model.unk_token: is not in the vocabulary")
    scores = scores_of_merges(items(model.get("merges"), "model.merges"), set(pieces) - added)
    return _Vocabulary(
        [(piece, scores.get(piece, 0.0)) for piece in pieces],
        _TRAINER_SPEC.BPE,
        ids[unk],
        flag(model.get("byte_fallback", False), "model.byte_fallback"),
    )


def _read_added_tokens(value: object) -> dict[str, tuple[int, bool]]:
    """Return id and whether it is special, by token."""
    added = {}
    for index, entry in enumerate(items(value if value is not None else [], "added_tokens")):
        where = f"added_tokens[{index}]"
        token = mapping(entry, where)
        content = _piece(token.get("content"), f"{where}.content")
        special = flag(token.get("special"), f"{where}.special")
        if not special and not _BRACKETED.fullmatch(content):
            raise Unusable(f"{where}: {content[:40]!r} is a word in texts, and added words are not supported")
        added[content] = integer(token.get("id"), f"{where}.id", below=2**31), special
    return added


def _build(vocabulary: _Vocabulary, added: Mapping[str, tuple[int, bool]], rules: TextRules) -> Any:
    pieces = _with_added(vocabulary.pieces, added)
    model = _MODEL_PROTO()
    for index, (piece, score) in enumerate(pieces):
        model.pieces.add(piece=piece, score=score, type=_piece_type(index, piece, vocabulary, added, rules))
    if not any(piece.type == _TYPE.NORMAL for piece in model.pieces):
        raise Unusable(
            f"model.vocab: holds {len(vocabulary.pieces)} pieces and none for ordinary text; "
            "BigBirdTokenizer(vocab_file=...) of transformers 5 makes such a tokenizer, from_pretrained does not"
        )
    ids = {piece.piece: index for index, piece in enumerate(model.pieces) if piece.type == _TYPE.CONTROL}
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type = vocabulary.model_type
    trainer.vocab_size = len(model.pieces)
    trainer.byte_fallback = vocabulary.byte_fallback
    trainer.unk_id, trainer.unk_piece = vocabulary.unk_id, model.pieces[vocabulary.unk_id].piece
    trainer.pad_id, trainer.bos_id, trainer.eos_id = (ids.get(piece, -1) for piece in ("<pad>", "<s>", "</s>"))
    normalizer.precompiled_charsmap = rules.charsmap
    normalizer.add_dummy_prefix = True
    normalizer.remove_extra_whitespaces = True
    normalizer.escape_whitespaces = True
    try:
        sentencepiece.SentencePieceProcessor().LoadFromSerializedProto(model.SerializeToString())
    except RuntimeError as error:
        raise Unusable(f"does not make a SentencePiece model: {' '.join(str(error).split())}") from None
    return model


def _with_added(pieces: list[tuple[str, float]], added: Mapping[str, tuple[int, bool]]) -> list[tuple[str, float]]:
    """Append the added tokens that the model does not hold."""
    result = list(pieces)
    for content, (index, _) in sorted(added.items(), key=lambda item: item[1][0]):
        if index == len(result):
            result.append((content, 0.0))
        elif index > len(result) or result[index][0] != content:
            raise Unusable(f"added_tokens: {content[:40]!r} has the id {index}, which is another's or leaves a gap")
    seen: set[str] = set()
    for index, (piece, _) in enumerate(result):
        if piece in seen:
            raise Unusable(f"model.vocab: {piece[:40]!r} is there twice, again with the id {index}")
        seen.add(piece)
    return result


def _piece(value: object, where: str) -> str:
    piece = string(value, where)
    if not piece or len(piece) > _LONGEST_PIECE or "\0" in piece:
        raise Unusable(f"{where}: a piece is empty, longer than {_LONGEST_PIECE} characters, or holds a zero byte")
    return piece


def _piece_type(
    index: int, piece: str, vocabulary: _Vocabulary, added: Mapping[str, tuple[int, bool]], rules: TextRules
) -> int:
    if index == vocabulary.unk_id:
        kind = _TYPE.UNKNOWN
    elif piece in added:
        kind = _TYPE.CONTROL if added[piece][1] else _TYPE.USER_DEFINED
    elif vocabulary.byte_fallback and _BYTE_PIECE.fullmatch(piece):
        kind = _TYPE.BYTE
    elif rules.splits_at_spaces and SPACE_SYMBOL in piece[1:]:
        # `tokenizers` cuts a text before every space first, and so never meets this piece.
        kind = _TYPE.UNUSED
    else:
        kind = _TYPE.NORMAL
    return int(kind)
