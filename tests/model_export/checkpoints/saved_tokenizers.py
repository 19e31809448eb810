"""`tokenizer.json` files as the two generations of transformers write them for a SentencePiece model of BigBird."""

import base64
import json
from pathlib import Path
from typing import Any

import transformers
from sentencepiece import sentencepiece_model_pb2

SPACE = "\u2581"

Json = dict[str, Any]


def saved_by_transformers_5(spiece: Path, folder: Path) -> Path:
    """Let the installed transformers convert and save; the character map of the model is lost there."""
    source = folder / "source"
    source.mkdir()
    (source / "spiece.model").write_bytes(spiece.read_bytes())
    (source / "config.json").write_text('{"model_type": "big_bird"}')
    transformers.BigBirdTokenizer.from_pretrained(source).save_pretrained(folder / "saved")
    return folder / "saved" / "tokenizer.json"


def as_transformers_4(spiece: Path) -> Json:
    """Return what BigBirdTokenizerFast of transformers 4.57.6 writes, apart from fields that do not touch the ids."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(spiece.read_bytes())
    kinds = {
        proto.SentencePiece.UNKNOWN: True,
        proto.SentencePiece.CONTROL: True,
        proto.SentencePiece.USER_DEFINED: False,
    }
    steps: list[Json] = [
        {"type": "Strip", "strip_left": False, "strip_right": True},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": SPACE},
    ]
    if proto.normalizer_spec.precompiled_charsmap:
        charsmap = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
        steps.insert(0, {"type": "Precompiled", "precompiled_charsmap": charsmap})
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": piece.piece,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": kinds[piece.type],
            }
            for index, piece in enumerate(proto.pieces)
            if piece.type in kinds
        ],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True},
        "post_processor": None,
        "decoder": {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True},
        "model": _bpe(proto) if proto.trainer_spec.model_type == proto.trainer_spec.BPE else _unigram(proto),
    }


def write_json(folder: Path, values: object) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def _unigram(proto: Any) -> Json:
    return {
        "type": "Unigram",
        "unk_id": proto.trainer_spec.unk_id,
        "vocab": [[piece.piece, piece.score] for piece in proto.pieces],
        "byte_fallback": proto.trainer_spec.byte_fallback,
    }


def _bpe(proto: Any) -> Json:
    ids = {piece.piece: index for index, piece in enumerate(proto.pieces)}
    ordinary = [piece for piece in proto.pieces if piece.type == piece.NORMAL]
    merges = []
    for piece in sorted(ordinary, key=lambda piece: -piece.score):
        cuts = [(piece.piece[:cut], piece.piece[cut:]) for cut in range(1, len(piece.piece))]
        merges += [cut for cut in cuts if cut[0] in ids and cut[1] in ids]
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": "<unk>",
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": ids,
        "merges": merges,
    }
