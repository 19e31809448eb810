"""The container files: what can be seen without an engine. deploy/container/ builds and runs them."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service.process.server import _SENDING_SECONDS
from service.settings import Settings, environment_name

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCUMENTATION = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
SERVERS = {"server": "gpu", "server-cpu": "cpu", "serve": "gpu", "serve-cpu": "cpu"}
OURS = {"export": "export", "export-cpu": "export", **SERVERS}
LIST_REQUIREMENTS = ROOT / "deploy" / "container" / "list_requirements.py"
REQUIREMENTS = ROOT / "deploy" / "container" / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.txt"))
EXPORT_BUNDLES = ROOT / "deploy" / "container" / "export_bundles.py"
# Where pip puts the programs of development dependencies.
TOOLS = Path(sys.executable).parent

every_service = pytest.mark.parametrize("name", sorted(SERVICES))


def _stage(name: str) -> str:
    """Return the instructions of a stage of the Dockerfile."""
    found = re.search(rf"^FROM \S+ AS {name}$(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def _bases(name: str) -> list[str]:
    """Return a stage and all that it is built upon."""
    base = re.search(rf"^FROM (\S+) AS {re.escape(name)}$", DOCKERFILE, re.MULTILINE)
    return [name, *_bases(base[1])] if base else [name]


def _locked(group: str) -> dict[str, str]:
    """Return the packages of a lock with their versions."""
    text = (REQUIREMENTS / f"{group}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([^=\s\[]+)(?:\[\S+\])?==(\S+)", text, re.MULTILINE))


def _pinned() -> dict[str, str]:
    """Return the versions of constraints.txt."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([^=\s]+)==(\S+)", text, re.MULTILINE))


def test_the_base_image_is_pinned_to_a_patch_version() -> None:
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.11\.\d+-slim-bookworm$", DOCKERFILE, re.MULTILINE)
    outside = {
        base for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) if f"AS {base}\n" not in DOCKERFILE
    }
    assert outside == {"${PYTHON_IMAGE}"}


@pytest.mark.parametrize("target", ["cpu", "gpu", "export"])
def test_an_image_is_built_upon_the_bare_base_and_runs_as_user_10001(target: str) -> None:
    bases = _bases(target)
    assert bases[-2:] == ["runtime", "${PYTHON_IMAGE}"]
    users = [user for stage in bases[:-1] for user in re.findall(r"^USER (\S+)", _stage(stage), re.MULTILINE)]
    assert users == ["10001:10001"]


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_a_server_image_has_nothing_of_the_export_stage(target: str) -> None:
    copied = set(re.findall(r"--from=(\S+)", _stage(target)))
    assert copied == {f"dependencies-{target}", "application"}
    assert re.findall(r"--requirement requirements/(\w+)\.txt", _stage(f"dependencies-{target}")) == [target]
    assert not {"torch", "transformers", "onnx"} & set(_locked(target))


def test_the_server_image_asks_itself_whether_it_lives() -> None:
    assert re.search(r"^HEALTHCHECK .*\\\n\s+CMD \[.*/health/live", _stage("serve"), re.MULTILINE)


def test_every_installation_is_pinned_by_hashes_but_that_of_a_torch_from_elsewhere() -> None:
    installations = re.findall(r"-m pip (?:\\\n|[^&;\n])*", DOCKERFILE)
    assert len(installations) == 6
    unhashed = [line for line in installations if "--require-hashes" not in line]
    ours, torch = sorted(unhashed, key=lambda line: "torch" in line)
    assert "--no-deps" in ours and "--no-build-isolation" in ours
    assert torch.endswith("torch") and "--constraint constraints.txt" in torch


@pytest.mark.parametrize("file", LOCKS, ids=lambda file: file.stem)
def test_every_locked_package_has_the_version_of_the_constraints_and_hashes(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    entries = re.findall(r"^\S+==(?:.*\\\n)*.*\n", text, re.MULTILINE)
    assert "".join(entries) == text.partition("\n")[2], "nothing but entries after the head"
    assert all(re.search(r"(?: \\\n {4}--hash=sha256:[0-9a-f]{64})+\n$", entry) for entry in entries)
    locked = _locked(file.stem)
    pinned = _pinned()
    # What PyPI's torch brings for CUDA is nowhere else installed.
    assert {name: version for name, version in locked.items() if name in pinned or file.stem != "torch"} == {
        name: pinned[name] for name in locked if name in pinned or file.stem != "torch"
    }


@pytest.mark.parametrize("file", LOCKS, ids=lambda file: file.stem)
def test_a_lock_has_everything_that_its_packages_need(file: Path) -> None:
    groups = {"torch": ["torch", "export"], "export": ["export", "torch"]}.get(file.stem, [file.stem])
    locked = {name for group in groups for name in _locked(group)}
    for name in locked:
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of the GPU only, so it is not installed here
        wanted = [Requirement(line) for line in needed]
        names = {
            canonicalize_name(one.name) for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})
        }
        assert names <= locked, name


@pytest.mark.parametrize(
    ("group", "extras"),
    [
        pytest.param("cpu", ["cpu", "tracing"], id="the server on the CPU"),
        pytest.param("gpu", ["gpu", "tracing"], id="the server on GPUs"),
        pytest.param("export", ["cpu", "export"], id="the export"),
        pytest.param("hub", ["hub"], id="the hub"),
        pytest.param("tensorflow", ["tensorflow"], id="checkpoints of TensorFlow"),
    ],
)
def test_a_lock_has_everything_that_its_extras_require(group: str, extras: list[str]) -> None:
    optional = PROJECT["optional-dependencies"]
    required = [
        Requirement(line) for line in (*PROJECT["dependencies"], *(line for e in extras for line in optional[e]))
    ]
    locked = _locked(group) | (_locked("torch") if group == "export" else {})
    for one in required:
        assert one.specifier.contains(locked[canonicalize_name(one.name)]), one


@pytest.mark.parametrize("extra", ["cpu", "gpu", "export", "hub"])
def test_every_requirement_of_an_image_has_a_version_in_the_constraints(extra: str) -> None:
    required = subprocess.run(
        [sys.executable, LIST_REQUIREMENTS, extra], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\n")
    names = {re.split(r"[\[<>=~!]", line)[0] for line in required if line}
    pinned = set(re.findall(r"^([^=\s]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    assert not names - pinned


def test_an_unknown_extra_is_named() -> None:
    ended = subprocess.run(
        [sys.executable, LIST_REQUIREMENTS, "cpu", "tpu"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "tpu" in ended.stderr


def test_what_the_dockerfile_copies_is_let_through_to_the_build() -> None:
    allowed = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = {
        word
        for arguments in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for word in arguments.split()[:-1]
        if not word.startswith("--")
    }
    assert copied == allowed


def test_the_version_is_that_of_the_package() -> None:
    version = PROJECT["version"]
    assert f"ARG VERSION={version}\n" in DOCKERFILE
    assert set(re.findall(r"\$\{IMAGE_VERSION:-([^}]+)\}", COMPOSE)) == {version}
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
    assert base
    assert re.findall(r"\$\{PYTHON_IMAGE:-([^}]+)\}", COMPOSE) == [base[1]]


@every_service
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service.get("user", "10001") not in ("0", "root")


@every_service
def test_a_service_has_limits(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}


@every_service
def test_a_service_that_goes_on_has_a_health_check_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    if OURS.get(name) == "export":
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"


@every_service
def test_a_service_listens_on_loopback_unless_told_otherwise(name: str) -> None:
    assert all(port.startswith("${BIND:-127.0.0.1}:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVERS)
def test_the_grace_period_holds_the_delay_the_drain_and_the_last_answers(name: str) -> None:
    own = Settings()
    longest = own.drain_delay_seconds + own.drain_timeout_seconds + _SENDING_SECONDS
    assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= longest


@every_service
def test_an_image_is_pinned(name: str) -> None:
    if name in OURS:
        assert SERVICES[name]["image"] == f"bigbird-serve:${{IMAGE_VERSION:-{PROJECT['version']}}}-{OURS[name]}"
        assert SERVICES[name]["build"]["target"] == OURS[name]
    else:
        assert re.fullmatch(r"\S+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


@pytest.mark.parametrize(("profile", "server"), [("gpu", "server"), ("cpu", "server-cpu")])
def test_a_profile_is_an_export_a_server_after_it_and_two_that_watch(profile: str, server: str) -> None:
    chosen = {name for name, service in SERVICES.items() if profile in service["profiles"]}
    export = server.replace("server", "export")
    assert chosen == {export, server, "prometheus", "grafana"}
    assert SERVICES[server]["depends_on"] == {export: {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize(("profile", "exporting"), [("serve", "server"), ("serve-cpu", "server-cpu")])
def test_a_profile_serves_bundles_that_are_there_without_an_export(profile: str, exporting: str) -> None:
    chosen = {name for name, service in SERVICES.items() if profile in service["profiles"]}
    assert chosen == {profile, "prometheus", "grafana"}
    (folder,) = SERVICES[profile]["volumes"]
    assert (folder["source"], folder["target"], folder["read_only"]) == ("${BUNDLES:-./bundles}", "/models", True)
    assert folder["bind"] == {"create_host_path": False}
    # Nothing else is different.
    differs = {"profiles", "volumes", "depends_on"}
    same, other = ({k: v for k, v in SERVICES[name].items() if k not in differs} for name in (profile, exporting))
    assert same == other


def test_without_a_choice_the_gpu_profile_runs() -> None:
    lines = (ROOT / ".env").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["COMPOSE_PROFILES=gpu"]


@pytest.mark.parametrize("name", SERVERS)
def test_every_setting_can_be_given_to_a_server(name: str) -> None:
    fixed = {"models", "model_name", "host", "port"}
    settings = {environment_name(setting) for setting in Settings.model_fields if setting not in fixed}
    given = {variable for variable in SERVICES[name]["environment"] if variable.startswith("BIGBIRD_")}
    assert given == settings


@pytest.mark.parametrize("name", SERVERS)
def test_the_server_is_known_to_prometheus_in_every_profile(name: str) -> None:
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    targets = [
        target
        for job in scraped["scrape_configs"]
        if job["job_name"] == "bigbird"
        for group in job["static_configs"]
        for target in group["targets"]
    ]
    assert targets == ["server:8000"]
    assert SERVICES[name]["networks"]["default"]["aliases"] == ["server"]


@every_service
def test_what_is_mounted_from_the_repository_is_there(name: str) -> None:
    mounted = [volume for volume in SERVICES[name].get("volumes", []) if isinstance(volume, str)]
    folders = [volume.split(":")[0] for volume in mounted if volume.startswith("./")]
    assert not [folder for folder in folders if not (ROOT / folder).is_dir()]


def test_no_password_stands_in_the_file() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GRAFANA_PASSWORD"] == "${GRAFANA_PASSWORD:-}"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in environment


def test_every_variable_is_documented() -> None:
    variables = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", COMPOSE)) | {"COMPOSE_PROFILES"}
    missing = {variable for variable in variables if f"`{variable}`" not in DOCUMENTATION}
    assert not missing


def test_every_script_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"deploy/container/\w+\.\w+", DOCUMENTATION))
    assert named
    assert not [script for script in named if not (ROOT / script).is_file()]


@pytest.mark.parametrize("page", ["README.md", "docs/containers.md"])
def test_compose_commands_of_a_page_name_services_and_profiles_that_there_are(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"docker compose (?:run --rm|exec)(?: --[a-z-]+)* ([a-z][a-z-]*)", text))
    for services in re.findall(r"docker compose (?:build|pull)((?: [a-z][a-z-]*)+)", text):
        named |= set(services.split())
    assert named <= set(SERVICES)
    profiles = {profile for service in SERVICES.values() for profile in service["profiles"]}
    assert set(re.findall(r"docker compose --profile (\S+)", text)) <= profiles


def test_scripts_can_be_executed() -> None:
    assert all(os.access(script, os.X_OK) for script in (ROOT / "deploy" / "container").glob("*.sh"))


def _export(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the export service's program where `bigbird export` is a stand-in that writes down what it was asked."""
    package = folder / "bigbird_cli"
    package.mkdir(exist_ok=True)
    (package / "__main__.py").write_text(
        "import pathlib, sys\n"
        "asked = sys.argv[1:]\n"
        "bundle = pathlib.Path(asked[2].removeprefix('--output='))\n"
        "bundle.mkdir(exist_ok=True)\n"
        "(bundle / 'manifest.json').write_text('{}')\n"
        "print('asked', *asked)\n"
        "sys.exit(4 if 'broken' in asked[1] else 0)\n",
        encoding="utf-8",
    )
    (folder / "models").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, EXPORT_BUNDLES],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), **variables},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    for name in ("first", "second"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "config.json").write_text("{}", encoding="utf-8")
    return tmp_path


def test_without_a_model_every_checkpoint_is_exported(checkpoints: Path) -> None:
    ended = _export(checkpoints)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "asked export checkpoints/first --output=models/first --overwrite",
        "asked export checkpoints/second --output=models/second --overwrite",
    ]


def test_what_is_up_to_date_is_not_exported_again(checkpoints: Path) -> None:
    _export(checkpoints)
    assert "asked" not in _export(checkpoints).stdout


@pytest.mark.parametrize(
    "variables", [{"PRECISION": "int8"}, {"TASK": "ner"}, {"AGAIN": "1"}], ids=lambda variables: next(iter(variables))
)
def test_what_is_asked_otherwise_is_exported_again(checkpoints: Path, variables: dict[str, str]) -> None:
    _export(checkpoints)
    assert _export(checkpoints, **variables).stdout.count("asked") == 2


def test_a_checkpoint_that_changed_is_exported_again(checkpoints: Path) -> None:
    _export(checkpoints)
    (checkpoints / "checkpoints" / "second" / "config.json").write_text('{"a": 1}', encoding="utf-8")
    assert _export(checkpoints).stdout.splitlines() == [
        "models/first: up to date",
        "asked export checkpoints/second --output=models/second --overwrite",
    ]


def test_a_bundle_that_was_removed_is_exported_again(checkpoints: Path) -> None:
    _export(checkpoints, MODEL="first")
    (checkpoints / "models" / "first" / "manifest.json").unlink()
    assert "asked" in _export(checkpoints, MODEL="first").stdout


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        pytest.param({"MODEL": "first"}, "checkpoints/first --output=models/first", id="a folder of the checkpoints"),
        pytest.param(
            {"MODEL": "google/bigbird-roberta-base"},
            "google/bigbird-roberta-base --output=models/bigbird-roberta-base",
            id="an id of the hub",
        ),
        pytest.param(
            {"MODEL": "someone/model@refs/pr/1"},
            "someone/model@refs/pr/1 --output=models/model",
            id="an id of the hub with a revision",
        ),
        pytest.param(
            {"MODEL": "someone/model@v1:runs/best"},
            "someone/model@v1:runs/best --output=models/model",
            id="a folder in a model of the hub",
        ),
        pytest.param(
            {"MODEL": "first", "MODEL_NAME": "contracts"}, "checkpoints/first --output=models/contracts", id="a name"
        ),
    ],
)
def test_a_model_may_be(checkpoints: Path, variables: dict[str, str], asked: str) -> None:
    assert _export(checkpoints, **variables).stdout == f"asked export {asked} --overwrite\n"


def test_options_that_are_set_are_passed_on(checkpoints: Path) -> None:
    ended = _export(checkpoints, MODEL="first", TASK="qa", PRECISION="fp16", PATTERN="", BUCKETS="128,704")
    assert ended.stdout.endswith(" --overwrite --task=qa --precision=fp16 --buckets=128,704\n")


def test_an_export_that_fails_ends_it_and_is_tried_again(checkpoints: Path) -> None:
    (checkpoints / "checkpoints" / "broken").mkdir()
    assert _export(checkpoints).returncode == 4
    second = _export(checkpoints)
    assert second.returncode == 4
    assert second.stdout.count("asked") == 1


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"MODEL_NAME": "contracts"}, id="a name for several bundles"),
        pytest.param({"MODEL": "first", "MODEL_NAME": "../elsewhere"}, id="a name outside the folder of bundles"),
        pytest.param({"MODEL": "first", "MODEL_NAME": ".hidden"}, id="a name that is not served"),
        pytest.param({"CHECKPOINT_FOLDER": "models"}, id="a folder without checkpoints"),
    ],
)
def test_what_cannot_be_is_refused_by_the_variable_s_name(checkpoints: Path, variables: dict[str, str]) -> None:
    ended = _export(checkpoints, **variables)
    assert ended.returncode == 1
    assert re.match("MODEL_NAME|CHECKPOINT_FOLDER", ended.stderr)
    assert "asked" not in ended.stdout


def test_the_compose_file_fits_the_schema_of_compose() -> None:
    command = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    ended = subprocess.run([TOOLS / "hadolint", "Dockerfile"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
