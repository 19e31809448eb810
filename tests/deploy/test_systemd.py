"""The systemd unit: systemd's own checks accept it, and its times and settings are those of the service."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.process.server import _SENDING_SECONDS
from service.settings import Settings, environment_name
from tests.deploy.running_prometheus import ROOT
from tests.foreign_programs import find_program

UNIT = ROOT / "deploy" / "systemd" / "bigbird-serve.service"
# Tenths of the points that systemd gives to what a service could do: 0 is nothing, 100 everything.
MOST_EXPOSURE = 15


def values(option: str) -> list[str]:
    return re.findall(rf"^{option}=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with the program of this environment."""
    (command,) = values("ExecStart")
    program, subcommand = command.split()
    assert (Path(program).name, subcommand) == ("bigbird", "serve")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text("utf-8").replace(program, str(Path(sys.executable).with_name("bigbird"))), "utf-8")
    return unit


def systemd_analyze(*arguments: str | Path) -> tuple[int, str]:
    command = [find_program("systemd-analyze", package="systemd"), *arguments]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.integration
def test_systemd_finds_nothing_wrong_with_the_unit(installed: Path) -> None:
    assert systemd_analyze("verify", "--man=no", installed) == (0, "")


@pytest.mark.integration
def test_systemd_finds_a_misspelt_option(installed: Path) -> None:
    installed.write_text(installed.read_text("utf-8").replace("NoNewPrivileges", "NoNewPrivilege"), "utf-8")
    assert "NoNewPrivilege" in systemd_analyze("verify", "--man=no", installed)[1]


@pytest.mark.integration
def test_systemd_finds_the_service_hardly_exposed(installed: Path) -> None:
    options = ["--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}"]
    status, table = systemd_analyze("security", *options, installed)
    assert status == 0, table


def test_it_waits_for_the_drain() -> None:
    (seconds,) = values("TimeoutStopSec")
    own = Settings()
    assert int(seconds) > own.drain_delay_seconds + own.drain_timeout_seconds + _SENDING_SECONDS
    assert values("KillSignal") == ["SIGTERM"]


def test_without_a_drop_in_nobody_else_is_let_in_and_it_listens_to_nobody_else() -> None:
    assert (values("IPAddressDeny"), values("IPAddressAllow")) == (["any"], ["localhost"])
    assert Settings().host == "127.0.0.1"


def test_the_settings_that_it_names_exist() -> None:
    named = set(re.findall(r"BIGBIRD_[A-Z_]+", UNIT.read_text("utf-8")))
    assert named <= {environment_name(name) for name in Settings.model_fields}
