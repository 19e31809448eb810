"""The rows of the output, as JSON: the same names and the same numbers as the server's answers.

row        number of the input's row, from 0; with shards, too, so that their outputs can be put together
id         of the row
question   for tasks that are asked one
...        the fields of the task's answer; null in a row that failed
page       for files that are a document each, here and in each span of the answer: the page on which the span begins
boxes      likewise: a rectangle for each of its lines, with its page; both null where the format knows no pages
document   its text, in which positions stand, if it was asked for
usage      tokens, windows, buckets, truncated_tokens; null if nothing was run
error      null, or why there is no answer
"""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter

from bigbird_inference.tasks.declaration import LeftOut, Operation
from bulk.answering import Finished, Usage
from bulk.places import PLACE_HINTS, Places, holds_spans, is_span
from bulk.requests import QUESTION, document_field


class ResultRows:
    """Writes what became of items.

    Args:
        operation: Of the task.
        keep_text: Whether the document is part of its row.
    """

    def __init__(self, operation: Operation, *, keep_text: bool = False) -> None:
        hints = get_type_hints(operation.answer, include_extras=True)
        self._answer = {name: TypeAdapter(hint) for name, hint in hints.items()}
        self._left_out = {name for name, hint in hints.items() if LeftOut() in get_args(hint)}
        self._spans = {name for name, hint in get_type_hints(operation.answer).items() if holds_spans(hint)}
        self._is_span = is_span(operation.answer)
        self._usage = TypeAdapter(Usage | None)
        self._asks = QUESTION in {field.name for field in dataclasses.fields(operation.request)}
        self._text = document_field(operation) if keep_text else None

    def write(self, finished: Finished) -> bytes:
        """Return a row as a line of JSON without its end; text that is not Unicode is written as escapes."""
        parts = (b'"%s":%s' % (name.encode(), value) for name, value in self._members(finished))
        return b"{%s}" % b",".join(parts)

    def _members(self, finished: Finished) -> Iterator[tuple[str, bytes]]:
        item = finished.item
        yield "row", str(item.key.row).encode()
        yield "id", _json(item.id)
        if self._asks:
            yield QUESTION, _json(item.question)
        places = None
        if item.document is not None and (self._is_span or self._spans):
            places = Places(item.document, getattr(item.request, "offsets", "code_points"))
        for name, adapter in self._answer.items():
            value = None if finished.answer is None else getattr(finished.answer, name)
            if value is not None and places is not None and name in self._spans:
                spans = zip(adapter.dump_python(value, mode="json"), value, strict=True)
                yield name, _json([{**written, **places.of(span)} for written, span in spans])
            elif value is not None:
                yield name, adapter.dump_json(value)
            elif name not in self._left_out:
                yield name, b"null"
        if places is not None and self._is_span:
            nowhere = dict.fromkeys(PLACE_HINTS)
            own = nowhere if finished.answer is None else places.of(finished.answer)
            yield from ((name, _json(value)) for name, value in own.items())
        if self._text is not None:
            yield "document", _json(None if item.request is None else getattr(item.request, self._text))
        yield "usage", self._usage.dump_json(finished.usage)
        yield "error", _json(finished.problem)


def _json(value: Any) -> bytes:
    """Write a value that came from a file, whatever characters are in it."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
