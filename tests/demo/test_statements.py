import random

from demo.blocks import Stock, draw_blocks
from demo.cast import Cast, Subject
from demo.kinds.person import PERSON
from demo.kinds.project import PROJECT
from demo.sentences import Sentence
from demo.statements import fact_sheet, list_item, state_facts, table

HERON = Subject(PROJECT, "Project Heron", {"leader": "Ana Silva", "site": "Oslo"})
KITE = Subject(PROJECT, "Project Kite", {"leader": "Ivan Novak", "site": "Riga"})


def stated(texts: list[Sentence]) -> list[tuple[str, str]]:
    mentions = [mention for text in texts for mention in text.mentions]
    return sorted((mention.subject.name, mention.attribute) for mention in mentions if mention.attribute is not None)


def test_every_fact_is_stated_exactly_once_in_prose_or_in_a_block() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        subjects = Cast(rng).subjects(8, 1200)
        stock = Stock({subject: set(subject.values) for subject in subjects})
        texts = draw_blocks(stock, 3000, rng)
        texts += [text for subject, left in stock.unstated.items() for text in state_facts(subject, left, rng)]
        assert stated(texts) == sorted((subject.name, name) for subject in subjects for name in subject.values)


def test_a_text_names_its_subject_first_of_all() -> None:
    for seed in range(40):
        for text in state_facts(HERON, set(HERON.values), random.Random(seed)):
            first_sentence = text.text.split(". ")[0]
            assert "Project Heron" in first_sentence
            assert {mention.subject for mention in text.mentions} == {HERON}


def test_a_sentence_about_somebody_else_of_the_same_kind_is_not_continued() -> None:
    ida = Subject(PERSON, "Ida Berg", {"deputy": "Omar Haddad", "employer": "Orion Inc.", "birthplace": "Oslo"})
    continued = 0
    for seed in range(200):
        for text in state_facts(ida, set(ida.values), random.Random(seed)):
            first, *others = text.text.split(". ")
            assert not (others and "Omar Haddad" in first), text.text
            continued += bool(others)
    assert continued


def test_plain_statements_all_name_their_subject() -> None:
    for seed in range(40):
        for text in state_facts(HERON, set(HERON.values), random.Random(seed), plain=True):
            assert text.text.count("Project Heron") == 1


def test_a_table_has_a_row_for_each_subject() -> None:
    lines = table(PROJECT, [HERON, KITE], ["leader", "site"], random.Random(0)).text.splitlines()
    assert lines[0].startswith("| Projects | ")
    assert lines[1:] == ["| Project Heron | Ana Silva | Oslo |", "| Project Kite | Ivan Novak | Riga |"]


def test_a_list_item_and_a_fact_sheet_name_what_they_state() -> None:
    rng = random.Random(4)
    item = list_item(HERON, ["site", "leader"], rng).text
    assert item.startswith("Project Heron: ")
    assert item.endswith("Ana Silva")
    sheet = fact_sheet(KITE, ["site"], rng).text.splitlines()
    assert sheet[0] == "Project Kite"
    assert sheet[1].endswith(": Riga")


def test_columns_of_a_table_have_different_types_and_their_subjects_are_remembered() -> None:
    tables = 0
    for seed in range(60):
        rng = random.Random(seed)
        stock = Stock({subject: set(subject.values) for subject in Cast(rng).subjects(10, 3000)})
        for block in draw_blocks(stock, 3000, rng):
            if not block.text.startswith("| "):
                continue
            tables += 1
            assert {mention.subject for mention in block.mentions} <= stock.in_tables
            columns = {mention.attribute for mention in block.mentions} - {None}
            kind = block.mentions[0].subject.kind
            assert len({kind.attributes[name].label for name in columns if name}) == len(columns) >= 2
    assert tables > 20
