"""The OpenAPI description behind `/docs`: FastAPI's own, plus the schema of problems that every route refers to."""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from service.api.problems import ProblemBody


class DescribedApplication(FastAPI):
    """A FastAPI application whose description knows problems."""

    def openapi(self) -> dict[str, Any]:
        """Return the description; made when it is first asked for."""
        if self.openapi_schema is None:
            description = super().openapi()
            _, problems = models_json_schema(
                [(ProblemBody, "serialization")], ref_template="#/components/schemas/{model}"
            )
            description["components"]["schemas"].update(problems["$defs"])
            self.openapi_schema = description
        return self.openapi_schema
