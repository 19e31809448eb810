"""What the OpenAPI description says of keys: FastAPI knows the routes that ask for one, this whether there are any."""

from typing import Any

from service.api.authentication import ADMIN_SCHEME, KEY_SCHEME
from service.api.problems import documented_problems
from service.security.access import Access


def describe_authentication(description: dict[str, Any], access: Access) -> None:
    """Add the answers 401 and 403 to operations that ask for a key, and leave out what is not configured."""
    configured = {KEY_SCHEME: access.keys_required, ADMIN_SCHEME: access.admin_enabled}
    for path in description["paths"].values():
        for operation in path.values():
            _describe(operation, configured)
    schemes = description["components"].get("securitySchemes", {})
    description["components"]["securitySchemes"] = {name: schemes[name] for name in schemes if configured[name]}


def _describe(operation: dict[str, Any], configured: dict[str, bool]) -> None:
    asked = {name for requirement in operation.pop("security", []) for name in requirement}
    if not asked:
        return
    problems = documented_problems(401, 403) if ADMIN_SCHEME in asked else documented_problems(401)
    operation["responses"].update({str(status): problem for status, problem in problems.items()})
    needed = sorted(name for name in asked if configured[name])
    if needed:
        operation["security"] = [{name: [] for name in needed}]
