"""No command of README and docs is printed unread: a test runs it, or what it names is looked up here.

What cannot be run here (other machines, networks, hours) stands in `NOT_RUN`, with what stands in for it. Its options,
files, targets, images and resources must exist all the same.
"""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
import yaml

from bigbird_cli.main import main
from service.models.served_models import ENDPOINTS
from service.settings import Settings, environment_name
from tests.documented_commands import ROOT, printed

EXAMPLES = (ROOT / "examples" / "README.md", ROOT / "examples" / "clients" / "README.md")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *EXAMPLES])
COMMANDS = [
    pytest.param(page, command, id=f"{page.relative_to(ROOT)}: {command[:60]}")
    for page in PAGES
    for command in printed(page)
]

RUN_BY = {
    "README.md": "tests/end_to_end/test_printed_commands.py",
    "examples/README.md": "tests/end_to_end/test_printed_commands.py",
    "docs/http.md": "tests/end_to_end/test_printed_commands.py",
    "docs/kubernetes.md": "tests/end_to_end/test_printed_commands.py",
    "docs/bulk.md": "tests/end_to_end/test_bulk.py",
    "docs/cluster.md": "tests/end_to_end/test_ray.py",
    "docs/dialects.md": "tests/clients/test_generated_clients.py",
    "docs/evaluate.md": "tests/end_to_end/test_evaluate.py",
    "docs/finetune.md": "tests/finetuning/test_documented_sequence.py",
    "docs/getting_started.md": "tests/test_getting_started.py",
}
"""Who runs the commands of a page that need no more than this machine and its own tools."""

NOT_RUN = {
    "-m demo --output": "tests/demo/test_command.py",  # hours
    "-m benchmarks.batch": "tests/bulk/test_batch_command.py",  # an hour
    "-m benchmarks.demo_accuracy": "tests/benchmarks/test_demo_accuracy.py",  # an hour
    "-m benchmarks.gpu": "tests/benchmarks/gpu",  # needs a GPU
    "-m benchmarks.playground": "tests/playground",  # needs Chromium
    "-m scripts.take_screenshots": "tests/playground",  # needs Chromium
    "-m tests.reliability.soak": "tests/reliability/test_soak.py",  # most of an hour
    "export google/bigbird-base-trivia-itc": "tests/end_to_end/test_look_alikes.py",  # run there with a local hub
    "export vedantM/BigBird-PII": "tests/end_to_end/test_look_alikes.py",
    "-m scripts.check_public_checkpoints": "tests/scripts/test_check_public_checkpoints.py",  # needs a network
    "export examples/checkpoints/demo-$task": "tests/model_export/export/test_quantise.py",  # minutes
    "measure BUNDLE": "tests/model_export/test_remeasure.py",  # needs a bundle and OpenVINO
    "--calibration examples/documents/financial.txt": "tests/model_export/export/test_nncf_quantise.py",  # needs NNCF
    "batch s3://": "tests/end_to_end/test_object_stores.py",  # needs a store
    "serve --models bundles --tracing": "tests/service/telemetry/test_tracing.py",  # needs a collector
    "serve --models bundles --port 800": "tests/deploy/test_proxies.py",  # needs sixteen cores
    "-c from demo.reports": "tests/demo/test_reports.py",
}
"""A part of each such command that is not run as it stands, and what stands in for it."""


NEEDS_A_NETWORK = {
    "docs/checkpoints.md": "tests/model_export/test_look_alikes.py",
    "docs/real_entities.md": "tests/finetuning/test_lora.py",
    "docs/real_models.md": "tests/scripts/test_real_models.py",
}
"""Pages whose commands download or need what was downloaded, and what stands in; options must exist all the same."""


def read_make(words: Sequence[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert {word for word in words if "=" not in word} <= set(targets)


def read_bigbird(words: Sequence[str]) -> None:
    name, *given = words
    # A file that an earlier command of the page makes.
    options = [__file__ if word.startswith("build/") and word.endswith(".jsonl") else word for word in given]
    group = main
    with click.Context(group) as context:
        command = group.get_command(context, name)
        assert command is not None
        command.make_context(name, options, parent=context)


def read_python(words: Sequence[str]) -> None:
    if words[0] == "-c":
        compile(words[1], "page", "exec")
        return
    if words[:2] == ["-m", "venv"]:
        return
    if words[0] == "-m":
        found = importlib.util.find_spec(words[1])
        if found is not None and found.submodule_search_locations:
            found = importlib.util.find_spec(f"{words[1]}.__main__")
        assert found is not None and found.origin is not None
        source = Path(found.origin).read_text("utf-8")
        assert all(f'"{word}"' in source for word in words if word.startswith("--"))
    else:
        assert (ROOT / words[0]).is_file()


def read_pip(words: Sequence[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert words[:4] == ["install", "-c", "constraints.txt", "-e"], "the demo's environment must stay what it is"
    asked = re.fullmatch(r"\.\[([a-z0-9,]+)\]", words[4])
    assert asked is not None and set(asked[1].split(",")) <= set(extras)


def read_docker(words: Sequence[str]) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    image = (ROOT / "Dockerfile").read_text("utf-8")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    if words[:2] == ["compose", "run"]:
        service, *command = [word for word in words[2:] if word not in ("--rm", "--no-deps")]
        assert service in compose["services"]
        if command:
            read_bigbird(command)
        return
    if words[0] == "compose":
        profiles = {profile for service in compose["services"].values() for profile in service["profiles"]}
        named = {word for before, word in pairwise(words) if before == "--profile"}
        services = set(words[1:]) - named - {"--profile", "up", "build", "--detach"}
        assert named <= profiles and services <= set(compose["services"])
        return
    for option, value in pairwise(words):
        assert option != "--target" or f" AS {value}\n" in image
        assert option != "--secret" or f"id={value.partition(',')[0].removeprefix('id=')}," in image
    images = [word for word in words if word.startswith("bigbird-serve:")]
    assert images in ([f"bigbird-serve:{version}-gpu"], [f"bigbird-serve:{version}-cpu"])


def read_curl(words: Sequence[str]) -> None:
    (address,) = (word for word in words if word.startswith("http"))
    assert urlsplit(address).path in ENDPOINTS.values()
    assert isinstance(json.loads(words[words.index("-d") + 1]), dict)


def read_kubectl(words: Sequence[str]) -> None:
    folder = ROOT / "deploy" / "kubernetes"
    documents = [one for file in folder.rglob("*.yaml") for one in yaml.safe_load_all(file.read_text("utf-8")) if one]
    there = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in documents if "metadata" in one}
    # What KServe makes of a service.
    services = [name.partition("/")[2] for name in there if name.startswith("inferenceservice/")]
    there |= {f"deployment/{name}-predictor" for name in services}
    named = [word for word in words if re.fullmatch(r"(?:job|deployment|service|inferenceservice)/\S+", word)]
    if words[2:4] == ["delete", "job"]:
        named.append(f"job/{words[4]}")
    assert set(named) <= there
    paths = [word for before, word in pairwise(words) if before in ("-f", "-k")]
    assert all((ROOT / path).exists() for path in paths)
    assert named or paths or "--raw" in words


def read_script(words: Sequence[str]) -> None:
    file = ROOT / words[0]
    assert os.access(file, os.X_OK)
    subprocess.run(["bash", "-n", file], check=True)


READERS: dict[str, Callable[[Sequence[str]], None]] = {
    "make": read_make,
    ".venv/bin/bigbird": read_bigbird,
    ".venv/bin/python": read_python,
    "python3": read_python,
    ".venv/bin/pip": read_pip,
    "curl": read_curl,
    "docker": read_docker,
    "kubectl": read_kubectl,
    "git": lambda words: None,
    "cat": lambda words: None,
    "cp": lambda words: None,
    "mkdir": lambda words: None,
}
RUN_HERE = {".venv/bin/bigbird", ".venv/bin/python", "curl", "openapi-python-client", "openapi-typescript"}


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_printed_command_is_run_by_a_test_or_names_what_there_is(page: Path, command: str) -> None:
    words = [word for word in shlex.split(command, comments=True) if word != "&"]
    settings = {environment_name(name) for name in Settings.model_fields}
    for variable in re.findall(r"\b(BIGBIRD_[A-Z_]+)=", command):
        assert variable in settings
    words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
    if words == ["export"]:
        return
    if words[:2] == ["taskset", "-c"]:
        del words[:3]
    program, *arguments = words
    if program in RUN_HERE:
        place = str(page.relative_to(ROOT))
        instead = [test for part, test in NOT_RUN.items() if part in " ".join(arguments)]
        instead += [NEEDS_A_NETWORK[place]] if place in NEEDS_A_NETWORK else []
        if not instead:
            test = RUN_BY.get(place)
            assert test is not None and (ROOT / test).is_file(), "a test should run this: see RUN_BY and NOT_RUN"
            return
        assert all((ROOT / test).exists() for test in instead)
    READERS.get(program, read_script)(arguments if program in READERS else words)
