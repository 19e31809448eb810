"""docs/getting_started.md, as it stands there: from an encoder to a served model; only the port is another one."""

import re
from pathlib import Path

import pytest
import yaml

from benchmarks.running_server import running_server
from tests.documented_commands import ROOT, commands, missing_lines, run


@pytest.mark.integration
def test_every_command_prints_what_the_page_says(tmp_path: Path) -> None:
    documented = commands("getting_started.md")
    served = next(
        number for number, command in enumerate(documented) if command.words[:2] == [".venv/bin/bigbird", "serve"]
    )
    for command in documented[:served]:
        assert not list(missing_lines(run(command.words, tmp_path), command.output)), command.words
    models = tmp_path / documented[served].words[-1]
    with running_server(models) as server:
        for command in documented[served + 1 :]:
            assert not list(missing_lines(run(command.words, tmp_path, server.url), command.output)), command.words


def test_container_command_uses_variables_that_there_are() -> None:
    page = (ROOT / "docs" / "getting_started.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^    (.*docker compose.*)$", page, re.MULTILINE)
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for variable in re.findall(r"(\w+)=", line):
        assert f"${{{variable}" in compose
    profiles = {profile for service in yaml.safe_load(compose)["services"].values() for profile in service["profiles"]}
    assert re.findall(r"--profile (\w+)", line) == ["cpu"] and "cpu" in profiles
