"""What README and pages print for a server of the demo, as it stands there, with nothing but what `make demo` installs.

Only the port is another one. The environment has the packages of the extras `cpu` and `export`, and no others.
"""

import contextlib
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.running_server import RunningServer, running_command, running_server
from service.security.access import key_line
from tests.documented_commands import ELSEWHERE, ROOT, link_environment, printed

pytestmark = pytest.mark.integration  # an export with all buckets, and curl

PAGES = [ROOT / page for page in ("README.md", "examples/README.md", "docs/http.md", "docs/kubernetes.md")]
ASKED = [
    pytest.param(command, id=f"{page.relative_to(ROOT)}: {command[:50]}")
    for page in PAGES
    for command in printed(page)
    if re.match(r"curl|\.venv/bin/python", command)
]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
ENVIRONMENT |= {"ADMIN_KEY": "operators-key", "KEY": "a-key", "PYTHONPATH": "", "BIGBIRD_WARM_UP_SECONDS": "0"}


def required(*extras: str) -> set[str]:
    """Return the names of all distributions that an installation with these extras has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    pending = [Requirement(line) for line in lines]
    seen: set[tuple[str, frozenset[str]]] = set()
    while pending:
        requirement = pending.pop()
        name, asked = canonicalize_name(requirement.name), frozenset({"", *requirement.extras})
        if (name, asked) not in seen:
            seen.add((name, asked))
            own = [Requirement(line) for line in importlib.metadata.requires(name) or []]
            pending += [
                one for one in own if not one.marker or any(one.marker.evaluate({"extra": extra}) for extra in asked)
            ]
    return {name for name, _ in seen}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the project's, whose `.venv` has the packages that the demo needs and no others."""
    folder = tmp_path_factory.mktemp("project")
    venv.create(folder / ".venv", symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder / ".venv")}))
    for name in required("cpu", "export"):
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or []} - {".."}:
            if not (packages / top).exists():
                (packages / top).symlink_to(str(distribution.locate_file(top)))
    (packages / "project.pth").write_text(f"{ROOT}\n")
    program = folder / ".venv" / "bin" / "bigbird"
    program.write_text(
        f"#!{folder}/.venv/bin/python\nimport sys\nfrom bigbird_cli.main import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    link_environment(folder)
    return folder


def pasted(command: str, folder: Path) -> str:
    """Paste a command into a shell and return what it prints."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def managed(bundles: Path) -> Iterator[RunningServer]:
    with running_server(
        bundles, {"BIGBIRD_ADMIN_KEY": key_line("operator", ENVIRONMENT["ADMIN_KEY"]), "BIGBIRD_WARM_UP_SECONDS": "0"}
    ) as server:
        yield server


@pytest.mark.parametrize("command", ASKED)
def test_what_is_printed_can_be_pasted(managed: RunningServer, folder: Path, command: str) -> None:
    if command.startswith("curl"):
        answer = json.loads(pasted(command.replace(ELSEWHERE, managed.url), folder))
        assert "status" not in answer, answer  # a problem has one
    else:
        program, _ = command.split("#")
        said = pasted(f"{program} {managed.url}", folder)
        assert said.count(" 200 ") == 12 or said == "62 answers, 0 differ from the answer alone\n"


def test_a_checkpoint_of_ones_own_needs_no_more_than_the_demo(folder: Path) -> None:
    (folder / "path" / "to").mkdir(parents=True)
    (folder / "path" / "to" / "checkpoint").symlink_to(ROOT / "examples" / "checkpoints" / "demo-qa")
    # The lines after these ask the hub: test_look_alikes.py has a local one.
    ask, export, serve, *_ = (line for line in printed(ROOT / "README.md") if re.match(r"curl|\.venv", line))
    pasted(export, folder)
    program, *options = shlex.split(serve)
    with contextlib.chdir(folder), running_command([program, *options, "--port", "0"], ENVIRONMENT) as server:
        answer = json.loads(pasted(ask.replace(ELSEWHERE, server.url), folder))
    assert (answer["model"], answer["answer"]) == ("contracts", "Casablanca")
    assert "curl -s" in pasted(f".venv/bin/python {ROOT}/scripts/print_demo_request.py", folder)
