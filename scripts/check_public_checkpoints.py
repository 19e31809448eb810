"""Try the public checkpoints of docs/checkpoints.md: download, export, compare the bundle with transformers.

    python -m scripts.check_public_checkpoints --only 'google/*'

Needs a network, disk for what is downloaded (into the hub library's cache), and for all of them hours. Nothing that a
checkpoint brings is run: transformers is never told to trust remote code. What was exported is noted beside its bundle
and not tried again, so a check that was stopped goes on; `--again` begins anew. Prints a table in Markdown; the exit
status is 1 if a checkpoint could not be exported or differs.
"""

import argparse
import contextlib
import fnmatch
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
import numpy.typing as npt

from bigbird_inference.bundle import Bundle, open_bundle
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.session import Batch, Session
from bigbird_inference.tokenization.tokenizer import Tokenizer
from scripts.public_checkpoints import LIST, PublicCheckpoint, read_list

TOLERANCE = 1e-3
"""Of logits in fp32, in their standard deviations; what is wrong differs by a tenth and more."""
CLASSES = {
    "qa": "BigBirdForQuestionAnswering",
    "classify": "BigBirdForSequenceClassification",
    "ner": "BigBirdForTokenClassification",
    "fill-mask": "BigBirdForMaskedLM",
    "next-sentence": "BigBirdForPreTraining",
    "multiple-choice": "BigBirdForMultipleChoice",
    "generate": "BigBirdForCausalLM",
    "embed": "BigBirdModel",
}
TEXTS = (
    "Alice Smith leads the Acme project in New York since March 2024.",
    "Naïve café owners paid €1,250.50 (20% more) — didn't they?",
    "미국의 대통령은 2024년 3월에 서울을 방문했다.",
    "東京大学で自然言語処理を学ぶ。",
    "中国的首都是北京。",
    "ATGGCGTACGCTTGANNNTTAGGCCATTCGAT",
    "x = y**2  # tabs\tand  two spaces",
    "",
)
_NOTE = "check.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a checkpoint.

    Attributes:
        id: Of the checkpoint.
        exported: Whether there is a bundle.
        seconds: How long it took, from the download on.
        difference: Largest of all logits to transformers', in standard deviations; None if there is nothing to compare.
        same_ids: Texts with the same ids as their own tokenizer gives; None if there is none to ask.
        note: What went wrong, or why something was not compared.
    """

    id: str
    exported: bool
    seconds: float
    difference: float | None = None
    same_ids: int | None = None
    note: str = ""

    @property
    def good(self) -> bool:
        """Whether everything that could be compared is the same."""
        same_logits = self.difference is None or self.difference <= TOLERANCE
        return self.exported and same_logits and self.same_ids in (None, len(TEXTS))


def check(one: PublicCheckpoint, folder: Path, buckets: str | None) -> Outcome:
    """Export a checkpoint into a folder and compare it."""
    begun = time.monotonic()
    output = folder / one.name
    choices = [*one.options, *(() if buckets is None else ("--buckets", buckets))]
    from bigbird_cli.export_command import command

    try:
        # What the export reports is not part of the table.
        with contextlib.redirect_stdout(sys.stderr):
            command.main([one.id, "--output", str(output), "--overwrite", *choices], standalone_mode=False)
    except click.ClickException as error:
        return Outcome(one.id, False, time.monotonic() - begun, note=error.format_message().splitlines()[0])
    from model_export.checkpoints.hub import resolve

    source = resolve(one.id)
    bundle = open_bundle(output)
    vocabulary = resolve(_after(one.options, "--tokenizer"), weights=False) if "--tokenizer" in one.options else source
    difference, why_no_logits = compare_logits(bundle, source)
    same, why_no_ids = compare_ids(bundle, vocabulary)
    notes = " ".join(note for note in (why_no_logits, why_no_ids) if note)
    return Outcome(one.id, True, time.monotonic() - begun, difference, same, notes)


def compare_logits(bundle: Bundle, source: Path) -> tuple[float | None, str]:
    """Ask a bundle and transformers about a random document for each kind of attention.

    Returns:
        The largest difference of a logit in standard deviations of all; or None, and why transformers has none.
    """
    import torch
    import transformers

    manifest = bundle.manifest
    if manifest.source.kind == "flax":
        return None, "transformers 5 reads no Flax weights."
    name = CLASSES[manifest.task]
    try:
        model, report = getattr(transformers, name).from_pretrained(
            source, output_loading_info=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError) as error:
        return None, f"transformers does not load it: {str(error).splitlines()[0]:.100}"
    if report["missing_keys"]:
        return None, f"transformers finds no {sorted(report['missing_keys'])[0]}."
    model.eval()
    encoder = getattr(model, "bert", model)
    kind = model.config.attention_type
    longest = {bucket.attention: bucket for bucket in sorted(manifest.buckets, key=lambda bucket: bucket.length)}
    differences = []
    for bucket in longest.values():
        encoder.set_attention_type(kind)  # a short document switches the model for good
        ids = np.random.default_rng(bucket.length).integers(0, manifest.model["vocab_size"], (1, bucket.length - 3))
        with torch.inference_mode():
            theirs = their_logits(model, manifest.task, torch.from_numpy(ids)).numpy()
        graph = next(graph for graph in manifest.graphs if graph.attention == bucket.attention)
        session = open_session(bundle.path(graph.file), manifest, device="cpu", threads=os.cpu_count() or 1)
        ours = our_logits(session, manifest.task, ids, bucket.length)
        if ours.shape != theirs.shape:
            return math.inf, f"{ours.shape[1]} logits, transformers {theirs.shape[1]}."
        # The only logit of a choice has no spread.
        differences.append(float(np.abs(ours - theirs).max() / (theirs.std() or 1.0)))
    return max(differences), ""


def their_logits(model: Any, task: str, ids: Any) -> Any:
    """Return what transformers gives for a document alone, `[positions or 1, logits]`."""
    inputs = {"input_ids": ids, "attention_mask": ids.new_ones(ids.shape), "token_type_ids": ids.new_zeros(ids.shape)}
    if task == "multiple-choice":
        inputs = {name: tensor[None] for name, tensor in inputs.items()}
    if task == "qa":
        # A question of no tokens: no position is masked.
        inputs["question_lengths"] = ids.new_zeros((1, 1))
    output = model(**inputs)
    if task == "qa":
        return output.start_logits.new_tensor(
            [*zip(output.start_logits[0].tolist(), output.end_logits[0].tolist(), strict=True)]
        )
    if task == "embed":
        return output.last_hidden_state[0]
    if task == "next-sentence":
        return output.seq_relationship_logits
    if task in ("classify", "multiple-choice"):
        return output.logits
    return (output.prediction_logits if "prediction_logits" in output else output.logits)[0]


def our_logits(session: Session, task: str, ids: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.float32]:
    """Return what a session gives for the same document padded to a length, in the same shape."""
    padded, mask = (np.zeros((1, length), dtype=np.int64) for _ in range(2))
    padded[:, : ids.shape[1]], mask[:, : ids.shape[1]] = ids, 1
    positions = np.arange(ids.shape[1])[None] if task in ("fill-mask", "generate") else None
    outputs = session.run(Batch(padded, mask, np.zeros_like(padded), positions))
    logits = outputs["hidden" if task == "embed" else "logits"]
    return logits if task in ("classify", "multiple-choice", "next-sentence") else logits[0, : ids.shape[1]]


def compare_ids(bundle: Bundle, source: Path) -> tuple[int | None, str]:
    """Tokenise texts with the bundle and with the library that the tokenizer's file is of.

    Returns:
        For how many of `TEXTS` the ids are the same; or None, and why there is nothing to compare with.
    """
    try:
        encode = their_tokenizer(source)
    except (OSError, ValueError, KeyError) as error:
        return None, f"there is no tokenizer: {str(error).splitlines()[0]:.100}"
    ours = Tokenizer.from_bundle(bundle)
    return sum(encode(text) == ours.tokenize_without_positions(text).ids.tolist() for text in TEXTS), ""


def their_tokenizer(source: Path) -> Callable[[str], list[int]]:
    """Return the library's own reading of a tokenizer's file; transformers 5 rebuilds BigBird's, and loses a part."""
    if (spiece := source / "spiece.model").exists():
        import sentencepiece

        return cast(Callable[[str], list[int]], sentencepiece.SentencePieceProcessor(model_file=str(spiece)).encode)
    if (saved := source / "tokenizer.json").exists():
        import tokenizers

        read = tokenizers.Tokenizer.from_file(str(saved))
        return lambda text: list(read.encode(text, add_special_tokens=False).ids)
    import transformers

    made = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    return lambda text: list(made.encode(text, add_special_tokens=False))


def table(outcomes: Iterable[Outcome]) -> str:
    """Return the outcomes as a Markdown table."""
    lines = [
        "| Checkpoint | | Difference of logits (standard deviations) | Texts with the same ids | Seconds | Note |",
        "|---|---|---|---|---|---|",
    ]
    for one in outcomes:
        difference = "" if one.difference is None else f"{one.difference:.1g}"
        ids = "" if one.same_ids is None else f"{one.same_ids} of {len(TEXTS)}"
        verdict = "same" if one.good else "**differs**" if one.exported else "**not exported**"
        cells = [one.id, verdict, difference, ids, f"{one.seconds:.0f}", one.note.replace("|", "\\|")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", help="ids, with * for anything: 'google/*'")
    parser.add_argument("--folder", type=Path, default=Path("checked"), help="for bundles and notes (default: checked)")
    parser.add_argument("--buckets", help="as for `bigbird export`; few of them take less time")
    parser.add_argument("--again", action="store_true", help="try again what was exported before")
    parser.add_argument("--list", type=Path, default=LIST, help="another list than scripts/public_checkpoints.toml")
    asked = parser.parse_args(arguments)
    chosen = [one for one in read_list(asked.list) if fnmatch.fnmatch(one.id, asked.only) and not one.problem]
    asked.folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for one in chosen:
        note = asked.folder / f"{one.name}.{_NOTE}"
        if note.exists() and not asked.again:
            outcomes.append(Outcome(**json.loads(note.read_text(encoding="utf-8"))))
            continue
        outcomes.append(check(one, asked.folder, asked.buckets))
        if outcomes[-1].exported:
            note.write_text(json.dumps(asdict(outcomes[-1])), encoding="utf-8")
    print(table(outcomes), end="")
    return 0 if outcomes and all(one.good for one in outcomes) else 1


def _after(words: Sequence[str], option: str) -> str:
    return words[words.index(option) + 1]


if __name__ == "__main__":
    sys.exit(main())
