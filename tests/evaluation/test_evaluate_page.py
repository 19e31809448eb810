import re
from pathlib import Path

from evaluation.data.squad import read_squad
from tests.evaluation.data.malformed import refusal

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "evaluate.md").read_text("utf-8")


def test_the_error_that_the_page_shows_is_the_one_that_comes(tmp_path: Path) -> None:
    (questions,) = re.findall(r"cat > questions\.json <<'END'\n(.*?)END\n", PAGE, re.DOTALL)
    wrong = questions.replace('"answer_start": 0', '"answer_start": 3')
    assert f"`{refusal(read_squad, tmp_path / 'questions.json', wrong)}`" in PAGE
