"""Write `examples/finetune/`: small files in every format that `bigbird finetune` and `bigbird evaluate` read.

Their texts are generated reports, 200 examples for training and 60 for evaluation, from seeds that no demo checkpoint
was trained on.
"""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demo.reports import FIRST_EVALUATION_SEED, Report, generate_report

FOLDER = Path(__file__).parents[1] / "examples" / "finetune"

EXAMPLES = {"train": 200, "eval": 60}
_FIRST_SEEDS = {"train": FIRST_EVALUATION_SEED + 7_000_000, "eval": FIRST_EVALUATION_SEED + 8_000_000}
_TOKENS = 90
_SUBJECTS = 2
_WORD = re.compile(r"\w+|[^\w\s]")


def reports(part: str) -> Iterator[Report]:
    """Yield the reports of a part, without end."""
    seed = _FIRST_SEEDS[part]
    while True:
        yield generate_report(seed, _TOKENS, subjects=_SUBJECTS)
        seed += 1


def squad(part: str, *, unanswered: bool) -> dict[str, Any]:
    """Return questions in SQuAD's form: v1.1, or v2.0 with some that have no answer."""
    paragraphs: list[dict[str, Any]] = []
    count = 0
    for number, report in enumerate(reports(part)):
        asked = [*report.questions[:4], *(report.unanswered[:1] if unanswered else ())][: EXAMPLES[part] - count]
        questions = []
        for index, question in enumerate(asked):
            answers = [{"text": question.answer, "answer_start": question.start}] if question.answer else []
            entry: dict[str, Any] = {"id": f"{part}-{number}-{index}", "question": question.text, "answers": answers}
            questions.append(entry | {"is_impossible": not answers} if unanswered else entry)
        paragraphs.append({"context": report.text, "qas": questions})
        count += len(asked)
        if count == EXAMPLES[part]:
            return {
                "version": "v2.0" if unanswered else "1.1",
                "data": [{"title": "Reports", "paragraphs": paragraphs}],
            }
    raise AssertionError


def texts(part: str) -> list[Report]:
    """Return as many reports as there are examples."""
    return [report for report, _ in zip(reports(part), range(EXAMPLES[part]), strict=False)]


def one_line(text: str) -> str:
    """Return a text without line breaks."""
    return " ".join(text.split())


def answered_pairs(part: str) -> Iterator[tuple[str, str, str]]:
    """Yield a question, a text, and whether the one is answered by the other."""
    for index, report in enumerate(texts(part)):
        has_answer = index % 2 == 0
        question = (report.questions if has_answer else report.unanswered)[0]
        yield question.text, one_line(report.text), "answered" if has_answer else "unanswered"


def conll(report: Report) -> Iterator[str]:
    """Yield the lines of a document: its words with BIO tags, a sentence for each line of the report."""
    yield "-DOCSTART- O"
    yield ""
    offset = 0
    for line in report.text.split("\n"):
        for match in _WORD.finditer(line):
            start = offset + match.start()
            entity = next((one for one in report.entities if one.start <= start < one.end), None)
            tag = "O" if entity is None else f"{'B' if start == entity.start else 'I'}-{entity.label}"
            yield f"{match.group()} {tag}"
        if line.strip():
            yield ""
        offset += len(line) + 1


def write_text(name: str, lines: Iterator[str]) -> None:
    """Write lines."""
    (FOLDER / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def main() -> None:
    """Write every file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for part in EXAMPLES:
        for name, unanswered in (("squad-v1", False), ("squad-v2", True)):
            value = json.dumps(squad(part, unanswered=unanswered), indent=1, ensure_ascii=False)
            (FOLDER / f"{name}-{part}.json").write_text(f"{value}\n", encoding="utf-8")
        rows = (f"{one_line(report.text)}\t{report.report_type}" for report in texts(part))
        write_text(f"types-{part}.tsv", iter(["sentence\tlabel", *rows]))
        with (FOLDER / f"answered-{part}.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["text", "text_pair", "label"])
            writer.writerows(answered_pairs(part))
        numbers = ({"text": report.text, "score": len(report.entities)} for report in texts(part))
        write_text(f"entities-{part}.jsonl", (json.dumps(entry, ensure_ascii=False) for entry in numbers))
        write_text(f"entities-{part}.conll", (line for report in texts(part) for line in conll(report)))
        write_text(f"reports-{part}.txt", (line for report in texts(part) for line in (one_line(report.text), "")))


if __name__ == "__main__":
    main()
