"""`bigbird doctor`: what this machine has, and whether a bundle would be served on it.

Nothing of ours that needs onnxruntime is imported before it is clear that there is one: its absence, or two of them, is
among what this is asked about. No name of a host, a user or a folder is in the report: it can be sent to others.
"""

import json
import logging
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from bigbird_inference.facts import fact, listed
from bigbird_inference.host_memory import available_bytes
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.devices import conflicting_runtimes
from bigbird_inference.version import service_version

Report = dict[str, Any]

_PACKAGES = (
    *("onnxruntime", "onnxruntime-gpu", "openvino", "nvidia-ml-py", "nvidia-cuda-runtime", "nvidia-cublas"),
    *("nvidia-cudnn-cu13", "numpy", "sentencepiece", "tokenizers"),
)
# What onnxruntime and OpenVINO have faster code for, as Linux calls it.
_INSTRUCTION_SETS = frozenset(
    [
        "avx2",
        "avx512f",
        "avx512_vnni",
        "avx_vnni",
        "avx512_bf16",
        "amx_int8",
        "amx_bf16",
        "asimd",
        "asimddp",
        "sve",
        "i8mm",
        "bf16",
    ]
)


@click.command("doctor")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, to attach it to a report.")
def command(bundle: Path | None, as_json: bool) -> None:
    """Tell what this machine has, which device and which features would serve, and try BUNDLE on it.

    The settings are those of the service (BIGBIRD_*). Ends with status 0 if the device that they ask for, and BUNDLE if
    it is given, would serve; otherwise with 1, and says what is wrong and what to do.
    """
    # What the parts that are tried log is in the report.
    logging.basicConfig(handlers=[logging.NullHandler()])
    report = examine(bundle)
    # Before lines are wrapped, which may cut a name in two.
    text = anonymous(json.dumps(report, indent=2))
    click.echo(text if as_json else "\n".join(_lines(json.loads(text))))
    sys.exit(0 if report["serves"] else 1)


def examine(bundle: Path | None, root: Path = Path("/")) -> Report:
    """Return everything that can be found out; the system's files are under `root`."""
    report: Report = {"versions": _versions(), "cpu": _cpu(root), "container": _container(root)}
    try:
        from bigbird_cli.doctor_trial import examine_serving  # needs onnxruntime
    except Exception as error:
        missing = f"{type(error).__name__}: {error}"
        install = "install the extra `cpu`, or on a GPU host `gpu`"
        problem = conflicting_runtimes() or f"what serves cannot be imported ({missing}): {install}"
        return report | {"problems": [problem], "serves": False}
    return report | examine_serving(bundle, root)


def anonymous(text: str) -> str:
    """Return a text without the names of hosts, users and folders."""
    text = re.sub(r"hostname=\S+\s*;?\s*", "", text)
    text = re.sub(r"(?<![\w.:/])/(?!dev/|proc/)(?:[^\s'\"\[\]:;,]+/)+", "path/to/", text)
    for name in {platform.node(), os.environ.get("USER", ""), Path.home().name} - {"", "root", "localhost"}:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "...", text)
    return text


def _versions() -> dict[str, str]:
    versions = {"bigbird-serve": service_version(), "python": platform.python_version()}
    versions["system"] = f"{platform.system()} {platform.release()} {platform.machine()}"
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _cpu(root: Path) -> Report:
    processor = _field(root / "proc/cpuinfo", "model name") or platform.machine()
    flags = (_field(root / "proc/cpuinfo", "flags") or _field(root / "proc/cpuinfo", "Features") or "").split()
    total = _field(root / "proc/meminfo", "MemTotal")
    return {
        "processor": processor,
        "instruction_sets": sorted(_INSTRUCTION_SETS.intersection(flags)),
        "cores": os.cpu_count(),
        "cores_available": available_cores(),
        "memory_bytes": int(total.split()[0]) * 1024 if total else None,
        "memory_available_bytes": available_bytes(),
    }


def _container(root: Path) -> Report:
    """Return whether this is a container, and what is seen of NVIDIA's container toolkit."""
    # Docker and podman leave files, of which a tmpfs may hide podman's; podman and Kubernetes set variables.
    marks = [(root / file).exists() for file in (".dockerenv", "run/.containerenv")]
    inside = any([*marks, "container" in os.environ, "KUBERNETES_SERVICE_HOST" in os.environ])
    devices = sorted(file.name for file in (root / "dev").glob("nvidia[0-9]*"))
    tools = [tool for tool in ("nvidia-ctk", "nvidia-container-cli") if shutil.which(tool)]
    return {"inside": inside, "gpu_devices": devices, "toolkit": tools}


def _field(file: Path, name: str) -> str | None:
    try:
        found = re.search(rf"^{name}\s*:\s*(.+?)\s*$", file.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        return None
    return found[1] if found else None


def _lines(report: Report) -> Iterator[str]:
    cpu, container = report["cpu"], report["container"]
    yield from fact("versions", listed(f"{name} {version}" for name, version in report["versions"].items()))
    yield from fact("processor", f"{cpu['processor']}; {listed(cpu['instruction_sets']) or 'nothing special'}")
    yield from fact("cores", f"{cpu['cores_available']} of {cpu['cores']} may be used")
    yield from fact("memory", f"{_size(cpu['memory_available_bytes'])} of {_size(cpu['memory_bytes'])} available")
    seen = f"devices {listed(container['gpu_devices']) or 'none'}; tools {listed(container['toolkit']) or 'none'}"
    yield from fact("container", f"{'inside one' if container['inside'] else 'none'}; of NVIDIA's toolkit: {seen}")
    for key in ("onnxruntime", "libraries", "driver", "device", "settings", "bundle", "auto picks", "answers"):
        if report.get(key):
            yield from fact(key, report[key])
    for gpu in report.get("gpus", ()):
        capability = f"compute capability {gpu['compute_capability']}"
        free = f"{_size(gpu['free_bytes'])} of {_size(gpu['memory_bytes'])} free"
        yield from fact(gpu["name"], f"{gpu['model']}, {capability}, {free}; {gpu['problem'] or 'runs an operator'}")
    for rung in report.get("features", ()):
        yield from fact("feature", _told(rung))
    yield ""
    for problem in report["problems"]:
        yield from fact("problem", problem)
    yield from fact("result", "would serve" if report["serves"] else "would not serve")


def _told(rung: Report) -> str:
    numbers = []
    if rung["difference"] is not None:
        numbers.append(f"differs by {rung['difference']:.2g}")
    if rung["seconds"] is not None and rung["seconds_below"]:
        numbers.append(f"{rung['seconds'] * 1e3:.3g} ms in place of {rung['seconds_below'] * 1e3:.3g}")
    return f"{rung['rung']}: {'; '.join([rung['state'], *filter(None, [rung['reason']]), *numbers])}"


def _size(number: int | None) -> str:
    return "unknown" if number is None else f"{number / 2**30:.1f} GiB"
