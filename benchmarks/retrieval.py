"""Which vectors find the second half of a long document from its first half.

    python -m benchmarks.retrieval build/retrieval.jsonl

The documents are those of `benchmarks.retrieval_documents`: encyclopedia articles, addresses, pages of manuals,
chapters of a novel, mails. A document is cut in the middle, and the first tokens of each half are kept, as many as
`--tokens` says; it is left out where a half has no more than 512, which BERT reads at once. Each contender is a bundle
of the checkpoint of `make demo` and options of `/embed`, asked through HTTP. Bundles and vectors are kept in
`benchmarks/.cache`, forty texts at a time, so that a run that was ended goes on where it was. Figures of the documents
for choosing are printed, and written nowhere.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import httpx
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from benchmarks.cache import CACHE
from benchmarks.report import RESULTS, Row, write_report
from benchmarks.retrieval_documents import Part, read_documents
from benchmarks.running_server import running_server
from model_export.export.buckets import BucketStep
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from scripts.real_models import REAL_EMBED, fetch

# Between CLS and SEP.
_SPECIAL_TOKENS = 2
_KEPT_TOGETHER = 40
_DRAWS = 10_000
_LEVEL = 0.95

Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to one vector of a long text.

    Attributes:
        label: In the table.
        bundle: Its name.
        options: How that is exported.
        request: Fields of `/embed`.
        cut: Tokens after which the text is cut off, None for nowhere.
    """

    label: str
    bundle: str
    options: ExportOptions
    request: dict[str, object] = field(default_factory=dict)
    cut: int | None = None


# BERT reads as many at once, so what is longer is what BigBird is for.
_SHORT = 512
_MOST_TOKENS = 2_048

_BERT_256 = ExportOptions(positions=256, buckets=[64, 128, 256])
_BERT_512 = ExportOptions(positions=512, buckets=[128, 256, 512])
_BIGBIRD = ExportOptions(buckets=BucketStep(512))
_BIGBIRD_TRANSFORMERS = ExportOptions(pattern="transformers", buckets=BucketStep(512))
BASELINE = "BERT, windows of 512 averaged"
CONTENDERS = (
    Contender("BERT, cut off at 256 tokens", "bert-256", _BERT_256, cut=256),
    Contender("BERT, cut off at 512 tokens", "bert-512", _BERT_512, cut=512),
    Contender("BERT, windows of 256 averaged", "bert-256", _BERT_256, {"window_stride": 0}),
    Contender(BASELINE, "bert-512", _BERT_512, {"window_stride": 0}),
    Contender("BigBird, pattern none, mean", "bigbird", _BIGBIRD),
    Contender("BigBird, pattern none, cls", "bigbird", _BIGBIRD, {"pooling": "cls"}),
    Contender("BigBird, pattern transformers, mean", "bigbird-transformers", _BIGBIRD_TRANSFORMERS),
)


def halves(text: str, tokenizer: Tokenizer, most_tokens: int | None) -> tuple[str, str]:
    """Return a document's halves, cut at the space before its middle.

    Args:
        text: The document.
        tokenizer: Counts tokens.
        most_tokens: Of each half, which then ends there; None for all of it.
    """
    middle = text.rfind(" ", 0, len(text) // 2 + 1)
    first, second = text[:middle], text[middle + 1 :]
    return cut_off(first, tokenizer, most_tokens), cut_off(second, tokenizer, most_tokens)


def cut_off(text: str, tokenizer: Tokenizer, most_tokens: int | None) -> str:
    """Return the beginning of a text, of so many tokens together with CLS and SEP."""
    if most_tokens is None:
        return text
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    kept = most_tokens - _SPECIAL_TOKENS
    return text if len(offsets) <= kept else text[: offsets[kept - 1][1]]


def embed(url: str, contender: Contender, texts: Sequence[str]) -> Vectors:
    """Return what a server answers, `[texts, width]`, of length 1."""
    with httpx.Client(base_url=url, timeout=600) as client, ThreadPoolExecutor(2) as threads:

        def ask(text: str) -> list[float]:
            answer = client.post("/embed", json={"text": text, "model": contender.bundle, **contender.request})
            answer.raise_for_status()
            vector: list[float] = answer.json()["embedding"]
            return vector

        return np.array(list(threads.map(ask, texts)))


def reciprocal_ranks(first: Vectors, second: Vectors) -> Vectors:
    """Return, for each first half, one over the rank of its own second half among all of them."""
    likeness = first @ second.T
    ranks = (likeness > likeness.diagonal()[:, None]).sum(axis=1) + 1
    reciprocal: Vectors = 1 / ranks
    return reciprocal


def interval(values: Vectors) -> str:
    """Return a mean with its bootstrap interval over documents."""
    draws = np.random.default_rng(0).integers(0, len(values), (_DRAWS, len(values)))
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(values[draws].mean(axis=1), [tail, 1 - tail])
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


def rows_of(ranks: dict[str, Vectors]) -> list[Row]:
    """Return the table, for contenders in order by label."""
    rows: list[Row] = []
    for label, reciprocal in ranks.items():
        found = found_first(reciprocal)
        row: Row = {"contender": label, "found first": interval(found), "mean reciprocal rank": interval(reciprocal)}
        if BASELINE in ranks and label != BASELINE:
            row["found first, less windows of 512"] = interval(found - found_first(ranks[BASELINE]))
            row["reciprocal rank, less windows of 512"] = interval(reciprocal - ranks[BASELINE])
        rows.append(row)
    return rows


def found_first(reciprocal: Vectors) -> Vectors:
    """Return 1 for each document whose second half was ranked first, and otherwise 0."""
    found: Vectors = (reciprocal == 1).astype(np.float64)
    return found


def kept_vectors(cache: Path, checkpoint: Path, contender: Contender, texts: Sequence[str]) -> Vectors:
    """Return a contender's vectors, computed now or earlier."""
    bundle = cache / "bundles" / contender.bundle
    if not (bundle / "manifest.json").exists():
        export_checkpoint(checkpoint, bundle, contender.options)
    parts = [texts[first : first + _KEPT_TOGETHER] for first in range(0, len(texts), _KEPT_TOGETHER)]
    manifest = (bundle / "manifest.json").read_text("utf-8")
    files = [vectors_file(cache, manifest, contender.request, part) for part in parts]
    if not all(file.exists() for file in files):
        with running_server(bundle) as server:
            for file, part in zip(files, parts, strict=True):
                if not file.exists():
                    unfinished = file.with_suffix(".unfinished.npy")
                    np.save(unfinished, embed(server.url, contender, part))
                    unfinished.replace(file)
    return np.concatenate([np.load(file) for file in files])


def vectors_file(cache: Path, manifest: str, request: Mapping[str, object], texts: Sequence[str]) -> Path:
    """Return where vectors are kept that a bundle gives for texts."""
    key = json.dumps([manifest, request, list(texts)])
    return cache / f"vectors-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path, help="file that benchmarks.retrieval_documents wrote")
    parser.add_argument("--part", choices=get_args(Part), default="reporting", help="of the documents")
    parser.add_argument("--tokens", type=int, default=_MOST_TOKENS, help="most tokens of each half")
    parser.add_argument("--only", action="append", metavar="TEXT", help="contenders whose label holds it")
    arguments = parser.parse_args()
    cache = CACHE / "retrieval"
    cache.mkdir(parents=True, exist_ok=True)
    checkpoint = cache / "checkpoint"
    if not checkpoint.exists():
        fetch(REAL_EMBED, checkpoint)
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    pairs, sources = [], Counter[str]()
    for document in read_documents(arguments.documents):
        pair = halves(document.text, tokenizer, arguments.tokens)
        if document.part == arguments.part and min(len(tokenizer.encode(half).ids) for half in pair) > _SHORT:
            pairs.append(pair)
            sources[document.source] += 1
    texts = [half for pair in pairs for half in pair]
    lengths = [len(tokenizer.encode(text).ids) for text in texts]
    ranks = {}
    for contender in CONTENDERS:
        if arguments.only and not any(part in contender.label for part in arguments.only):
            continue
        own = [cut_off(text, tokenizer, contender.cut) for text in texts]
        vectors = kept_vectors(cache, checkpoint, contender, own)
        ranks[contender.label] = reciprocal_ranks(vectors[::2], vectors[1::2])
        print("\n".join(f"{name}: {text}" for name, text in rows_of(ranks)[-1].items()), file=sys.stderr, flush=True)
    kinds = ", ".join(f"{count} {source}" for source, count in sources.items())
    notes = [
        f"{len(pairs)} documents ({kinds}); halves of {min(lengths):,} to {max(lengths):,} tokens, median "
        f"{np.median(lengths):,.0f}; what a half has beyond {arguments.tokens:,} is cut off",
        f"In brackets, {_LEVEL:.0%} bootstrap intervals over documents, {_DRAWS:,} draws; differences are of the same "
        "documents.",
        "BERT is the encoder as it is, with its own positions; BigBird is the same weights with positions repeated to "
        "4,096, and with pattern none and mean it is the `real-embed` of `make demo`. Halves longer than the model are "
        "read in windows, which are averaged.",
        "Computed in what the server chooses on a CPU: bf16 where the processor and OpenVINO have it.",
    ]
    if arguments.part == "choosing":
        return
    write_report("retrieval", "Finding the second half of a long document", rows_of(ranks), notes, folder=RESULTS)


if __name__ == "__main__":
    main()
