"""The known answer of a bundle: what the finished model says to a fixed text, for the machine that will serve it.

`bigbird_inference.known_answer` asks for it again before anybody is served, and tells there what that finds.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bigbird_inference.errors import BundleError
from bigbird_inference.known_answer import describe_outputs, known_answer_batch
from bigbird_inference.manifest import Bucket, Graph, KnownRun, Manifest, Precision
from bigbird_inference.runtime.session import Session
from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.errors import ExportError

TEXT = (
    "In 1987 Zoë\u0301 paid 3,50 € for ﬁve  blue pens — “naïve”, they said; [SEP] is no end.\t"
    "\uff37\uff49\uff44\uff45 ①½ Ж Σίσυφος 東京 한글 \U0001f469\u200d\U0001f52c."
)
"""What a normaliser, a vocabulary and byte pieces can get wrong: composed and decomposed accents, a ligature, runs of
blanks, a control piece as characters, wide forms, other scripts, a joined emoji."""

# Measured with two demo models: other kernels of the same mathematics change fp32 by at most 4e-6 and int8, where a
# last digit can move a quantised number to the next, by 0.06. An AVX2 processor without VNNI, emulated, changes fp32 by
# 3e-6, and int8, whose products saturate there, by 0.29 and 0.46. The half-precision ones are those of the export.
TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "int8": 0.15, "fp16": 0.1, "bf16": 0.5}
"""Largest allowed difference between machines, in standard deviations of the outputs (fp32: at least absolute)."""


def token_ids_of(texts: Sequence[str], manifest: Manifest, tokenizer_file: Path) -> npt.NDArray[np.int64]:
    """Return the tokens of texts one after the other, `[tokens]`, without special tokens.

    Args:
        texts: The texts.
        manifest: Of the bundle, as far as it is known.
        tokenizer_file: The bundle's vocabulary.

    Raises:
        ExportError: The tokenizer could not be served.
    """
    try:
        tokenizer = Tokenizer.of_file(manifest.tokenizer, tokenizer_file).load()
    except BundleError as error:
        raise ExportError(str(error)) from error
    ids = [np.asarray(tokenizer.tokenize_without_positions(text).ids, dtype=np.int64) for text in texts]
    return np.concatenate([np.empty(0, dtype=np.int64), *ids])


def known_runs(
    manifest: Manifest,
    token_ids: Sequence[int],
    graph: Graph,
    buckets: Sequence[Bucket],
    session: Session,
    precision: Precision | None = None,
) -> list[KnownRun]:
    """Return what a session answers in the shortest and in the longest bucket that can hold the text's frame.

    Args:
        manifest: Of the bundle, as far as it is known.
        token_ids: Tokens of the text.
        graph: The session's.
        buckets: Those of the graph, ascending.
        session: What will serve them, or what stands in for it.
        precision: What that computes in, if not in the graph's precision.
    """
    precision = precision or manifest.precision
    # CLS, a token and SEP; what is shorter than the graph takes has the other kind of attention.
    too_short = max(2, graph.shortest - graph.step)
    possible = [bucket for bucket in buckets if bucket.length > too_short]
    runs = []
    for bucket in possible[:1] + possible[1:][-1:]:
        shorter = max((other.length for other in buckets if other.length < bucket.length), default=too_short)
        # A length that only this bucket serves, with padding, and with a last block that is partly filled.
        length = (shorter + bucket.length) // 2 + 1
        outputs = session.run(known_answer_batch(manifest, token_ids, length, bucket.length))
        spread = bucket.parity[0].logits_std
        factor = max(1.0, spread) if precision == "fp32" else spread
        runs.append(
            KnownRun(
                length=length,
                bucket=bucket.length,
                expected=describe_outputs(manifest, outputs, length),
                tolerance=TOLERANCES[precision] * factor,
            )
        )
    return runs
