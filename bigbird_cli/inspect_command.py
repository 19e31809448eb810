"""`bigbird inspect`: what a bundle holds, and whether its files are unchanged."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from service.bundle import Manifest, open_bundle
from service.errors import BundleError


@click.command("inspect")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def command(bundle: Path, as_json: bool) -> None:
    """Check the hashes of BUNDLE and show its manifest."""
    try:
        manifest = open_bundle(bundle).manifest
    except BundleError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(asdict(manifest), indent=2, ensure_ascii=False) if as_json else _summary(bundle, manifest))


def _summary(bundle: Path, manifest: Manifest) -> str:
    model = manifest.model
    lines = [
        f"{bundle.resolve().name}: {manifest.task}, {manifest.precision}, all hashes match",
        f"  source     {manifest.source.name} ({manifest.source.sha256[:12]})",
        f"  model      {model['num_hidden_layers']} layers, hidden size {model['hidden_size']}, "
        f"{model['num_attention_heads']} heads, vocabulary {model['vocab_size']}",
        f"  attention  {model['attention_type']}, blocks of {manifest.block_size}, "
        f"{model['num_random_blocks']} random blocks, pattern {manifest.pattern}",
        f"  weights    {manifest.weights.bytes / 2**20:.1f} MiB",
    ]
    if manifest.labels:
        lines.append(f"  labels     {', '.join(manifest.labels)}")
    lines += ["", "  bucket  attention     max difference   logits std   peak memory"]
    for bucket in manifest.buckets:
        memory = "unknown" if bucket.peak_memory_bytes is None else f"{bucket.peak_memory_bytes / 2**20:.0f} MiB"
        lines.append(
            f"  {bucket.length:6}  {bucket.attention:12}  {bucket.parity.max_abs_difference:14.2g}"
            f"   {bucket.parity.logits_std:10.2f}   {memory:>11}"
        )
    return "\n".join(lines)
