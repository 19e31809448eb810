"""Write `examples/`: three generated reports, ready requests about them, and the answers that the generator knows."""

import json
from pathlib import Path

from model_export.demo.reports import FIRST_EVALUATION_SEED, generate_report

EXAMPLES = Path(__file__).parents[1] / "examples"

# Name -> seed, tokens, report type, which of the report's questions to ask.
REPORTS = {
    "short": (FIRST_EVALUATION_SEED + 500, 110, "research", 1),
    "inspection": (FIRST_EVALUATION_SEED + 501, 400, "inspection", 6),
    "financial": (FIRST_EVALUATION_SEED + 500, 1000, "financial", -1),
}


def write_json(path: Path, value: object) -> None:
    """Write indented JSON with its characters as they are."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


expected: dict[str, object] = {}
for name, (seed, tokens, report_type, index) in REPORTS.items():
    report = generate_report(seed, tokens, report_type=report_type)
    question = report.questions[index]
    (EXAMPLES / "documents" / f"{name}.txt").write_text(report.text, encoding="utf-8")
    write_json(EXAMPLES / "requests" / f"qa-{name}.json", {"question": question.text, "context": report.text})
    write_json(EXAMPLES / "requests" / f"classify-{name}.json", {"text": report.text})
    write_json(EXAMPLES / "requests" / f"ner-{name}.json", {"text": report.text})
    expected[f"qa-{name}.json"] = question.answer
    expected[f"classify-{name}.json"] = report.report_type
    expected[f"ner-{name}.json"] = [
        [entity.label, report.text[entity.start : entity.end]] for entity in report.entities
    ]
write_json(EXAMPLES / "expected.json", expected)
