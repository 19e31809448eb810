"""The windows that an answer tells, where it is asked to: their places, and what each of them gave."""

import itertools
from typing import Any

import numpy as np
import pytest

from bigbird_inference.tasks.base import EncodedRequest, Task
from bigbird_inference.tasks.classification import Classification, ClassificationRequest, ClassifiedWindow, LabelScore
from bigbird_inference.tasks.embedding import Embedding, EmbeddingRequest
from bigbird_inference.tasks.entity_recognition import EntityRecognition, EntityRequest, EntityWindow
from bigbird_inference.tasks.offset_units import count_positions
from bigbird_inference.tasks.question_answering import QuestionAnswering, QuestionRequest, QuestionWindow
from bigbird_inference.tasks.read_windows import ReadWindow, read_windows
from bigbird_inference.tasks.registry import create_task
from bigbird_inference.tokenization.encoded import EncodedSequence, TokenizedText, Window
from tests.fake_model import logits_only

# Words of three letters and a space, each one token; windows of four with one shared: 0-3, 3-6, 6-9.
TEXT = " ".join(f"w{number:02}" for number in range(10))
PARTS = [(0, 4), (3, 4), (6, 4)]
PLACES = [(0, 15), (12, 27), (24, 39)]


def encoded(request: Any) -> EncodedRequest[Any]:
    starts = np.arange(10) * 4
    sequence = EncodedSequence(np.arange(6), np.zeros(6, dtype=np.int64))
    windows = [Window(sequence, 1, first, count) for first, count in PARTS]
    return EncodedRequest(request, TokenizedText(np.arange(10), starts, starts + 3), windows)


@pytest.fixture
def make_task(make_manifest: Any, tokenizer: Any) -> Any:
    def make(task: str, **fields: Any) -> Task[Any, Any]:
        return create_task(make_manifest(task=task, **fields), tokenizer)

    return make


def test_windows_tell_the_characters_that_they_hold() -> None:
    own = encoded(EmbeddingRequest(TEXT))
    assert read_windows(own.tokens, own.windows) == [ReadWindow(start, end, 4) for start, end in PLACES]


def test_each_answer_is_from_the_window_that_gives_it_the_better_score(make_task: Any) -> None:
    task: QuestionAnswering = make_task("qa")
    logits = [np.zeros((6, 2), dtype=np.float32) for _ in PARTS]
    # The word 6 stands in windows 1 (at its end) and 2 (at its beginning), which is surer of it; 1 alone holds word 5.
    logits[1][4], logits[2][1], logits[1][3] = 5, 9, 7
    request = QuestionRequest("?", TEXT, top_k=2, max_answer_tokens=1, windows=True)
    answer = task.decode(encoded(request), logits_only(logits))
    assert [found.answer for found in answer.alternatives] == ["w06", "w05"]
    assert answer.windows == [
        QuestionWindow(start, end, 4, answers) for (start, end), answers in zip(PLACES, ([], [1], [0]), strict=True)
    ]


def test_the_empty_answer_is_from_no_window(make_task: Any) -> None:
    task: QuestionAnswering = make_task("qa")
    request = QuestionRequest("?", TEXT, min_score=1.0, windows=True)
    answer = task.decode(encoded(request), logits_only([np.zeros((6, 2), dtype=np.float32) for _ in PARTS]))
    assert (answer.answer, [window.answers for window in answer.windows or []]) == ("", [[], [], []])


def test_labels_have_the_scores_of_each_window_alone(make_task: Any) -> None:
    task: Classification = make_task("classify", labels=["a", "b"], problem_type="multi_label_classification")
    logits = [np.array(row, dtype=np.float32) for row in ([0, np.log(3)], [0, np.log(3)], [0, 0])]
    answer = task.decode(encoded(ClassificationRequest(TEXT, windows=True)), logits_only(logits))
    assert [label.label for label in answer.labels] == ["b", "a"]
    expected = [[("b", 0.75), ("a", 0.5)], [("b", 0.75), ("a", 0.5)], [("b", 0.5), ("a", 0.5)]]
    assert answer.windows is not None
    for window, (start, end), labels in zip(answer.windows, PLACES, expected, strict=True):
        scores = [LabelScore(label, pytest.approx(score)) for label, score in labels]  # type: ignore[arg-type]
        assert window == ClassifiedWindow(start, end, 4, scores)


def test_entities_are_taken_from_the_middle_of_windows(make_task: Any) -> None:
    task: EntityRecognition = make_task("ner", labels=["O", "B-PER"])
    logits = [np.zeros((6, 2), dtype=np.float32) for _ in PARTS]
    answer = task.decode(encoded(EntityRequest(TEXT, windows=True)), logits_only(logits))
    # The words 3 and 6 are at the cut edges of two windows each: the earlier one has them.
    assert answer.windows == [
        EntityWindow(0, 15, 4, 0, 15),
        EntityWindow(12, 27, 4, 16, 27),
        EntityWindow(24, 39, 4, 28, 39),
    ]


def test_embeddings_list_their_windows(make_task: Any) -> None:
    task: Embedding = make_task("embed")
    hidden = [{"hidden": np.ones((6, 8), dtype=np.float32)} for _ in PARTS]
    answer = task.decode(encoded(EmbeddingRequest(TEXT, windows=True)), hidden)
    assert answer.windows == [ReadWindow(start, end, 4) for start, end in PLACES]


@pytest.mark.parametrize("task", ["qa", "classify", "ner", "embed"])
def test_no_windows_are_told_where_nobody_asks(task: str, make_task: Any) -> None:
    made = make_task(task, labels=["a", "b"])
    fields = {"question": "?", "context": TEXT} if task == "qa" else {"text": TEXT}
    own = encoded(made.operation.request(**fields))
    shape = (2,) if task == "classify" else (6, 2)
    outputs = [{"logits": np.zeros(shape, np.float32), "hidden": np.ones((6, 8), np.float32)} for _ in PARTS]
    assert made.decode(own, outputs).windows is None


def test_a_text_is_tokenised_with_positions_where_windows_are_told(make_task: Any) -> None:
    task: Classification = make_task("classify", labels=["a", "b"])
    text = "Alice leads the project. " * 40
    own = task.encode(ClassificationRequest(text, windows=True))
    windows = read_windows(own.tokens, own.windows)
    assert len(windows) > 2
    assert (windows[0].start, windows[-1].end) == (0, len(text.rstrip()))
    assert all(one.start < other.start < one.end < other.end for one, other in itertools.pairwise(windows))
    plain = task.encode(ClassificationRequest(text))
    assert [part.sequence.input_ids.tolist() for part in own.windows] == [
        part.sequence.input_ids.tolist() for part in plain.windows
    ]


def test_windows_are_counted_as_the_request_asks() -> None:
    answer = EntityWindow(1, 3, 4, 2, 3)
    assert count_positions(answer, "🚀🚀🚀", "utf8") == EntityWindow(4, 12, 4, 8, 12)
