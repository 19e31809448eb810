"""Write `examples/`: generated reports, ready requests about them, and the answers that the generator knows.

The page at `/` offers them, and a real text, which `scripts/write_real_example.py` wrote, before them.

The question about a report is one that many of its facts could answer: what is asked is stated of as many subjects as
anything else in the report.
"""

import json
import shutil
from collections import Counter
from pathlib import Path

from demo.questions import Question
from demo.reports import FIRST_EVALUATION_SEED, Report, generate_report

EXAMPLES = Path(__file__).parents[1] / "examples"
# What the page at `/` offers: in the wheel, and so beside the page.
PLAYGROUND = Path(__file__).parents[1] / "service" / "playground" / "examples"

REAL = {
    "address": {
        "name": "Address to Congress, 1898",
        "tokens": 9000,
        "question": "Who commanded the Pacific fleet?",
        "synthetic": False,
    }
}

# Name -> seed, tokens, report type, how far into the report the answer stands (a share of it).
REPORTS = {
    "short": (FIRST_EVALUATION_SEED + 500, 110, "research", 0.5),
    "inspection": (FIRST_EVALUATION_SEED + 518, 3000, "inspection", 0.9),
    "financial": (FIRST_EVALUATION_SEED + 518, 4000, "financial", 0.75),
    "legal": (FIRST_EVALUATION_SEED + 521, 10_000, "legal", 0.3),
}


def question_among_many(report: Report, depth: float) -> Question:
    """Choose, of the questions for the attribute that is stated most often, the one answered nearest to a depth."""
    attribute, _ = Counter(question.attribute for question in report.questions).most_common(1)[0]
    alike = [question for question in report.questions if question.attribute == attribute]
    return min(alike, key=lambda question: abs(question.start - depth * len(report.text)))


def write_json(path: Path, value: object) -> None:
    """Write indented JSON with its characters as they are."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Replace the documents, the requests and what is expected."""
    folders = (EXAMPLES / "documents", EXAMPLES / "requests", PLAYGROUND)
    for old in (file for folder in folders for file in folder.iterdir()):
        old.unlink()
    expected: dict[str, object] = {}
    suggested: dict[str, object] = {}
    for name, (seed, tokens, report_type, depth) in REPORTS.items():
        report = generate_report(seed, tokens, report_type=report_type)
        question = question_among_many(report, depth)
        for folder in (EXAMPLES / "documents", PLAYGROUND):
            (folder / f"{name}.txt").write_text(report.text, encoding="utf-8")
        title = "Research note" if name == "short" else f"{name.capitalize()} report"
        suggested[name] = {"name": title, "tokens": tokens, "question": question.text, "synthetic": True}
        write_json(EXAMPLES / "requests" / f"qa-{name}.json", {"question": question.text, "context": report.text})
        write_json(EXAMPLES / "requests" / f"classify-{name}.json", {"text": report.text})
        write_json(EXAMPLES / "requests" / f"ner-{name}.json", {"text": report.text})
        expected[f"qa-{name}.json"] = question.answer
        expected[f"classify-{name}.json"] = report.report_type
        expected[f"ner-{name}.json"] = [
            [entity.label, report.text[entity.start : entity.end]] for entity in report.entities
        ]
    write_json(EXAMPLES / "expected.json", expected)
    for name in REAL:
        shutil.copy(EXAMPLES / "real" / f"{name}.txt", PLAYGROUND)
    write_json(PLAYGROUND / "examples.json", {**REAL, **{name: suggested[name] for name in reversed(REPORTS)}})


if __name__ == "__main__":
    main()
