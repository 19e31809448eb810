"""The texts of a file, whatever else stands in it."""

from pathlib import Path

from evaluation.data.labelled_texts import read_labelled_texts
from evaluation.data.plain_texts import read_texts
from evaluation.data.squad import read_squad

_TABLES = (".csv", ".tsv", ".jsonl")


def read_documents(path: Path) -> list[str]:
    """Return the texts of a file, in its order, each once; never none.

    Args:
        path: By its ending, `.json` of SQuAD (the contexts), a table (`.csv`, `.tsv`, `.jsonl`) whose texts have
            labels, or paragraphs between empty lines.

    Raises:
        DataError: It cannot be read.
    """
    if path.suffix == ".json":
        texts = [example.context for example in read_squad(path).examples]
    elif path.suffix in _TABLES:
        texts = [labelled.text for labelled in read_labelled_texts(path)]
    else:
        texts = [paragraph.text for paragraph in read_texts(path)]
    return list(dict.fromkeys(texts))
