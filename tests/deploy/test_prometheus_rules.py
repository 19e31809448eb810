"""The rules and alerts as they stand: promtool accepts them, and they fire when they should and only then."""

import re
import subprocess
from pathlib import Path

import pytest

from bigbird_inference.runtime.cuda.features import STATES
from tests.deploy.expressions import alert_expressions, compared_sides
from tests.deploy.running_prometheus import SHIPPED
from tests.foreign_programs import find_program


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        [find_program("promtool", package="prometheus"), *arguments], cwd=SHIPPED, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.integration
def test_promtool_accepts_the_configuration() -> None:
    promtool("check", "config", "prometheus.yml")


@pytest.mark.integration
@pytest.mark.parametrize("path", sorted((SHIPPED / "rules").glob("*.yml")), ids=lambda path: path.stem)
def test_promtool_accepts_the_rules(path: Path) -> None:
    promtool("check", "rules", str(path))


@pytest.mark.integration
@pytest.mark.parametrize("path", sorted((SHIPPED / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    promtool("test", "rules", str(path))


def test_the_states_of_a_gpu_feature_that_alert_are_states_that_it_has() -> None:
    found = re.search(r'state=~"([^"]+)"', alert_expressions()["BigbirdGpuFeatureDisabled: 0"])
    assert found is not None
    assert set(found[1].split("|")) < set(STATES)


@pytest.mark.parametrize(
    ("expression", "sides"),
    [
        pytest.param("a > 0.9", ["a"], id="a number is left out"),
        pytest.param("14.4 * 0.01 < a", ["a"], id="so is a product of numbers"),
        pytest.param('up{job=~"b.*"} == 0 or absent(up{job=~"b.*"})', ['up{job=~"b.*"}'] * 2, id="absence of a series"),
        pytest.param('rate(a{b!="",c=~"x|y"}[5m]) / b >= c', ['rate(a{b!="",c=~"x|y"}[5m]) / b', "c"], id="two sides"),
        pytest.param(
            "((a > 1 and b > 1) or c > 2) and on (job) max by (job) (d) > 3",
            ["a", "b", "c", "max by (job) (d)"],
            id="nested conditions",
        ),
    ],
)
def test_an_alert_is_taken_apart_into_what_it_compares(expression: str, sides: list[str]) -> None:
    assert compared_sides(expression) == sides
