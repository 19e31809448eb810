import json
import math

from evaluation.figures import Estimate
from evaluation.markdown import markdown
from evaluation.metrics.intervals import Resampling
from evaluation.report import ModelResult, Report, Row
from tests.evaluation.asked import model


def test_a_threshold_of_minus_infinity_is_written_in_both_forms() -> None:
    everything = Row(None, None, False, 1, [Estimate("exact match", 0.5, 2, None)])
    details = [Estimate("threshold of best F1", -math.inf, 2, None)]
    result = ModelResult("http://there", model("qa"), everything, [], details, [], [])
    report = Report("qa", "dev.json", "Questions", 2, Resampling(), "1", [result], None)
    assert "| threshold of best F1 | 2 | -inf |" in markdown(report).splitlines()
    (written,) = json.loads(json.dumps(report.json(), allow_nan=False))["results"][0]["details"]
    assert written == {"name": "threshold of best F1", "value": None, "items": 2, "interval": None}
