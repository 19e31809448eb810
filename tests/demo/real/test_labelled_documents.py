"""Documents with entities, as CoNLL and as JSON; expectations written by hand."""

from pathlib import Path

import pytest

from demo.real.labelled_documents import LabelledDocument, conll, write
from evaluation.data.conll import read_conll


def labelled(text: str, *entities: tuple[int, int, str]) -> LabelledDocument:
    return LabelledDocument("mails", "one", text, "", list(entities))


@pytest.mark.parametrize(
    ("document", "lines"),
    [
        pytest.param(
            labelled("Ann Lee left Oslo.", (0, 7, "PER"), (13, 17, "LOC")),
            ["Ann B-PER", "Lee I-PER", "left O", "Oslo B-LOC", ". O"],
            id="punctuation stands alone, beside an entity and elsewhere",
        ),
        pytest.param(
            labelled("in 1990s", (3, 7, "DATE")), ["in O", "1990 B-DATE", "s O"], id="an entity ends in a word"
        ),
        pytest.param(
            labelled("2 May _Ann Lee_", (0, 5, "DATE"), (7, 14, "PER")),
            ["2 B-DATE", "May I-DATE", "_ O", "Ann B-PER", "Lee I-PER", "_ O"],
            id="an entity begins in a word, after another one",
        ),
        pytest.param(
            labelled("Ann Bo", (0, 3, "PER"), (4, 6, "PER")), ["Ann B-PER", "Bo B-PER"], id="neighbours stay apart"
        ),
        pytest.param(
            labelled("One.\n \nTwo\nlines", (7, 16, "ORG")),
            ["One O", ". O", "", "Two B-ORG", "lines I-ORG"],
            id="a paragraph is a sentence, its lines are not",
        ),
    ],
)
def test_words_get_the_tags_of_the_spans(document: LabelledDocument, lines: list[str]) -> None:
    assert "".join(conll(document)).strip("\n").split("\n") == ["-DOCSTART- O", "", *lines]


def test_both_files_hold_the_same_documents(tmp_path: Path) -> None:
    documents = [labelled("Ann Lee left Oslo.", (0, 7, "PER"), (13, 17, "LOC")), labelled("Nobody stayed.")]
    write(documents, tmp_path, "train")
    read = read_conll(tmp_path / "train.conll")
    assert [[text.text[entity.start : entity.end] for entity in text.entities] for text in read.texts] == [
        ["Ann Lee", "Oslo"],
        [],
    ]
    lines = (tmp_path / "train.jsonl").read_text().splitlines()
    assert [LabelledDocument.of_line(line).text for line in lines] == [document.text for document in documents]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["train.conll", "train.jsonl"]
