"""The lists, fact sheets and tables of a report: which facts they take, before prose states the rest."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from demo.cast import Subject
from demo.sentences import Sentence, join
from demo.statements import fact_sheet, list_item, table

_TOKENS_PER_BLOCK = 350
_MOST_ROWS = 7
_BULLETS = ("- ", "* ", "• ")


@dataclass(slots=True)
class Stock:
    """The facts that are still to be stated, and who stands in a table."""

    unstated: dict[Subject, set[str]]
    in_tables: set[Subject] = field(default_factory=set)

    def take(self, subject: Subject, attributes: list[str]) -> None:
        """Note that these are stated now."""
        self.unstated[subject] -= set(attributes)

    def with_at_least(self, count: int) -> list[Subject]:
        """Return the subjects with so many facts to be stated, in a fixed order."""
        return [subject for subject, attributes in self.unstated.items() if len(attributes) >= count]


def draw_blocks(stock: Stock, tokens: int, rng: random.Random) -> list[Sentence]:
    """Take facts from the stock and lays them out; longer reports get more such blocks."""
    expected = tokens / _TOKENS_PER_BLOCK
    count = int(expected) + (rng.random() < expected % 1)
    writers: tuple[Callable[[Stock, random.Random], Sentence | None], ...] = (_table, _list, _sheet)
    drawn = [rng.choice(writers)(stock, rng) for _ in range(count)]
    return [block for block in drawn if block is not None]


def _table(stock: Stock, rng: random.Random) -> Sentence | None:
    candidates = stock.with_at_least(2)
    if not candidates:
        return None
    kind = rng.choice(candidates).kind
    candidates = [subject for subject in candidates if subject.kind is kind]
    columns: list[str] = []
    for name in rng.sample(list(kind.attributes), len(kind.attributes)):
        labels = {kind.attributes[column].label for column in columns}
        having = [subject for subject in candidates if name in stock.unstated[subject]]
        # Columns of one type could not be told apart within a row.
        if len(having) >= 2 and kind.attributes[name].label not in labels and len(columns) < 3:
            columns, candidates = [*columns, name], having
    if len(columns) < 2:
        return None
    rows = rng.sample(candidates, min(len(candidates), rng.randint(2, _MOST_ROWS)))
    for subject in rows:
        stock.take(subject, columns)
        stock.in_tables.add(subject)
    return table(kind, rows, columns, rng)


def _list(stock: Stock, rng: random.Random) -> Sentence | None:
    candidates = stock.with_at_least(1)
    if not candidates:
        return None
    items = []
    for subject in rng.sample(candidates, min(len(candidates), rng.randint(2, 5))):
        chosen = _some_of(stock.unstated[subject], rng, most=3)
        stock.take(subject, chosen)
        items.append(list_item(subject, chosen, rng))
    is_numbered, bullet = rng.random() < 0.4, rng.choice(_BULLETS)
    return join(
        (
            join([Sentence(f"{number}. " if is_numbered else bullet), item], "")
            for number, item in enumerate(items, start=1)
        ),
        "\n",
    )


def _sheet(stock: Stock, rng: random.Random) -> Sentence | None:
    candidates = stock.with_at_least(2)
    if not candidates:
        return None
    subject = rng.choice(candidates)
    chosen = _some_of(stock.unstated[subject], rng, most=4)
    stock.take(subject, chosen)
    return fact_sheet(subject, chosen, rng)


def _some_of(attributes: set[str], rng: random.Random, most: int) -> list[str]:
    return rng.sample(sorted(attributes), rng.randint(1, min(most, len(attributes))))
