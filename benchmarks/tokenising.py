"""What it costs to cut a document into tokens, with each library and kind of vocabulary.

    python -m benchmarks.tokenising

Documents of 4,096 tokens. WordPiece and Unigram vocabularies of the size of the demo's SentencePiece model are made
here from the same documents. Each kind is measured in turn, over and over, so that a busy machine slows all alike, and
compared with SentencePiece in the same round.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tokenizers import Tokenizer as Pipeline
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from benchmarks.host_work import DOCUMENTS, TOKENS, VOCABULARY
from benchmarks.report import RESULTS, Row, write_report
from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.checkpoints.tokenizer_json import find_tokenizer_json
from model_export.export.tokenizer import write_tokenizer
from model_export.export.tokenizer_json import write_tokenizer_json

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_PIECES = {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}
_SIZE = 6000


def sentencepiece(folder: Path) -> Tokenizer:
    """Return the demo's vocabulary."""
    file = folder / "tokenizer.model"
    ids = write_tokenizer(VOCABULARY.read_bytes(), VOCABULARY, file, _PIECES, vocab_size=2**20)
    return Tokenizer(file, ids.cls, ids.sep, 0, ids.mask).load()


def word_piece(folder: Path, source: str, *, lowercase: bool = True) -> Tokenizer:
    """Train a BERT vocabulary."""
    pipeline = Pipeline(models.WordPiece(unk_token="[UNK]"))
    pipeline.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    pipeline.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pipeline.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=_SIZE, special_tokens=_SPECIAL, show_progress=False)
    return _trained(pipeline, trainer, folder, source)


def unigram(folder: Path, source: str) -> Tokenizer:
    """Train a Unigram vocabulary with the rules for spaces that transformers has for BigBird."""
    pipeline = Pipeline(models.Unigram())
    pipeline.pre_tokenizer = pre_tokenizers.Metaspace()
    pipeline.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=_SIZE, special_tokens=_SPECIAL, unk_token="[UNK]", show_progress=False)
    return _trained(pipeline, trainer, folder, source)


def byte_level(folder: Path, source: str) -> Tokenizer:
    """Train a byte-level byte-pair vocabulary."""
    pipeline = Pipeline(models.BPE())
    pipeline.pre_tokenizer = pre_tokenizers.ByteLevel()
    pipeline.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_SIZE,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return _trained(pipeline, trainer, folder, source)


def _trained(pipeline: Pipeline, trainer: trainers.Trainer, folder: Path, source: str) -> Tokenizer:
    pipeline.train_from_iterator([source], trainer)
    folder.mkdir()
    pipeline.save(str(folder / "tokenizer.json"))
    found = find_tokenizer_json(folder)
    assert found is not None
    file = folder / "bundle.json"
    document = json.dumps(found.values).encode()
    ids = write_tokenizer_json(document, found.file, file, found.special_tokens, vocab_size=2**20)
    return Tokenizer(file, ids.cls, ids.sep, 0, ids.mask, "tokenizers").load()


def document(tokenizer: Tokenizer, source: str) -> str:
    """Return the beginning of a text that has 4,096 tokens."""
    tokens = tokenizer.tokenize(source)
    while len(tokens) < TOKENS:
        source = f"{source}\n{source}"
        tokens = tokenizer.tokenize(source)
    return source[: tokens.ends[TOKENS - 1]]


def milliseconds(step: Callable[[], object]) -> float:
    """Return the processor time of a step on this thread, right after it was done once."""
    step()
    start = time.thread_time()
    step()
    return (time.thread_time() - start) * 1000


def measure(rounds: int) -> list[Row]:
    """Measure every kind in turn, with positions and without."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCUMENTS.glob("*.txt")))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kinds = {
            "SentencePiece": sentencepiece(folder),
            "WordPiece, lower case": word_piece(folder / "lower", source),
            "WordPiece, cased": word_piece(folder / "cased", source, lowercase=False),
            "Unigram": unigram(folder / "unigram", source),
            "byte-level BPE": byte_level(folder / "bytes", source),
        }
        texts = {name: document(tokenizer, source) for name, tokenizer in kinds.items()}
        steps: dict[str, tuple[Callable[[str], object], str]] = {}
        for name, tokenizer in kinds.items():
            steps[f"{name}/with positions"] = tokenizer.tokenize, texts[name]
            steps[f"{name}/ids alone"] = tokenizer.tokenize_without_positions, texts[name]
        found: dict[str, list[float]] = {step: [] for step in steps}
        for _ in range(rounds):
            for step, (tokenise, text) in steps.items():
                found[step].append(milliseconds(lambda tokenise=tokenise, text=text: tokenise(text)))  # type: ignore[misc]
    rows: list[Row] = []
    for step, times in found.items():
        kind, what = step.split("/")
        base = found[f"SentencePiece/{what}"]
        ratio = median(own / other for own, other in zip(times, base, strict=True))
        rows.append(
            {
                "vocabulary": kind,
                "tokenised": what,
                "characters": len(texts[kind]),
                "ms": median(times),
                "times SentencePiece": ratio,
            }
        )
    return rows


NOTES = (
    "Documents of 4,096 tokens each. `ms` is the median of one thread's processor time; `times SentencePiece` the "
    "median of the ratios of each round.",
)


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args()
    busy = os.getloadavg()[0]
    rows = measure(arguments.rounds)
    notes = (*NOTES, f"Load of the machine before, over one minute: {busy:.1f} on {os.cpu_count()} cores.")
    write_report("tokenising", "What tokenising costs", rows, notes, folder=RESULTS)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
