"""From the rows of the inputs to requests of the task: which column holds what, and which questions are asked.

What a request's fields may be is what the task declares; pydantic checks it, as it does over HTTP. A row may be several
requests: one for each question about its document.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bigbird_inference.tasks.declaration import Operation
from bulk.errors import JobError, RowError
from bulk.sources.documents import DocumentCells, DocumentRead
from bulk.sources.rows import SourceRow
from documents.document import Document

QUESTION = "question"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class ItemKey:
    """Tells the items of a job apart.

    Attributes:
        row: Number of the row.
        question: Which of the questions about it, from 0.
    """

    row: int
    question: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """A request, or why there is none.

    Attributes:
        key: Which it is.
        id: Of its row: what the column for it holds, otherwise the file and the line.
        question: What is asked, of tasks that are asked a question.
        request: Of the task; None if the row holds none.
        problem: Why it holds none.
        document: Of a row that is a document: its text, and where that stands on pages.
    """

    key: ItemKey
    id: str | int
    question: str | None
    request: Any | None
    problem: str | None = None
    document: Document | None = None


def document_field(operation: Operation) -> str:
    """Return the field of a task's request that is the document."""
    declared = TypeAdapter(operation.request).json_schema()["properties"]
    return operation.located_in or next(name for name in declared if name in operation.texts)


class RequestMaker:
    """Makes the items of each row.

    Args:
        operation: Of the task.
        columns: Which column holds a field, where it is not named like the field.
        options: Fields that are the same for all rows.
        questions: Asked about every document; none if the rows hold their own.
        id_column: The column of ids; None for `id`, where a row has one.

    Raises:
        JobError: A field is given twice, or is not one of the task's.
    """

    def __init__(
        self,
        operation: Operation,
        *,
        columns: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        questions: Sequence[str] = (),
        id_column: str | None = None,
    ) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(operation.request)
        self._fields = frozenset(self._adapter.json_schema()["properties"])
        declared = dataclasses.fields(operation.request)
        self._optional = frozenset(field.name for field in declared if field.default is not dataclasses.MISSING)
        self._options = options or {}
        self._questions = questions
        self._id_column = id_column
        self.asks = QUESTION in self._fields
        given = columns or {}
        self._check(given)
        by_name = self._fields - self._options.keys() - ({QUESTION} if questions else set())
        self.columns = {field: given.get(field, field) for field in sorted(by_name)}

    def _check(self, columns: Mapping[str, str]) -> None:
        if unknown := sorted(columns.keys() - self._fields):
            raise JobError(f"--column {unknown[0]}: the task's fields are {', '.join(sorted(self._fields))}")
        if twice := sorted(columns.keys() & self._options.keys()):
            raise JobError(f"{twice[0]} is given as an option and as a column; leave one of them out")
        if self._questions and not self.asks:
            raise JobError("--question: this task is asked no question")
        if self._questions and QUESTION in columns:
            raise JobError("questions are given as options and as a column; leave one of them out")

    def items(self, row: SourceRow) -> Iterator[Item]:
        """Yield the items of a row, at least one, and one for each question given; what is wrong with it is in them."""
        id: str | int = row.name
        try:
            cells = row.read()
            values = {
                field: value
                for field, column in self.columns.items()
                if not self._left_out(field, value := cells.get(column))
            }
            id = self._id(row, cells)
            questions = self._asked(values)
        except RowError as error:
            unread = Document("") if isinstance(row.read, DocumentRead) else None
            for number, asked in enumerate(self._questions or [None]):
                yield Item(ItemKey(row.number, number), id, asked, None, str(error), unread)
            return
        document = cells.document if isinstance(cells, DocumentCells) else None
        for number, question in enumerate(questions):
            own = values if question is None else {**values, QUESTION: question}
            asked = question if isinstance(question, str) else None
            try:
                request = self._adapter.validate_python({**self._options, **own})
            except ValidationError as error:
                yield Item(ItemKey(row.number, number), id, asked, None, self._explain(error), document)
            else:
                yield Item(ItemKey(row.number, number), id, asked, request, None, document)

    def _left_out(self, field: str, value: Any) -> bool:
        """Tell whether a cell gives nothing: of what has a default, empty text, which is how tables leave it out."""
        return value is None or (value == "" and field in self._optional)

    def _asked(self, values: Mapping[str, Any]) -> Sequence[Any]:
        if not self.asks:
            return [None]
        if self._questions:
            return self._questions
        own = values.get(QUESTION)
        if own == []:
            raise RowError("the list of questions is empty")
        return own if isinstance(own, list) else [own]

    def _id(self, row: SourceRow, cells: Mapping[str, Any]) -> str | int:
        column = self._id_column or "id"
        id = cells.get(column)
        if id is None or id == "":
            if id is None and self._id_column is not None:
                raise RowError(f"no column {column!r} for the id; name another with --id-column")
            return row.name
        whole = isinstance(id, int) and not isinstance(id, bool)
        return id if whole else str(id)

    def _explain(self, error: ValidationError) -> str:
        first = error.errors(include_input=False, include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        column = self.columns.get(field, field)
        if first["type"] in ("missing", "missing_argument"):
            return f"no column {column!r} for the {field}; name another with --column {field}=NAME"
        place = ".".join(map(str, (field if column == field else f"{field} (column {column!r})", *first["loc"][1:])))
        return f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}"
