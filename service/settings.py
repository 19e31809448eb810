"""Every setting of the service: name, default and help in one table.

The environment is read once, here (`BIGBIRD_` before the upper-case name); flags of the command line arrive as
overrides and win. An invalid value stops start-up with the setting's name.
"""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from bigbird_inference.runtime.cpu_runtime_choice import PrecisionChoice, RuntimeChoice
from bigbird_inference.runtime.cuda.features import GpuFeatures

ENVIRONMENT_PREFIX = "BIGBIRD_"

LogFormat = Literal["auto", "json", "text"]

# Variables that are refused, and what has taken their place.
_REPLACED = {
    "BIGBIRD_CUDA_GRAPHS": "BIGBIRD_GPU_FEATURES=fused_attention,iobinding does what `false` did; `true` is the default"
}

# Variables that begin like settings: of `bigbird evaluate`, and of the tests.
_OF_OTHERS = re.compile(r"(AGAINST_)?API_KEY|TESTS_.*")

_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:]+\])(?P<port>:\d{1,5})?")
_USUAL_PORTS = {"http": ":80", "https": ":443"}


def _origins(value: str) -> str:
    """Refuse origins that no browser sends, which would let nobody in."""
    for origin in value.split(",") if value else []:
        _check_origin(origin.strip())
    return value


def _check_origin(origin: str) -> None:
    if origin in ("*", "null"):  # every page can make itself a frame whose origin is null
        raise ValueError(
            f"{origin} would let every page of the web use the service; name origins, as https://app.example.com"
        )
    found = _ORIGIN.fullmatch(origin)
    if found is not None and found["port"] != _USUAL_PORTS[found["scheme"]]:
        return
    # As browsers write it: in lower case, without a path, without the port that the scheme has anyway.
    host = re.sub(r"^https?://|/.*", "", origin.lower())
    schemes = [scheme for scheme in _USUAL_PORTS if origin.lower().startswith(f"{scheme}://")] or ["https", "http"]
    likely = [f"{scheme}://{host.removesuffix(_USUAL_PORTS[scheme])}" for scheme in schemes]
    if _ORIGIN.fullmatch(likely[0]) is None:
        raise ValueError(f"{origin!r} is not an origin; write https://app.example.com, with commas between several")
    raise ValueError(f"{origin!r} is not an origin as browsers send it; write {' or '.join(likely)}")


def _features(value: str) -> str:
    return str(GpuFeatures.parse(value))


MODEL_NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"
"""Names of models that can be managed: one entry of a folder, and none that is hidden."""

_HOST_NAME = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"


class InvalidSettings(Exception):
    """A setting has a value that cannot work; the message names it."""


class Settings(BaseSettings):
    """Where to find the models, where to listen and how much to accept."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        # Compose files pass `${NAME:-}` as an empty string: that means unset.
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    models: Path = Field(Path("bundles"), description="Folder of bundles; it may also be a bundle itself.")
    model_name: str | None = Field(
        None,
        pattern=MODEL_NAME_PATTERN,
        description="What the model is called in requests, where `BIGBIRD_MODELS` is itself a bundle; otherwise it has "
        "its folder's name.",
    )
    allow_failed_models: bool = Field(
        False,
        description="Start although a bundle cannot be loaded or does not give its known answer, and serve the others; "
        "`/health/ready` then says `degraded`.",
    )
    host: str = Field(
        "127.0.0.1",
        pattern=r"^[^\s,]+(\s*,\s*[^\s,]+)*$",
        description="Address to listen on, or several with commas between them; `::` is all of IPv6 and IPv4.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+(,\d+)*)?)$",
        description="`cuda`: all visible GPUs; `cuda:N` or `cuda:N,M`: these; `cpu`; or `auto`: the GPUs if they can "
        "be used, otherwise the CPU.",
    )
    gpu_memory_limit_bytes: int = Field(
        0, ge=0, description="Most memory that a model takes on each GPU; 0 means no limit."
    )
    gpu_features: Annotated[str, AfterValidator(_features)] = Field(
        "auto",
        description="What is tried on a GPU beyond onnxruntime's own way, and kept where it gives the same answers "
        "sooner: `auto` for all of it; `none`; or some of `fused_attention`, `iobinding` and `cuda_graphs`, with "
        "commas between them, which are kept even if they gain nothing (docs/running.md).",
    )
    threads: int = Field(0, ge=0, description="Threads within an operator on the CPU; 0 means the available cores.")
    cpu_runtime: RuntimeChoice = Field(
        "auto",
        description="What runs models on the CPU: `onnxruntime`; `openvino`, with the extra of that name; or `auto`: "
        "the fastest that is installed, that suits the processor and that the bundle has figures for "
        "(docs/performance.md).",
    )
    cpu_precision: PrecisionChoice = Field(
        "auto",
        description="What the CPU computes in where a graph has float32: `fp32`; `bf16`, with OpenVINO; or `auto`.",
    )
    max_characters: int = Field(200_000, ge=1, description="Longest text in characters; longer ones are refused (413).")
    max_list_items: int = Field(256, ge=1, description="Most texts in one request (413).")
    max_body_bytes: int = Field(16 * 1024 * 1024, ge=1, description="Largest request body (413).")
    max_batch_items: int = Field(64, ge=1, description="Most windows in one batch.")
    max_batch_tokens: int = Field(16_384, ge=1, description="Most tokens in one batch, padding included.")
    max_batch_memory_bytes: int = Field(
        0,
        ge=0,
        description="Most memory that one batch may take, as measured at warm-up; 0 means half of what is available "
        "at start.",
    )
    batch_delay_ms: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="How long a window may wait for others to join its batch while nothing runs.",
    )
    queue_patience_seconds: float = Field(
        5.0,
        ge=0,
        allow_inf_nan=False,
        description="What has waited this long is overdue: half of the time goes to the longest overdue.",
    )
    warm_up_seconds: float = Field(
        10.0,
        ge=0,
        allow_inf_nan=False,
        description="How long warm-up measures larger batches; single documents are measured in any case.",
    )
    stuck_run_factor: float = Field(
        20.0, gt=0, allow_inf_nan=False, description="A run counts as stuck after so many times its predicted time."
    )
    stuck_run_seconds: float = Field(
        60.0,
        ge=0,
        allow_inf_nan=False,
        description="A run counts as stuck after this time at the earliest; `/health/live` then answers 503.",
    )
    rerank_label: str = Field(
        "",
        max_length=255,
        description="The label that means that a document answers a query, for requests to `/rerank` and `/v1/rerank` "
        "that name none and models that have it among others (docs/dialects.md).",
    )
    max_queued_items: int = Field(
        1024, ge=1, description="Most windows that wait, an eighth of them only of small requests; 429."
    )
    max_queued_tokens: int = Field(1_048_576, ge=1, description="Most tokens that wait, likewise; 429.")
    timeout_ms: int = Field(120_000, ge=1, description="Time for a request that names no `timeout_ms` itself (504).")
    max_connections: int = Field(
        1024,
        ge=1,
        description="Most open connections, or fewer where the limit of open files is low; beyond them an idle one or "
        "an unfinished request gives way, or 503.",
    )
    max_header_bytes: int = Field(32_768, ge=1024, description="Most bytes of a request's line and headers (431).")
    header_timeout_seconds: float = Field(
        10.0, gt=0, allow_inf_nan=False, description="Time for a request's line and headers (408)."
    )
    body_timeout_seconds: float = Field(
        20.0,
        gt=0,
        allow_inf_nan=False,
        description="Time for a request's body, and a second more for every 16 KiB of it (408).",
    )
    write_timeout_seconds: float = Field(
        20.0,
        gt=0,
        allow_inf_nan=False,
        description="A client that for so long reads less than 16 KiB/s of its answer is cut off.",
    )
    keep_alive_seconds: int = Field(5, ge=0, description="How long a connection is kept between two requests.")
    drain_delay_seconds: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="After SIGTERM, time in which requests are still accepted and only `/health/ready` says 503, so "
        "that a load balancer sends no more; then the drain begins.",
    )
    drain_timeout_seconds: float = Field(
        25.0, ge=0, allow_inf_nan=False, description="After SIGTERM and the delay, time to answer what was accepted."
    )
    api_keys_file: Path | None = Field(
        None,
        description="File of the API keys' names and hashes, a line each as `bigbird key NAME` prints it; changes "
        "to it take effect within seconds.",
    )
    api_keys: SecretStr | None = Field(
        None, description="Such lines themselves, with commas between them. Without keys everybody may use the service."
    )
    admin_key_file: Path | None = Field(None, description="File of the keys that may manage models, likewise.")
    admin_key: SecretStr | None = Field(
        None, description="Such a line itself. Without an admin key nobody manages models over HTTP."
    )
    cors_origins: Annotated[str, AfterValidator(_origins)] = Field(
        "",
        description="Web origins whose pages may call the service from a browser, as `https://app.example.com`, with "
        "commas between them; empty means none.",
    )
    max_answer_bytes: int = Field(
        128 * 1024 * 1024,
        ge=1,
        description="Most bytes of one answer (422). The default holds any answer about one text.",
    )
    max_answers_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1,
        description="Most bytes that all answers may have that are made or not yet read, the first MiB of each not "
        "counted; beyond them 429.",
    )
    allowed_hosts: str = Field(
        "",
        pattern=rf"^({_HOST_NAME}(, ?{_HOST_NAME})*)?$",
        description="Names by which requests may call the server beside `localhost` and loopback addresses, without "
        "ports, with commas between them (400). Empty: none while it listens on loopback only, otherwise all.",
    )
    max_requests: int = Field(1024, ge=1, description="Most requests under way, probes not counted; beyond them 429.")
    max_requests_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1,
        description="Most bytes that the bodies of all requests under way may have; beyond them 429.",
    )
    playground: bool = Field(
        True, description="Whether `/` is a page to try the models with; otherwise it leads to `/docs`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    log_format: LogFormat = Field(
        "auto", description="`json`: one object on each line; `text`; or `auto`: text on a terminal, otherwise JSON."
    )
    tracing: bool = Field(
        False, description="Whether OpenTelemetry traces are exported; needs the extra `tracing` (docs/metrics.md)."
    )

    @property
    def hosts(self) -> list[str]:
        """The addresses to listen on."""
        return [host.strip() for host in self.host.split(",")]

    @property
    def allowed_host_names(self) -> list[str]:
        """The names by which the server may be called beside those of loopback."""
        return [name.strip() for name in self.allowed_hosts.split(",") if name]


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment; overrides that are not None win.

    Raises:
        InvalidSettings: A value is invalid; every invalid setting is named.
    """
    if replaced := [f"{name} is not a setting any more: {_REPLACED[name]}" for name in os.environ if name in _REPLACED]:
        raise InvalidSettings("\n".join(replaced))
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problems = [f"{environment_name(str(problem['loc'][0]))}: {_told(problem)}" for problem in error.errors()]
        raise InvalidSettings("\n".join(problems)) from None


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return a line about each variable that begins like a setting and is none; somebody has misspelt it.

    Args:
        names: Those of the environment.
    """
    settings = [name.upper() for name in Settings.model_fields]
    lines = []
    for name in sorted(names):
        own = name.upper().removeprefix(ENVIRONMENT_PREFIX)
        if own == name.upper() or own in settings or _OF_OTHERS.fullmatch(own):
            continue
        nearest = difflib.get_close_matches(own, settings, n=1)
        meant = f"did you mean {ENVIRONMENT_PREFIX}{nearest[0]}?" if nearest else "`bigbird serve --help` lists them"
        lines.append(f"{name} is set, but is not a setting and changes nothing; {meant}")
    return lines


def is_secret(setting: str) -> bool:
    """Tell whether a setting's value must not be printed, nor given where others can read it."""
    field = Settings.model_fields.get(setting)
    return field is not None and SecretStr in get_args(field.annotation)


def environment_name(setting: str) -> str:
    """Return the environment variable of a setting."""
    return ENVIRONMENT_PREFIX + setting.upper()


def settings_table() -> str:
    """Return all settings as a Markdown table, for the documentation."""
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "unset" if field.default in (None, "") else f"`{_written(field.default)}`"
        rows.append(f"| `{environment_name(name)}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def _told(problem: ErrorDetails) -> str:
    """Return what is wrong, in words: a regular expression says nothing to most people."""
    setting, received = str(problem["loc"][0]), repr(problem["input"])
    if problem["type"] == "string_pattern_mismatch":
        return f"cannot be {received}. {Settings.model_fields[setting].description}"
    error = problem.get("ctx", {}).get("error")
    message = problem["msg"] if error is None else str(error)
    return message if is_secret(setting) else f"{message} (got {received})"


def _written(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)
