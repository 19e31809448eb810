"""`huggingface_hub` and `openai` as their users call them: against the real server, compared with native answers."""

import base64
import re
from pathlib import Path

import huggingface_hub
import numpy as np
import openai
import pytest

from tests.clients.native_answers import native

pytestmark = pytest.mark.integration


def client(server: str, path: str) -> huggingface_hub.InferenceClient:
    return huggingface_hub.InferenceClient(model=server + path, timeout=60)


@pytest.mark.parametrize("path", ["/qa", "/models/fake-qa"])
def test_questions(server: str, path: str) -> None:
    found = client(server, path).question_answering(question="Who?", context="10 20", top_k=1)
    own = native(server, "/qa", question="Who?", context="10 20")
    assert (found.answer, found.score, found.start, found.end) == tuple(
        own[name] for name in ("answer", "score", "start", "end")
    )


def test_labels(server: str) -> None:
    found = client(server, "/classify").text_classification("10 20", top_k=2, function_to_apply="none")
    own = native(server, "/classify", text="10 20", top_k=2, function="none")
    assert [{"label": label.label, "score": label.score} for label in found] == own["labels"]
    assert len(found) == 2


def test_entities(server: str) -> None:
    found = client(server, "/ner").token_classification("10 20", aggregation_strategy="simple", ignore_labels=["O"])
    (own,) = native(server, "/ner", text="10 20")["entities"]
    (entity,) = found
    assert (entity.entity_group, entity.word, entity.start, entity.end, entity.score) == tuple(
        own[name] for name in ("entity", "text", "start", "end", "score")
    )


def test_masks(server: str) -> None:
    found = client(server, "/fill-mask").fill_mask("10 [MASK]", top_k=1)
    ((own,),) = native(server, "/fill-mask", text="10 [MASK]", top_k=1)["predictions"]
    assert [(fill.token_str, fill.token, fill.score, fill.sequence) for fill in found] == [
        tuple(own[name] for name in ("token", "token_id", "score", "sequence"))
    ]


@pytest.mark.parametrize("path", ["/embed", "/similarity"])
def test_similarities(server: str, path: str) -> None:
    found = client(server, path).sentence_similarity("10", other_sentences=["20", "30"])
    vectors = [np.array(native(server, "/embed", text=text)["embedding"]) for text in ("10", "20", "30")]
    assert found == [float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])]


def test_features(server: str) -> None:
    found = client(server, "/embed").feature_extraction("10", normalize=True, truncate=False)
    assert found.tolist() == [native(server, "/embed", text="10")["embedding"]]


def test_a_refusal_is_told(server: str) -> None:
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError) as refused:
        client(server, "/qa").question_answering(question="Who?", context="10", align_to_words=True)
    assert refused.value.response.json()["error"].startswith("parameters.align_to_words: ")


def test_what_the_page_prints(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(code.replace("http://127.0.0.1:8000", server), {})
    assert "answer='Mar'" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_openai_embeddings(server: str, encoding: str | None) -> None:
    chosen = {} if encoding is None else {"encoding_format": encoding}
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as asked:
        found = asked.embeddings.create(model="fake-embed", input=["10", "20"], **chosen)  # type: ignore[arg-type]
    own = [native(server, "/embed", text=text) for text in ("10", "20")]
    numbers = [entry.embedding for entry in found.data]
    if encoding == "base64":
        numbers = [np.frombuffer(base64.b64decode(number), "<f4").tolist() for number in numbers]  # type: ignore[arg-type]
    assert numbers == [entry["embedding"] for entry in own]
    assert [entry.index for entry in found.data] == [0, 1]
    assert found.usage.prompt_tokens == sum(entry["usage"]["tokens"] for entry in own)


def test_openai_lists_models_and_tells_errors(server: str) -> None:
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as asked:
        assert "fake-embed" in [model.id for model in asked.models.list()]
        assert asked.models.retrieve("fake-ner").id == "fake-ner"
        with pytest.raises(openai.NotFoundError) as unknown:
            asked.embeddings.create(model="other", input="10")
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            asked.embeddings.create(model="fake-embed", input="10", dimensions=3)
    assert "no model 'other'" in str(unknown.value)
    assert "dimensions is 3" in str(refused.value) and refused.value.code == "invalid_input"
