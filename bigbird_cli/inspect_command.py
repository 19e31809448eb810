"""`bigbird inspect`: what a bundle holds, whether its files are unchanged, and whether it still computes the same.

Showing a bundle needs its manifest only, checking its hashes the files, checking its numbers torch and the checkpoint.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from bigbird_cli.cpu_run_figures import described
from bigbird_inference.bundle import Bundle, manifest_revision, open_bundle, read_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.extras import install_command
from bigbird_inference.facts import INDENT, and_added, fact, listed, wrapped
from bigbird_inference.manifest import MANIFEST_FILE, Bucket, Manifest, TokenizerKind
from bigbird_inference.runtime.cuda.features import RUNGS, unfit

_LIBRARIES: dict[TokenizerKind, str] = {"sentencepiece": "SentencePiece", "tokenizers": "tokenizer.json"}
_KERNELS = {
    frozenset({"composed"}): "",
    frozenset({"fused"}): ", fused kernel",
    frozenset({"composed", "fused"}): ", with and without fused kernel",
}


@click.command("inspect")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@click.option("--check", is_flag=True, help="Compare every file with its hash in the manifest.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="With --check: also compare every bucket with torch, on the weights of this folder.",
)
@click.option(
    "--tokenizer",
    help="With --checkpoint: where its tokenizer is, if the bundle was exported with this option.",
)
def command(bundle: Path, as_json: bool, check: bool, checkpoint: Path | None, tokenizer: str | None) -> None:
    """Show what BUNDLE holds: task, source, attention, buckets with their measured differences, files, versions.

    With --check, a file or a bucket that does not match ends it with status 1 and one line.
    """
    if checkpoint is not None and not check:
        raise click.UsageError("--checkpoint needs --check")
    if tokenizer is not None and checkpoint is None:
        raise click.UsageError("--tokenizer needs --checkpoint")
    try:
        manifest = read_manifest(bundle)
        if check and checkpoint is None:
            open_bundle(bundle)
    except (BundleError, OSError) as error:
        raise click.ClickException(str(error)) from error
    measured = _verify(bundle, checkpoint, tokenizer) if checkpoint is not None else []

    if as_json:
        click.echo(json.dumps(asdict(manifest), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_report(Bundle(bundle.resolve(), manifest, revision=manifest_revision(bundle)))))
    if check:
        # Beside JSON the outcome must not stand in what a program reads.
        click.echo("\n".join(["", *_outcome(manifest, measured)]), err=as_json)


def _verify(bundle: Path, checkpoint: Path, tokenizer: str | None) -> list[Bucket]:
    """Compare hashes and numbers; this alone needs torch."""
    try:
        from model_export.errors import ExportError
        from model_export.reverify import verify_bundle
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"--checkpoint needs the package {error.name!r}, which is not installed: {install_command('export', 'cpu')}"
        ) from error
    try:
        return verify_bundle(bundle, checkpoint, tokenizer)
    except (ExportError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _report(bundle: Bundle) -> list[str]:
    manifest = bundle.manifest
    return [
        f"{bundle.name}: {manifest.task}, {manifest.precision}, revision {bundle.revision}",
        "",
        *_facts(manifest),
        "",
        *_buckets(manifest),
        "",
        *_files(bundle),
        "",
        *fact("versions", listed(f"{name} {version}" for name, version in manifest.versions.items())),
    ]


def _facts(manifest: Manifest) -> Iterable[str]:
    model, source, tokenizer = manifest.model, manifest.source, manifest.tokenizer
    yield from fact("source", f"{source.name} ({source.kind}), sha256 {source.sha256[:12]}")
    for assumption in source.assumptions:
        yield from fact("assumed", assumption)
    for change in source.changes:
        yield from fact("changed", change)
    if source.note is not None:
        yield from fact("note", source.note)
    yield from fact(
        "model",
        f"{model['num_hidden_layers']} layers, hidden size {model['hidden_size']}, "
        f"{model['num_attention_heads']} heads, vocabulary {model['vocab_size']}",
    )
    yield from fact(
        "attention",
        f"{model['attention_type']}, blocks of {manifest.block_size}, {model['num_random_blocks']} random blocks, "
        f"pattern {manifest.pattern}{_KERNELS[frozenset(manifest.kernels)]}",
    )
    yield from fact("length", f"up to {manifest.max_length} tokens; token types of pairs: {manifest.pair_types}")
    if manifest.pooling is not None:
        yield from fact("pooling", manifest.pooling)
    if manifest.max_batch_items is not None:
        yield from fact("batches", f"of {manifest.max_batch_items} at most: larger ones would change the numbers")
    if manifest.labels:
        yield from fact("labels", f"{len(manifest.labels)}: {listed(manifest.labels)}")
    if manifest.problem_type is not None:
        yield from fact("problem", manifest.problem_type)
    ids: dict[str, list[int | None]] = {
        "CLS": [tokenizer.cls_id],
        "SEP": [tokenizer.sep_id],
        "padding": [tokenizer.pad_id],
        "mask": [tokenizer.mask_id],
        "end of text": [tokenizer.eos_id, *tokenizer.further_eos_ids],
    }
    roles = (f"{role} {' or '.join('none' if own is None else str(own) for own in ids[role])}" for role in ids)
    library = _LIBRARIES[tokenizer.kind] + and_added([token.content for token in tokenizer.added_tokens])
    yield from fact("tokenizer", f"{library}; ids: {listed(roles)}")
    for name, tensors in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        yield from fact(
            name, listed(f"{tensor.name} {tensor.dtype} [{listed(map(str, tensor.shape))}]" for tensor in tensors)
        )
    known = manifest.known_answer
    runs = known.runs if known is not None else []
    asked = listed(f"{run.length} tokens in bucket {run.bucket} (to {run.tolerance:.2g})" for run in runs)
    yield from fact("self-test", asked or "none")
    for run in manifest.cpu_runs:
        yield from fact("on a CPU", described(run))
    reasons = {rung: unfit(rung, manifest) for rung in RUNGS}
    possible = listed(rung for rung in RUNGS if reasons[rung] is None) or "nothing"
    others = "".join(f"; not {rung}: {reason}" for rung, reason in reasons.items() if reason is not None)
    yield from fact("on a GPU", f"{possible} can be tried, which `bigbird doctor` does{others}")


def _buckets(manifest: Manifest) -> Iterable[str]:
    """Yield a line for each bucket: differences from torch, over what lengths, and what one document costs."""
    rows = [("bucket", "attention", "max", "mean", "std", "corr.", "same", "memory", "lengths compared")]
    for bucket in manifest.buckets:
        memory = bucket.peak_memory_bytes
        for parity in bucket.parity:
            rows.append(
                (
                    str(bucket.length),
                    bucket.attention + (", fused" if parity.attention_kernel == "fused" else ""),
                    f"{parity.max_abs_difference:.1e}",
                    f"{parity.mean_abs_difference:.1e}",
                    f"{parity.logits_std:.2f}",
                    f"{parity.correlation:.4f}",
                    "" if parity.agreement is None else f"{parity.agreement:.3f}",
                    "unknown" if memory is None else f"{'' if bucket.peak_memory_measured else '~'}{_size(memory)}",
                    " ".join(map(str, parity.documents)),
                )
            )
    yield from _table(rows, right_aligned=(0, 2, 3, 4, 5, 6, 7))
    parities = [parity for bucket in manifest.buckets for parity in bucket.parity]
    allowed = sorted({parity.tolerance for parity in parities})
    yield from wrapped(
        "max, mean: differences of the outputs from torch in fp32, each document alone; allowed: "
        f"{allowed[0]:.1e}{f' to {allowed[-1]:.1e}' if len(allowed) > 1 else ''}; std: of torch's outputs; corr.: "
        "correlation with them; same: share of equal decisions; memory of one document, ~ in proportion to "
        "the longest; lengths in tokens",
        INDENT,
        INDENT,
    )
    if any(parity.checked_with == "torch" for parity in parities):
        yield from wrapped(
            "measured of the half-precision torch model, for want of a GPU; the graphs themselves were run in fp32 "
            "with the same weights. --check --checkpoint on a machine with a GPU measures those of the graphs",
            INDENT,
            INDENT,
        )


def _files(bundle: Bundle) -> Iterable[str]:
    manifest = bundle.manifest
    rows = [("file", "size", "")]
    total = 0
    for entry in manifest.files:
        rows.append((entry.file, _size(entry.bytes), _remark(bundle.path(entry.file), entry.bytes)))
        total += entry.bytes
    manifest_bytes = bundle.path(MANIFEST_FILE).stat().st_size
    rows += [(MANIFEST_FILE, _size(manifest_bytes), ""), ("total", _size(total + manifest_bytes), "")]
    yield from _table(rows, right_aligned=(1,))


def _remark(path: Path, recorded: int) -> str:
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    return "" if size == recorded else f"has {size} bytes, not {recorded}"


def _outcome(manifest: Manifest, measured: Sequence[Bucket]) -> Iterable[str]:
    yield from fact("checked", f"{len(manifest.files)} files match their hashes")
    for recorded, now in zip(manifest.buckets, measured, strict=False):
        yield from fact(
            "",
            f"bucket {now.length}: largest difference from torch {_largest_difference(now):.1e} now, "
            f"{_largest_difference(recorded):.1e} at export",
        )


def _largest_difference(bucket: Bucket) -> float:
    return max(parity.max_abs_difference for parity in bucket.parity)


def _table(rows: Sequence[Sequence[str]], right_aligned: Iterable[int]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if index in right_aligned else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"{INDENT}{INDENT.join(cells)}".rstrip()


def _size(number: int) -> str:
    """Write a number of bytes with the unit that leaves one to four digits before the point."""
    size = float(number)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
