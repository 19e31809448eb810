"""Schemathesis on the OpenAPI description: every check that it has, on two servers, one of which asks for keys.

Examples, boundaries, random positive and negative data, and sequences of calls, against running processes. Nothing is
turned off. Three answers that are right are not failures, each for a reason:

- 504 is what a request gets that allows itself a millisecond: the time that it asks for is up. Everything else
  from 500 on is a failure.
- 422 with the code `invalid_input` is the one refusal that valid data can meet. It means what a JSON Schema
  cannot express: two lists that must be equally long, a text without a mask, a prompt longer than the model, a text of
  nothing but characters that the model's normaliser drops. 422 with `invalid_request`, which is about single fields,
  is a failure for valid data; and every operation must have accepted some.
- 413 counts as a refusal of invalid data: a text or a list beyond the limit that the description tells.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.engine import Status, events, from_schema
from schemathesis.hooks import unregister

from service.security.access import key_line, make_key
from tests.reliability.fuzzed_server import FuzzedServer, fuzzed_server
from tests.reliability.report import Report

SEED = 20261120
# Beside these, an operation has some hundred examples at the boundaries of its fields.
_RANDOM_EXAMPLES = 150
_DEADLINE_PASSED = 504
_INVALID_INPUT = "invalid_input"
# Loaded, unloaded and reloaded all the time; the probe asks another one.
_MANAGED_MODEL = "small-embed"
_MODELS = {
    "/v1/embeddings": "small-embed",
    "/v1/rerank": "small-classify",
    "/rerank": "small-classify",
    "/predict": "small-classify",
    "/tokenize": "small-qa",
    "/decode": "small-qa",
    "/info": "small-qa",
}
_LABEL = "report"
_REJECTED_POSITIVE_DATA = "RejectedPositiveData"


@dataclass(slots=True)
class _Outcome:
    """What was sent, and what came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    valid: Counter[str] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)
    checks: Counter[str] = field(default_factory=Counter)
    excused: int = 0
    failures: list[str] = field(default_factory=list)


def run(scale: float, *, only_with_keys: bool = False) -> Report:
    """Run every phase on an open server and on one with keys, or on the latter only.

    At scale 1 each call has 150 random examples.
    """
    examples = max(2, round(_RANDOM_EXAMPLES * scale))
    outcome = _Outcome()
    if not only_with_keys:
        with fuzzed_server() as server:
            _attack(server, examples, outcome)
    key = make_key()
    keys = {"BIGBIRD_API_KEYS": key_line("caller", make_key()), "BIGBIRD_ADMIN_KEY": key_line("fuzzer", key)}
    with fuzzed_server(keys, {"Authorization": f"Bearer {key}"}) as server:
        _attack(server, max(2, examples // 4), outcome)
    never = sorted(operation for operation in outcome.operations if not outcome.accepted[operation])
    outcome.failures += [f"{operation} accepted nothing of what was valid" for operation in never]
    return Report(
        area="openapi",
        inputs=outcome.statuses.total(),
        failures=tuple(dict.fromkeys(outcome.failures)),
        facts={
            "operations": str(len(outcome.operations)),
            "checks": ", ".join(sorted(outcome.checks)),
            "answers": ", ".join(f"{status}: {count}" for status, count in sorted(outcome.statuses.items())),
            "valid requests": f"{outcome.valid.total()}, {outcome.accepted.total()} of them answered 200",
            "valid, but not for the model": str(outcome.excused),
        },
    )


def _attack(server: FuzzedServer, examples: int, outcome: _Outcome) -> None:
    schema = schemathesis.openapi.from_url(
        f"{server.running.url}/openapi.json",
        config=_configuration(examples, server),
        headers=dict(server.headers),
    )

    def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
        make_reach_the_model(case, server)

    schema.hook(filter_failure)
    schemathesis.hook(before_call)
    try:
        for event in from_schema(schema).execute():
            if isinstance(event, events.ScenarioFinished):
                _note(event, outcome)
            elif isinstance(event, events.NonFatalError | events.FatalError):
                outcome.failures.append(f"schemathesis could not go on: {event}"[:1000])
    finally:
        unregister(before_call)
    wrong = server.wrong_with_it()
    outcome.failures += [wrong] if wrong else []
    outcome.failures += [f"in the server's log: {line}" for line in server.faults_in_log()]


def _configuration(examples: int, server: FuzzedServer) -> schemathesis.Config:
    return schemathesis.Config.from_dict(
        {
            "seed": SEED,
            "base-url": server.running.url,
            "headers": dict(server.headers),
            "request-timeout": 60,
            "continue-on-failure": True,
            "generation": {"mode": "all", "max-examples": examples, "database": "none", "no-shrink": True},
            "checks": {
                "enabled": True,
                "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", str(_DEADLINE_PASSED)]},
                "negative_data_rejection": {"expected-statuses": ["4xx", str(_DEADLINE_PASSED)]},
                "max_response_time": 60,
            },
        }
    )


def filter_failure(
    context: schemathesis.HookContext, failure: Failure, case: schemathesis.Case, response: Response
) -> bool:
    """Keep a failure unless it is valid data that this model alone refuses."""
    return not (type(failure).__name__ == _REJECTED_POSITIVE_DATA and _code(response) == _INVALID_INPUT)


def make_reach_the_model(case: schemathesis.Case, server: FuzzedServer) -> None:
    """Change most valid requests so that they reach the model: name one that there is, allow it time, hold a mask."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    path, body = case.operation.path, case.body
    if case.path_parameters:
        name = _model_in_form_of(body) if path == "/models/{name}" else _MANAGED_MODEL
        if path.startswith("/v2/") or path == "/v1/models/{name}":
            name = "small-ner"
        version = {"version": _version(server, name)} if "version" in case.path_parameters else {}
        case.path_parameters = {**case.path_parameters, "name": name, **version}
    if path == "/info":
        case.query = {**(case.query or {}), "model": _MODELS[path]}
    if not isinstance(body, dict):
        return
    task = path.strip("/")
    model = _MODELS.get(path, f"small-{task}")
    text, mask = body.get("text"), body.get("mask")
    changed = dict(body)
    if len(json.dumps(body)) % 8:
        changed |= {name: value for name, value in (("model", model), ("timeout_ms", 60_000)) if name in body}
    if path in _MODELS and path != "/v1/embeddings":
        changed["model"] = model
    if path.endswith("/infer"):
        inputs = [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["Maria Okafor"]}]
        changed = {"inputs": inputs} | {key: value for key, value in body.items() if key == "id"}
    if path.endswith("/rerank"):
        changed["label"] = _LABEL
    if task == "fill-mask" and isinstance(text, str) and len(text) < 1000:
        changed["text"] = f"{text} {mask if isinstance(mask, str) else '[MASK]'}"
    case.body = changed


def _version(server: FuzzedServer, name: str) -> str:
    """Return which version of a model answers: requests that mean no good reload it, too."""
    return str(server.client.get(f"/v1/models/{name}").raise_for_status().json()["version"])


def _model_in_form_of(body: Any) -> str:
    """Return a model that is asked in the form of a body."""
    inputs = body.get("inputs") if isinstance(body, dict) else None
    parameters = body.get("parameters") if isinstance(body, dict) else None
    first = inputs[0] if isinstance(inputs, list) and inputs else inputs
    names = {*(first if isinstance(first, dict) else ()), *(parameters if isinstance(parameters, dict) else ())}
    if "source_sentence" in names or {"normalize", "truncate"} & {*names, *(body if isinstance(body, dict) else ())}:
        return "small-embed"
    if "context" in names:
        return "small-qa"
    return "small-ner" if {"aggregation_strategy", "ignore_labels", "stride"} & names else "small-classify"


def _code(response: Response) -> str:
    try:
        return str(json.loads(response.content)["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def _note(event: events.ScenarioFinished, outcome: _Outcome) -> None:
    recorder = event.recorder
    for case_id, interaction in recorder.interactions.items():
        case = recorder.cases[case_id].value
        outcome.operations.add(case.operation.label)
        if interaction.response is None:
            outcome.failures.append(f"{case.operation.label}: no answer to {case.as_curl_command()[:500]}")
            continue
        outcome.statuses[interaction.response.status_code] += 1
        if case.meta is not None and case.meta.generation.mode.is_positive:
            outcome.valid[case.operation.label] += 1
            outcome.accepted[case.operation.label] += interaction.response.status_code == 200
    outcome.excused += sum(recorder.filtered_failures.values())
    outcome.failures += _failures(recorder, outcome)


def _failures(recorder: Any, outcome: _Outcome) -> Iterator[str]:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            outcome.checks[check.name] += 1
            if check.status not in (Status.SUCCESS, Status.SKIP):
                info = check.failure_info
                what = "crashed" if info is None else f"{info.failure.title}: {info.failure.message}"
                how = "" if info is None else info.code_sample
                label = recorder.cases[case_id].value.operation.label
                yield f"{check.name} of {label} with seed {SEED}: {what}\n{how}"[:1500]


def main() -> None:
    """Print the report of a full run."""
    report = run(1.0)
    print(report.inputs, dict(report.facts), *report.failures, sep="\n")


if __name__ == "__main__":
    main()
