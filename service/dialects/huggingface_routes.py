"""`POST /models/{name}` and `POST /`: a model by its name, in the form of Hugging Face that suits its task.

The hosted service answers on such addresses, and its clients are given one per model.
"""

from dataclasses import replace
from typing import Annotated, Any, Union

from fastapi import Path, Request, Response
from pydantic import TypeAdapter

from bigbird_inference.errors import InvalidInput
from service.api.answering import answer
from service.api.json_body import validated
from service.api.request_state import ServingDependency
from service.dialects.bodies import dialect_router
from service.dialects.huggingface import FORMS, form_of
from service.dialects.vectors import SIMILARITY
from service.models.served_models import ENDPOINTS
from service.serving import Serving

_FORMS = [*FORMS.values(), SIMILARITY]
_BODIES = {form.body: TypeAdapter(form.body) for form in _FORMS}
_DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [{"$ref": f"#/components/schemas/{form.body.__name__}"} for form in _FORMS]}
            }
        },
    }
}

router = dialect_router()


@router.post(
    "/models/{name}",
    name="ask_model",
    summary="Ask a model by its name",
    openapi_extra=_DESCRIBED,
    response_model=Union[tuple(form.answer for form in _FORMS)],  # noqa: UP007
)
async def ask_model(
    name: Annotated[str, Path(min_length=1, max_length=255, description="From `/v1/models`.")],
    request: Request,
    serving: ServingDependency,
) -> Response:
    """Answer in the shape of the pipeline of the model's task."""
    return await _ask(request, serving, name)


# Not described: `GET /` leads to a page, and a description knows no path that is half in it.
@router.post("/", name="ask_only_model", include_in_schema=False)
async def ask_only_model(request: Request, serving: ServingDependency) -> Response:
    """Answer in the shape of the pipeline of the model's task; refused where several models are loaded."""
    return await _ask(request, serving, None)


async def _ask(request: Request, serving: Serving, name: str | None) -> Response:
    parsed = await request.json()
    said = parsed.get("model") if isinstance(parsed, dict) else None
    if name is not None and said not in (None, name):
        raise InvalidInput("model is not that of the path")
    model = serving.models.choose_any(name or (said if isinstance(said, str) else None))
    task = model.manifest.task
    form = form_of(task, parsed)
    if form is None:
        raise InvalidInput(f"The model {model.name!r} is not asked in this form; see {ENDPOINTS[task]} in /docs")
    asked = form.asked(validated(_BODIES[form.body], parsed), serving.settings)
    return await answer(request, serving, replace(asked, model=model.name))
