"""The bundle on disk: written by `model_export`, read and checked by what runs it.

    <bundle>/manifest.json        everything below, described by `bigbird_inference/manifest.schema.json`
    <bundle>/graph.onnx           for all lengths, without weights; or one for each kind of attention
                                  (graph-<kind>.onnx, graph-<kind>-fused.onnx with the fused kernel)
    <bundle>/weights.bin          external data shared by every graph
    <bundle>/tokenizer.model      SentencePiece, or tokenizer.json

Nothing here needs torch or onnxruntime.
"""

import hashlib
import json
import shlex
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ValidationError

from bigbird_inference import strict_json
from bigbird_inference.bundle_files import FileState, check_file, read_small_file
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import (
    ADAPTER,
    FORMAT_VERSION,
    MANIFEST_FILE,
    Graph,
    Manifest,
)

# Those of real models have ten to fifty thousand.
_MAX_MANIFEST_BYTES = 4 * 2**20
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose manifest was read and whose files were found unchanged.

    The bundle's name, by which requests ask for it, is the folder's name. `files` tell later whether they still are.
    `revision` tells bundles of one name apart: as the manifest has every file's hash, its own stands for all of them.
    """

    folder: Path
    manifest: Manifest
    files: tuple[FileState, ...] = ()
    revision: str = ""

    @property
    def name(self) -> str:
        return self.folder.name

    def path(self, file: str) -> Path:
        return self.folder / file


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write `manifest.json` into the folder, as indented UTF-8 JSON."""
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a bundle.

    Raises:
        BundleError: It is missing, is not JSON, has an unknown format version, does not fit the schema or contradicts
            itself.
    """
    return _parse_manifest(folder / MANIFEST_FILE, _manifest_content(folder))


def manifest_revision(folder: Path) -> str:
    """Return the revision of the bundle in a folder: the first 12 digits of its manifest's SHA-256."""
    return _revision(_manifest_content(folder))


def _revision(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _manifest_content(folder: Path) -> bytes:
    path = folder / MANIFEST_FILE
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{path}: missing; {instead_of_a_bundle(folder)}") from None
    except (OSError, ValueError):
        pass  # what it is, is told by who opens it
    return read_small_file(folder, MANIFEST_FILE, _MAX_MANIFEST_BYTES)


def _parse_manifest(path: Path, content: bytes) -> Manifest:
    try:
        data = strict_json.loads(content.decode("utf-8"))
    except RecursionError:
        raise BundleError(f"{path}: cannot be read as JSON: it is nested too deeply") from None
    except ValueError as error:
        raise BundleError(f"{path}: cannot be read as JSON: {error}") from error
    version = data.get("format_version") if isinstance(data, dict) else None
    # `True == 1`, but it is not a version.
    if type(version) is not int or version != FORMAT_VERSION:
        raise BundleError(
            f"{path}: format_version is {version!r:.40}; this version reads {FORMAT_VERSION}: export the checkpoint "
            "again with `bigbird export`"
        )
    try:
        manifest = ADAPTER.validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{path}: {field}: {first['msg']}") from error
    problem = _contradiction(manifest) or _contradiction_of_cpu_runs(manifest)
    if problem is not None:
        raise BundleError(f"{path}: {problem}")
    return manifest


def instead_of_a_bundle(folder: Path) -> str:
    """Return what a folder without a manifest is, as far as its files tell, and what to do."""
    if not folder.is_dir():
        return "no such folder; `bigbird export` writes bundles"
    if looks_like_checkpoint(folder):
        export = f"bigbird export {shlex.quote(str(folder))} --output NEW_FOLDER"
        return f"this is a checkpoint, not a bundle; `{export}` makes a bundle of it"
    bundles = sorted(found.parent.name for found in folder.glob(f"[!.]*/{MANIFEST_FILE}"))
    if bundles:
        return f"this is a folder of bundles; name one of them: {', '.join(bundles)}"
    return "no bundle in it; `bigbird export` writes one"


def looks_like_checkpoint(folder: Path) -> bool:
    """Tell from the names of its files whether a folder holds a checkpoint: Hugging Face's, PEFT's or TensorFlow's."""
    try:
        saved_model = all((folder / name).exists() for name in ("saved_model.pb", "variables/variables.index"))
        index = any(path.suffix == ".index" for path in folder.iterdir())
        return index or saved_model or any((folder / name).exists() for name in ("config.json", "adapter_config.json"))
    except OSError:
        return False


def _contradiction(manifest: Manifest) -> str | None:
    """Return where fields that fit the schema do not fit each other."""
    lengths = {bucket.length for bucket in manifest.buckets}
    # Both kinds of attention may have one graph.
    of_graphs = {(graph.file, graph.bytes, graph.sha256, graph.attention_kernel) for graph in manifest.graphs}
    files = [manifest.weights.file, manifest.tokenizer.file, *(file for file, *_ in of_graphs)]
    special = manifest.tokenizer
    optional = [special.mask_id or 0, special.eos_id or 0, *special.further_eos_ids]
    ids = [special.cls_id, special.sep_id, special.pad_id, *optional, *(token.id for token in special.added_tokens)]
    known = manifest.known_answer
    repeated = [label for label, times in Counter(manifest.labels).items() if times > 1]
    if repeated:
        return f"labels: {repeated[0]!r:.80} is given twice; give each label a name of its own"
    if len(set(files)) < len(files):
        return "graphs: two parts of the bundle are the same file"
    if max(ids) >= manifest.model["vocab_size"]:
        return f"tokenizer: the id {max(ids)} is outside the vocabulary of {manifest.model['vocab_size']}"
    if len({token.id for token in special.added_tokens}) < len(special.added_tokens):
        return "tokenizer: two added tokens have the same id"
    graphs = {(graph.attention, graph.attention_kernel): graph for graph in manifest.graphs}
    if len(graphs) < len(manifest.graphs):
        return "graphs: two have the same attention and the same kernel"
    for bucket in manifest.buckets:
        for kernel in manifest.kernels:
            graph = graphs.get((bucket.attention, kernel))
            if graph is None or not graph.takes(bucket.length):
                return f"buckets: no {kernel} graph takes the {bucket.attention} bucket of {bucket.length}"
        if {parity.attention_kernel for parity in bucket.parity} != manifest.kernels:
            return f"buckets: {bucket.length} was not compared with every kernel"
    if known is None:
        return None
    if max(known.token_ids) >= manifest.model["vocab_size"]:
        return "known_answer: a token is outside the vocabulary"
    for run in known.runs:
        if run.bucket not in lengths or run.length > run.bucket:
            return f"known_answer: {run.length} tokens in bucket {run.bucket} cannot be run"
        if [expected.output for expected in run.expected] != [output.name for output in manifest.outputs]:
            return "known_answer: it is not about the outputs"
    return None


def _contradiction_of_cpu_runs(manifest: Manifest) -> str | None:
    lengths = [bucket.length for bucket in manifest.buckets]
    for run in manifest.cpu_runs:
        problem = _contradiction(manifest.as_run_by(run))
        if problem is None and [bucket.length for bucket in run.buckets] != lengths:
            problem = "the buckets are others"
        if problem is None and {_weights_of(graph) for graph in run.graphs} != {file.file for file in run.weights}:
            problem = "graphs and weights do not belong together"
        if problem is not None:
            return f"cpu_runs: {run.runtime}: {problem}"
    if len({(run.runtime, run.precision) for run in manifest.cpu_runs}) < len(manifest.cpu_runs):
        return "cpu_runs: two are of the same runtime in the same precision"
    return None


def _weights_of(graph: Graph) -> str:
    """Return the file that OpenVINO's format has a graph's weights in."""
    return str(Path(graph.file).with_suffix(".bin"))


def open_bundle(folder: Path) -> Bundle:
    """Read a bundle and compare every file with its recorded hash.

    Raises:
        BundleError: The manifest is unusable, or a file is missing or changed; the message names the file.
    """
    content = _manifest_content(folder)
    manifest = _parse_manifest(folder / MANIFEST_FILE, content)
    resolved = folder.resolve()
    if not resolved.name.isprintable() or len(resolved.name) > _LONGEST_NAME:
        raise BundleError(f"{resolved}: the folder's name cannot be a model's name")
    files = [check_file(resolved, entry.file, entry.bytes, entry.sha256, MANIFEST_FILE) for entry in manifest.files]
    return Bundle(folder=resolved, manifest=manifest, files=tuple(files), revision=_revision(content))
