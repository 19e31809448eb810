"""The tokenizer of a checkpoint: its vocabulary's file, and what the files beside it say.

It lies in the checkpoint's folder, or where `--tokenizer` says. A `spiece.model` comes first, whatever else is there.

Vocabularies hold pieces that stood in the texts of their maker (`<row>`, `<t>`). Here they are characters, as text is
data, unless they are named.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2

from bigbird_inference.manifest import AddedToken, TokenizerKind
from model_export.checkpoints.added_tokens import (
    SPECIAL_TOKENS,
    TOKENIZER_CONFIG_FILE,
    USUAL_SPECIAL_TOKENS,
    SideFiles,
)
from model_export.checkpoints.failed_downloads import how_it_is_spoilt
from model_export.checkpoints.files import optional_file, read_json, read_vocabulary, regular_file
from model_export.checkpoints.hub import resolve
from model_export.checkpoints.tokenizer_classes import TOKENIZER_JSON_FILE, VOCABULARY_FILE
from model_export.checkpoints.tokenizer_json import TokenizerDocument, find_tokenizer_json
from model_export.errors import CheckpointError, first_few

SENTENCEPIECE_FILE = "spiece.model"
VOCABULARY_FILES = (SENTENCEPIECE_FILE, TOKENIZER_JSON_FILE, VOCABULARY_FILE)
"""Of a tokenizer; the first that is there counts."""

_CONFIG_FILE = "config.json"
_LISTED = 5

# The generated module makes its classes at import, out of mypy's sight.
_MODEL_PROTO = sentencepiece_model_pb2.ModelProto  # type: ignore[attr-defined]
# Of the field of the pieces, which come first.
_FIRST_BYTE = b"\x0a"
_USER_DEFINED = _MODEL_PROTO.SentencePiece.USER_DEFINED


@dataclass(frozen=True, slots=True)
class CheckpointTokenizer:
    """The tokenizer of a checkpoint, read but not yet as a bundle holds it.

    Attributes:
        kind: The library that runs it.
        content: A serialised SentencePiece model, or a complete `tokenizer.json`.
        files: What was read of it, the vocabulary last.
        special_tokens: Names of the special tokens by role (`cls`, `sep`, `pad`, `mask`).
        mask_lstrip: Whether the white space before a mask belongs to the mask.
        added_tokens: Tokens beside the pieces of a SentencePiece model; texts hold those that are not special.
        text_pieces: User-defined pieces of a SentencePiece model that stay pieces where a text holds them.
        changes: What was taken otherwise than it stands in the files, a line each.
    """

    kind: TokenizerKind
    content: bytes
    files: tuple[Path, ...]
    special_tokens: dict[str, str]
    mask_lstrip: bool
    added_tokens: tuple[AddedToken, ...] = ()
    text_pieces: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def file(self) -> Path:
        """The vocabulary's file."""
        return self.files[-1]

    def save(self, folder: Path) -> None:
        """Write it into an existing folder as it is read: its file, and what that does not say."""
        names: dict[str, Any] = {f"{role}_token": name for role, name in self.special_tokens.items()}
        if self.kind == "tokenizers":
            (folder / TOKENIZER_JSON_FILE).write_bytes(self.content)
            held = {token["content"] for token in json.loads(self.content)["added_tokens"]}
            names = {role: name for role, name in names.items() if name in held}
            names["tokenizer_class"] = "PreTrainedTokenizerFast"  # the file is what counts
        else:
            (folder / SENTENCEPIECE_FILE).write_bytes(self.content)
            if self.special_tokens == SPECIAL_TOKENS and self.mask_lstrip and not self.added_tokens:
                return
            flags = dict.fromkeys(("normalized", "rstrip", "single_word"), False)
            names["mask_token"] = {
                "__type": "AddedToken",  # transformers' mark of a token with its properties
                "content": self.special_tokens["mask"],
                "lstrip": self.mask_lstrip,
                **flags,
            }
            if self.added_tokens:
                names["added_tokens_decoder"] = {
                    str(token.id): {name: value for name, value in asdict(token).items() if name != "id"}
                    for token in self.added_tokens
                }
        (folder / TOKENIZER_CONFIG_FILE).write_text(json.dumps(names, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class FoundTokenizer:
    """A tokenizer that was found, but not read yet.

    Attributes:
        file: Its vocabulary's file; the others lie beside it.
        named_class: Its class that a `config.json` names.
        changes: That it lies elsewhere, if it does.
    """

    file: Path
    named_class: object
    changes: tuple[str, ...]

    @classmethod
    def find(cls, folder: Path, elsewhere: str | None, named_class: object = None) -> "FoundTokenizer":
        """Find the tokenizer of a checkpoint.

        Args:
            folder: The checkpoint.
            elsewhere: Where the tokenizer is, if not there: a folder, a file, or an id on the Hugging Face hub.
            named_class: The tokenizer's class that the checkpoint's `config.json` names.

        Raises:
            CheckpointError: There is none.
        """
        if elsewhere is None:
            return cls(_vocabulary_file(folder), named_class, ())
        folder, file = _elsewhere(elsewhere)
        config = optional_file(folder, _CONFIG_FILE)
        named_class = None if config is None else read_json(config).get("tokenizer_class")
        line = f"the tokenizer is that of {elsewhere}, given with --tokenizer"
        return cls(file or _vocabulary_file(folder), named_class, (line,))

    def read(self, text_pieces: tuple[str, ...], vocab_size: int) -> CheckpointTokenizer:
        """Read it.

        Args:
            text_pieces: User-defined pieces of the vocabulary that texts may hold.
            vocab_size: Rows of the model's word embeddings.

        Raises:
            CheckpointError: It cannot be read, or a piece that texts may hold is none or steers the model.
        """
        if self.file.suffix in (Path(TOKENIZER_JSON_FILE).suffix, Path(VOCABULARY_FILE).suffix):
            document = find_tokenizer_json(self.file.parent, self.named_class, self.file)
            assert document is not None
            own = _of_document(document, text_pieces)
        else:
            own = _of_sentencepiece(self.file, text_pieces, vocab_size)
        return replace(own, changes=(*self.changes, *own.changes))


def _of_sentencepiece(file: Path, text_pieces: tuple[str, ...], vocab_size: int) -> CheckpointTokenizer:
    content = read_vocabulary(file)
    changes: list[str] = []
    model = parse_sentencepiece(content, file)
    side_files = SideFiles.read(file.parent)
    added = side_files.beside(model.pieces, vocab_size)
    steering = {*USUAL_SPECIAL_TOKENS.values(), *side_files.roles.values()}
    special = [token.content for token in added if token.special and token.content not in steering]
    if special:
        changes.append(f"special tokens that are ordinary characters where a text holds them: {_some(special)}")
    pieces = [piece.piece for piece in model.pieces if piece.type == _USER_DEFINED]
    changes += _choose(text_pieces, [piece for piece in pieces if piece not in steering], steering, file)
    return CheckpointTokenizer(
        kind="sentencepiece",
        content=content,
        files=(*(side_files.listed_in if added else ()), file),
        special_tokens={role: side_files.roles[role] for role in SPECIAL_TOKENS},
        mask_lstrip=side_files.mask_lstrip,
        added_tokens=tuple(added),
        text_pieces=text_pieces,
        changes=tuple(changes),
    )


def _of_document(document: TokenizerDocument, text_pieces: tuple[str, ...]) -> CheckpointTokenizer:
    """Return what a `tokenizer.json` or a `vocab.txt` says."""
    tokens = document.values["added_tokens"]
    special = {token["content"] for token in tokens if token["special"]}.difference(document.user_defined)
    chosen = _choose(text_pieces, document.user_defined, special, document.file)
    for token in tokens:
        if token["content"] in document.user_defined:
            token["special"] = token["content"] not in text_pieces
    return CheckpointTokenizer(
        kind="tokenizers",
        content=json.dumps(document.values).encode(),
        files=(*document.side_files, document.file),
        special_tokens=document.special_tokens,
        mask_lstrip=document.mask_lstrip,
        changes=(*document.changes, *chosen),
    )


def _choose(text_pieces: Collection[str], pieces: Sequence[str], steering: Collection[str], file: Path) -> list[str]:
    """Check the pieces that texts may hold, and say which others there are.

    Raises:
        CheckpointError: One is none of the vocabulary, or steers the model.
    """
    for name in text_pieces:
        if name in steering:
            raise CheckpointError(f"text-pieces: {name!r:.80} steers the model, so no text may hold it; leave it out")
        if name not in pieces:
            others = f"there are {_some(pieces)}" if pieces else "it has none"
            raise CheckpointError(f"text-pieces: {name!r:.80} is not a user-defined piece of {file}; {others}")
    characters = [piece for piece in pieces if piece not in text_pieces]
    if not characters:
        return []
    return [
        f"pieces that are ordinary characters where a text holds them, unless --text-pieces names them: "
        f"{_some(characters)}"
    ]


def parse_sentencepiece(content: bytes, file: Path) -> Any:
    """Return a SentencePiece model as a message.

    Raises:
        CheckpointError: It is none.
    """
    model = _MODEL_PROTO()
    try:
        model.ParseFromString(content)
        # They stand behind the pieces. The released vocabulary has the first alone.
        whole = model.HasField("trainer_spec") or model.HasField("normalizer_spec")
    except DecodeError:
        whole = False
    if not whole:
        cut = "it is cut off; download or copy it again" if content.startswith(_FIRST_BYTE) else "it is another file"
        raise CheckpointError(f"{file}: is not a SentencePiece model: {how_it_is_spoilt(content) or cut}")
    return model


def _elsewhere(given: str) -> tuple[Path, Path | None]:
    """Return the folder of a tokenizer that does not lie in the checkpoint's, and its file if that was given."""
    path = resolve(given, weights=False)
    if path.is_dir():
        return path, None
    if not path.exists():
        raise CheckpointError(
            f"{given}: does not exist; --tokenizer takes a folder, a file like {SENTENCEPIECE_FILE}, or the id of a "
            "model on the Hugging Face hub"
        )
    return path.parent, regular_file(path.parent, path.name)


def _vocabulary_file(folder: Path) -> Path:
    """Return the file of a folder's vocabulary: a usual one, or the only one that can be one."""
    for name in VOCABULARY_FILES:
        file = optional_file(folder, name)
        if file is not None:
            return file
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".model")
    if len(names) > 1:
        listed = ", ".join(first_few([*map(repr, names)]))
        raise CheckpointError(f"{folder}: {listed}: call the one that is the vocabulary {SENTENCEPIECE_FILE}")
    if names:
        return regular_file(folder, names[0])
    raise CheckpointError(
        f"{folder / SENTENCEPIECE_FILE}: missing; there is no {TOKENIZER_JSON_FILE} or {VOCABULARY_FILE} either. Copy "
        "one of them from the model that this one was trained from (in Python, its tokenizer.save_pretrained writes "
        "it), or say where it is with --tokenizer: a folder, a file, or an id on the Hugging Face hub"
    )


def _some(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(first_few(names[:_LISTED]))}{more}"
