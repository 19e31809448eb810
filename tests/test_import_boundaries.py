"""Which module may import which: the structure of docs/architecture.md as a check."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("service", "model_export", "evaluation", "bigbird_cli")

# Package (longest prefix wins) -> own packages that it may import. Inside itself every package may import.
ALLOWED = {
    "bigbird_inference.errors": [],
    "bigbird_inference.bundle": ["bigbird_inference.bundle_files", "bigbird_inference.errors"],
    "bigbird_inference.bundle_files": ["bigbird_inference.errors"],
    "service.models.bundle_watch": ["bigbird_inference.bundle_files"],
    "bigbird_inference.known_answer": [
        "bigbird_inference.bundle",
        "bigbird_inference.errors",
        "bigbird_inference.runtime.session",
    ],
    "service.settings": [],
    "service.security": ["bigbird_inference.errors", "service.settings"],
    "bigbird_inference.tokenization": ["bigbird_inference.bundle", "bigbird_inference.errors"],
    "bigbird_inference.tasks": [
        "bigbird_inference.bundle",
        "bigbird_inference.errors",
        "bigbird_inference.tokenization",
    ],
    "bigbird_inference.runtime": ["bigbird_inference.bundle", "bigbird_inference.errors"],
    "service.batching": [
        "bigbird_inference.errors",
        "bigbird_inference.runtime.session",
        "bigbird_inference.tokenization",
    ],
    "bigbird_inference.version": [],
    "service.telemetry": [
        "service.batching",
        "bigbird_inference.bundle",
        "bigbird_inference.errors",
        "bigbird_inference.runtime.cuda.nvml",
        "service.settings",
        "bigbird_inference.version",
    ],
    "service.telemetry.metrics": [
        "service.batching",
        "bigbird_inference.bundle",
        "service.telemetry",
        "bigbird_inference.version",
    ],
    "service.models.loading": [
        "service.batching",
        "bigbird_inference.bundle",
        "bigbird_inference.bundle_files",
        "bigbird_inference.errors",
        "service.models.model_folder",
        "bigbird_inference.runtime",
        "service.settings",
        "bigbird_inference.tasks",
        "bigbird_inference.tokenization",
    ],
    "service.models.model_folder": ["bigbird_inference.bundle", "bigbird_inference.errors"],
    "service.models.served_models": [
        "service.batching",
        "bigbird_inference.bundle",
        "bigbird_inference.errors",
        "service.models.loading",
    ],
    "service.models.model_changes": [
        "service.batching",
        "bigbird_inference.errors",
        "service.models.loading",
        "service.telemetry.metrics",
        "service.models.model_folder",
        "bigbird_inference.runtime",
        "bigbird_inference.known_answer",
        "service.models.served_models",
    ],
    "service.serving": [
        "service.batching",
        "bigbird_inference.bundle",
        "service.models.bundle_watch",
        "bigbird_inference.errors",
        "service.models.loading",
        "service.telemetry.metrics",
        "service.models.model_changes",
        "service.models.model_folder",
        "bigbird_inference.runtime",
        "service.models.served_models",
        "service.settings",
    ],
    "service.request_run": [
        "service.batching",
        "bigbird_inference.errors",
        "service.models.loading",
        "service.models.served_models",
        "service.serving",
        "bigbird_inference.tasks",
        "service.telemetry",
    ],
    "service.api": [
        "service.batching",
        "bigbird_inference.bundle",
        "bigbird_inference.errors",
        "service.request_run",
        "service.models.loading",
        "service.telemetry.metrics",
        "service.models.model_folder",
        "service.security",
        "service.models.served_models",
        "service.serving",
        "service.settings",
        "bigbird_inference.tasks",
        "service.telemetry",
    ],
    "service": ["service"],
    "model_export": [],
    "model_export.errors": [],
    "model_export.config": ["model_export.errors"],
    "model_export.progress": [],
    "model_export.patterns": ["model_export.config", "model_export.errors"],
    "model_export.nn": ["model_export.config", "model_export.errors", "model_export.patterns"],
    "model_export.checkpoints": [
        "model_export.config",
        "model_export.errors",
        "model_export.nn",
        "model_export.patterns",
    ],
    "model_export.export": [
        "model_export.config",
        "model_export.errors",
        "model_export.nn",
        "model_export.patterns",
        "bigbird_inference.bundle",
        "bigbird_inference.errors",
        "bigbird_inference.runtime.session",
        "model_export.checkpoints.precompiled_charsmap",
        # The known answer is written by what checks it.
        "bigbird_inference.known_answer",
        "bigbird_inference.tokenization",
    ],
    # Verified with the session that serves, so that what was compared is what runs.
    "model_export.pipeline": [
        "model_export",
        "bigbird_inference.bundle",
        "bigbird_inference.errors",
        "bigbird_inference.runtime",
    ],
    "model_export.reverify": [
        "model_export",
        "bigbird_inference.bundle",
        "bigbird_inference.errors",
        "bigbird_inference.runtime",
    ],
    # Trained on the tokens that are served.
    "demo": ["model_export", "bigbird_inference.tokenization"],
    # What is learned and measured is what will be served.
    "finetuning": [
        "evaluation.data",
        "evaluation.metrics",
        "model_export",
        "bigbird_inference.bundle",
        "bigbird_inference.errors",
        "bigbird_inference.tasks",
        "bigbird_inference.tokenization",
    ],
    "evaluation": ["bigbird_inference.bundle", "bigbird_inference.errors", "bigbird_inference.version"],
    "evaluation.data": [],
    "evaluation.metrics": ["evaluation.data"],
    # What is measured is what is served.
    "evaluation.bundle_service": ["evaluation.errors", "service"],
    "evaluation.datasets": ["evaluation", "bigbird_inference.tasks"],
    "bigbird_cli.evaluate_command": ["evaluation", "bigbird_cli.token_numbers"],
    "bigbird_cli.serve_command": ["service"],
    "bigbird_cli.key_command": ["service.security"],
    "bigbird_cli.inspect_command": [
        "model_export.errors",
        "model_export.reverify",
        "bigbird_inference.bundle",
        "bigbird_inference.errors",
    ],
    "bigbird_cli.bucket_choice": ["bigbird_cli.token_numbers", "model_export.export.buckets"],
    "bigbird_cli.export_command": [
        "bigbird_cli.bucket_choice",
        "bigbird_cli.token_numbers",
        "model_export",
        "bigbird_inference.bundle",
    ],
    "bigbird_cli.finetune_command": ["evaluation.data", "model_export"],
    "bigbird_cli": [],
}

# Third-party package -> the only own packages that may import it.
CONFINED = {
    "torch": ["model_export"],
    "onnx_ir": ["model_export"],
    "opentelemetry": ["service.telemetry.opentelemetry_tracing"],
    "onnxruntime": ["bigbird_inference.runtime.cuda", "bigbird_inference.runtime.onnx_session"],
    "fastapi": ["service"],
    "httpx": ["evaluation"],
    "scipy": ["evaluation.metrics"],
    "starlette": ["service"],
    "uvicorn": ["service.process.connections", "service.process.server"],
    "prometheus_client": ["service"],
    "sentencepiece": [
        "bigbird_inference.tokenization",
        "model_export.checkpoints.same_ids",
        "model_export.checkpoints.tokenizer_json",
        "model_export.export.tokenizer",
        "demo",
    ],
    "tokenizers": ["model_export.checkpoints.same_ids", "model_export.checkpoints.tokenizer_json"],
    "huggingface_hub": ["model_export.checkpoints.hub"],
    "msgpack": ["model_export.checkpoints.flax_files"],
}


@functools.cache
def modules() -> list[str]:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return sorted(".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files)


@functools.cache
def imports_of(module: str) -> set[str]:
    path = ROOT / Path(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            assert node.module is not None
            # One imports a module, the other a name of a module.
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(modules())
            found |= submodules or {node.module}
    return found


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def rule_for(module: str) -> str:
    return max((package for package in ALLOWED if within(module, package)), key=len)


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_its_package_may(module: str) -> None:
    package = rule_for(module)
    own = {name for name in imports_of(module) if name.split(".")[0] in PACKAGES}
    strangers = {name for name in own if not any(within(name, allowed) for allowed in [package, *ALLOWED[package]])}
    assert not strangers, f"{package} may not import {sorted(strangers)}"


@pytest.mark.parametrize("library", CONFINED)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    users = {module for module in modules() if any(within(name, library) for name in imports_of(module))}
    assert users, f"nothing imports {library}: the rule is stale"
    assert not {user for user in users if not any(within(user, package) for package in CONFINED[library])}


def test_the_export_half_never_imports_the_web_framework() -> None:
    script = (
        "import sys, model_export.pipeline; print([m for m in sys.modules if m in ('fastapi', 'starlette', 'uvicorn')])"
    )
    printed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


@pytest.fixture
def packages_without_torch(tmp_path: Path) -> Path:
    """A folder with every installed package except those of the export extra."""
    left_out = ("torch", "functorch", "torchgen", "onnx", "onnx_ir", "onnxscript", "safetensors", "transformers")
    site = Path(pytest.__file__).parents[1]
    for entry in site.iterdir():
        if entry.name.split("-")[0].split(".")[0] not in left_out and entry.suffix != ".pth":
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path


def test_the_service_imports_in_an_environment_without_torch(packages_without_torch: Path) -> None:
    script = (
        "import importlib.util, service.process.server, service.app\n"
        "import bigbird_cli.serve_command, bigbird_cli.inspect_command\n"
        "assert importlib.util.find_spec('torch') is None\n"
        "assert importlib.util.find_spec('onnx') is None\n"
        "print('served without torch')"
    )
    printed = subprocess.run(
        [sys.executable, "-S", "-c", script],
        cwd=ROOT,
        env={"PYTHONPATH": str(packages_without_torch), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed.stdout.strip() == "served without torch", printed.stderr


def test_the_command_line_says_which_extra_is_missing(packages_without_torch: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-S", "-m", "bigbird_cli", "export", "checkpoint", "--output", "bundle"],
        cwd=ROOT,
        env={"PYTHONPATH": str(packages_without_torch), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed.returncode == 1
    assert "`bigbird export` needs the package" in printed.stderr
    assert "bigbird-serve[export,cpu]" in printed.stderr
