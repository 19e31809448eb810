"""The OpenAPI description behind `/docs`: FastAPI's own, and what FastAPI cannot know.

That is: the schema of problems that every route refers to, what any path can answer before its route is asked, the
headers of all answers, keys, and the limits that are settings.
"""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from service.api.authentication_description import describe_authentication
from service.api.document_limits import describe_limits
from service.api.problems import ProblemBody, documented_problems
from service.api.request_context import REQUEST_ID_HEADER

# What is no HTTP, too slow or too much; a method that the path has not; a fault; a server that is not ready.
_ANYWHERE = (400, 405, 408, 429, 431, 500, 503)
_REQUEST_ID = {
    "description": "The request's own `X-Request-Id`, or one that was made.",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"},
}


class DescribedApplication(FastAPI):
    """A FastAPI application whose description is complete."""

    def openapi(self) -> dict[str, Any]:
        """Return the description; made when it is first asked for."""
        if self.openapi_schema is None:
            description = super().openapi()
            _, problems = models_json_schema(
                [(ProblemBody, "serialization")], ref_template="#/components/schemas/{model}"
            )
            description["components"]["schemas"].update(problems["$defs"])
            describe_limits(description["components"]["schemas"], self.state.settings)
            describe_authentication(description, self.state.access)
            _describe_answers(description)
            self.openapi_schema = description
        return self.openapi_schema


def _describe_answers(description: dict[str, Any]) -> None:
    """Add the problems that every operation can answer with, and the header that every answer has."""
    description["components"]["headers"] = {REQUEST_ID_HEADER: _REQUEST_ID}
    reference = {"$ref": f"#/components/headers/{REQUEST_ID_HEADER}"}
    anywhere = {str(status): problem for status, problem in documented_problems(*_ANYWHERE).items()}
    for path in description["paths"].values():
        for operation in path.values():
            responses = {**anywhere, **operation["responses"]}
            operation["responses"] = {
                status: {**response, "headers": {**response.get("headers", {}), REQUEST_ID_HEADER: reference}}
                for status, response in sorted(responses.items())
            }
