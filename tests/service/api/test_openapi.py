"""The description says what clients need to know and FastAPI cannot."""

import re
from dataclasses import replace
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from bigbird_inference.manifest import TaskName
from service.app import create_app
from service.settings import Settings
from tests.fake_model import fake_loaded_model
from tests.service.asynchronous import asynchronous
from tests.service.running_app import fake_models, running_app


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return create_app(Settings(max_characters=1234, max_list_items=9), fake_models()).openapi()


def validator(description: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": description["components"]})


def test_every_answer_has_its_request_id_and_every_operation_the_problems_of_any_path(
    description: dict[str, Any],
) -> None:
    for path in description["paths"].values():
        for operation in path.values():
            assert {"200", "400", "405", "408", "429", "431", "500", "503"} <= set(operation["responses"])
            for response in operation["responses"].values():
                assert response["headers"]["X-Request-Id"] == {"$ref": "#/components/headers/X-Request-Id"}


@pytest.mark.parametrize(
    ("status", "header"), [("405", "Allow"), ("429", "Retry-After"), ("503", "Retry-After"), ("415", "Accept-Encoding")]
)
def test_problems_that_tell_what_to_do_next_have_a_header_for_it(
    description: dict[str, Any], status: str, header: str
) -> None:
    assert header in description["paths"]["/ner"]["post"]["responses"][status]["headers"]


def test_metrics_are_described_in_both_formats(description: dict[str, Any]) -> None:
    content = description["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert set(content) == {"text/plain", "application/openmetrics-text"}


@pytest.mark.parametrize(
    ("name", "body", "valid"),
    [
        pytest.param("EntityBody", {"text": "a"}, True, id="a text"),
        pytest.param("EntityBody", {"text": "a" * 1234}, True, id="the longest text"),
        pytest.param("EntityBody", {"text": "a" * 1235}, False, id="a text over the server's limit"),
        pytest.param("EntityBody", {"text": ["a"] * 9}, True, id="the longest list"),
        pytest.param("EntityBody", {"text": ["a"] * 10}, False, id="a list over the server's limit"),
        pytest.param("EntityBody", {"text": " \n\u3000"}, False, id="white space"),
        pytest.param("EntityBody", {"text": ["a", " "]}, False, id="white space in a list"),
        pytest.param("ClassificationBody", {"text": "a", "text_pair": " "}, False, id="a white second text"),
        pytest.param(
            "ChoiceBody", {"prompt": "a", "choices": ["b"] * 9}, True, id="as many choices as texts in a list"
        ),
        pytest.param("ChoiceBody", {"prompt": "a", "choices": ["b"] * 10}, False, id="more choices than that"),
        pytest.param("ClassificationBody", {"text": "a", "threshold": 0.5}, True, id="a threshold"),
        pytest.param(
            "ClassificationBody",
            {"text": "a", "threshold": 0.5, "function": "none"},
            False,
            id="a threshold for raw values",
        ),
        pytest.param(
            "ClassificationBody",
            {"text": "a", "threshold": None, "function": "none"},
            True,
            id="no threshold for raw values",
        ),
        pytest.param("EntityBody", {"text": ["a"], "offsets": "utf16"}, True, id="positions in UTF-16"),
        pytest.param("EntityBody", {"text": "a", "offsets": "utf32"}, False, id="positions in what there is not"),
        pytest.param("ChoiceBody", {"prompt": "a", "choices": ["b", "c"], "offsets": "utf8"}, False, id="no positions"),
        pytest.param("GenerationBody", {"prompt": "a", "seed": 1}, False, id="a seed for nothing"),
        pytest.param(
            "GenerationBody", {"prompt": "a", "sampling": "greedy", "top_p": 0.5}, False, id="greedy and top_p"
        ),
        pytest.param("GenerationBody", {"prompt": "a", "sampling": "top_p", "seed": 1}, True, id="a seed for sampling"),
        pytest.param("GenerationBody", {"prompt": "a", "seed": None}, True, id="no seed for nothing"),
        pytest.param("EmbeddingBody", {"text": "a", "tokens": True}, True, id="tokens of a text"),
        pytest.param("EmbeddingBody", {"text": ["a"], "tokens": True}, False, id="tokens of a list"),
        pytest.param("EmbeddingBody", {"text": ["a"], "tokens": False}, True, id="a list without tokens"),
    ],
)
def test_a_body_is_valid_where_the_server_takes_it(
    description: dict[str, Any], name: str, body: dict[str, Any], valid: bool
) -> None:
    assert validator(description, name).is_valid(body) == valid


def examples_of(description: dict[str, Any], operation: dict[str, Any]) -> list[Any]:
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    forms = [form["$ref"].rpartition("/")[2] for form in schema.get("oneOf", [schema])]
    return [example for form in forms for example in description["components"]["schemas"][form]["examples"]]


@asynchronous
async def test_what_the_page_fills_in_can_be_sent_as_it_is() -> None:
    async with running_app() as (app, client):
        description = app.openapi()
        sent = 0
        for path in (f"/{task}" for task in get_args(TaskName)):
            for example in examples_of(description, description["paths"][path]["post"]):
                answer = await client.post(path, json=example)
                assert answer.status_code == 200, (path, answer.text)
                sent += 1
        assert sent == 14


def test_every_form_of_a_body_has_an_example(description: dict[str, Any]) -> None:
    for path, operations in description["paths"].items():
        for operation in operations.values():
            if "$ref" in str(operation.get("requestBody")) and "anyOf" not in str(operation["requestBody"]):
                for example in examples_of(description, operation):
                    schema = operation["requestBody"]["content"]["application/json"]["schema"]
                    found = Draft202012Validator({**schema, "components": description["components"]})
                    assert found.is_valid(example), path


def test_operations_have_readable_names_of_their_own(description: dict[str, Any]) -> None:
    names = [operation["operationId"] for path in description["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in names), names
    assert description["paths"]["/qa"]["post"]["operationId"] == "answer_question"


def test_every_type_has_a_readable_name_for_generated_clients(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    assert not [name for name in schemas if not name.isalnum()]
    assert {"QuestionAnswerResults", "EntityAnswerResults"} <= set(schemas)
    fields = [field for schema in schemas.values() for field in schema.get("properties", {}).values()]
    parts = [part for field in fields for part in field.get("anyOf", [])]
    unnamed = [part for part in parts if "enum" in part or part.get("type") == "object"]
    assert unnamed and all("title" in part for part in unnamed)


def test_every_operation_is_in_one_section_and_says_what_it_answers(description: dict[str, Any]) -> None:
    for path in description["paths"].values():
        for operation in path.values():
            assert len(operation["tags"]) == 1
            content = operation["responses"]["200"]["content"]
            assert all(answer["schema"].keys() - {"title"} for answer in content.values())


@asynchronous
async def test_the_notes_of_the_models_served_are_told_wherever_a_user_looks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    models = {}
    for name, note in (("b", "Knows reports."), ("a", "Knows reports."), ("c", None)):
        model = fake_loaded_model("ner", name)
        source = replace(model.manifest.source, note=note)
        models[name] = replace(model, manifest=replace(model.manifest, source=source))
    async with running_app(models) as (app, client):
        assert "**a, b: Knows reports.**" in (await client.get("/openapi.json")).json()["info"]["description"]
        listed = (await client.get("/v1/models")).json()["models"]
        assert [model["source"]["note"] for model in listed] == ["Knows reports.", "Knows reports.", None]
        told = [record.message for record in caplog.records if record.name == "service.serving"]
        assert told == ["ready: a, b, c", "a, b: Knows reports."]
        await app.state.serving.changes.unload("a")
        assert "**b: Knows reports.**" in (await client.get("/openapi.json")).json()["info"]["description"]
