"""The same numbers as transformers gives for each document alone, through onnxruntime, in any bucket and batch.

A comparison of models whose attention hardly matters would prove nothing. So every block-sparse case also shows that
full attention, and a last block that is not the document's own, would miss the reference by 100 times the tolerance.
Graphs with the fused kernel are asked about the same documents as those of standard operators.
"""

from collections.abc import Sequence

import numpy as np
import pytest

from bigbird_inference.manifest import AttentionKernelName
from model_export.export.trace import AttentionChoice
from tests.model_export.exported_models import ExportedModel, Logits, largest_difference

TOLERANCE = 1e-4
MISS = 100 * TOLERANCE
SMALLEST_SPREAD = 0.5

FULL_LENGTHS = (1, 2, 63, 64, 65, 127, 128, 703, 704)
SPARSE_LENGTHS = (705, 767, 768, 769, 1000, 1023, 1024, 1025, 1984, 1985, 2047, 2048, 3000, 4095, 4096)
# Those that the mistakes are demonstrated with, by transformers, which takes its time.
MISSED_LENGTHS = (705, 768, 1000, 1024, 1025, 2047, 3000, 4095, 4096)
FULL_BUCKETS = (64, 128, 256, 512, 704)
SPARSE_BUCKETS = (768, 1024, 1536, 2048, 3072, 4096)

KERNELS: tuple[AttentionKernelName, ...] = ("composed", "fused")


@pytest.fixture(scope="module")
def base_shaped(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    """Question answering with the base configuration's blocks and positions, and a small hidden size."""
    fields = {"block_size": 64, "num_random_blocks": 3, "max_position_embeddings": 4096}
    folder = tmp_path_factory.mktemp("base_shaped")
    return ExportedModel(folder, "qa", fields, FULL_BUCKETS + SPARSE_BUCKETS, attention="both")


def test_the_buckets_are_those_the_lengths_were_chosen_for(base_shaped: ExportedModel) -> None:
    assert base_shaped.buckets("full") == list(FULL_BUCKETS)
    assert base_shaped.buckets("block_sparse") == list(SPARSE_BUCKETS)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("length", FULL_LENGTHS + SPARSE_LENGTHS)
def test_a_document_gets_its_own_logits_in_every_bucket_of_its_kind(
    base_shaped: ExportedModel, length: int, kernel: AttentionKernelName
) -> None:
    buckets = base_shaped.buckets(base_shaped.attention(length), length)
    assert buckets
    found = {bucket: base_shaped.served([length], bucket, kernel)[0] for bucket in buckets}
    differences = {bucket: largest_difference(logits, base_shaped.alone(length)) for bucket, logits in found.items()}
    spread = base_shaped.alone(length).std()
    print(f"{length} tokens: {max(differences.values()):.3g} at a standard deviation of {spread:.3g}")
    assert max(differences.values()) <= TOLERANCE, differences
    _assert_same_bits(list(found.values()))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("bucket", FULL_BUCKETS + SPARSE_BUCKETS)
def test_a_document_gets_its_own_logits_in_a_batch_of_other_lengths(
    base_shaped: ExportedModel, bucket: int, kernel: AttentionKernelName
) -> None:
    lengths = [n for n in (FULL_LENGTHS if bucket in FULL_BUCKETS else SPARSE_LENGTHS) if n <= bucket]
    # Neighbours of very different lengths: the shortest stands beside the longest.
    lengths = lengths[::-2] + lengths[::2] if len(lengths) % 2 == 0 else lengths[::-1]
    assert len(lengths) >= 2
    mixed = dict(zip(lengths, base_shaped.served(lengths, bucket, kernel), strict=True))
    differences = {length: largest_difference(logits, base_shaped.alone(length)) for length, logits in mixed.items()}
    assert max(differences.values()) <= TOLERANCE, differences
    for length, logits in mixed.items():
        _assert_same_bits([logits, base_shaped.served([length], bucket, kernel)[0]])


def _assert_same_bits(answers: Sequence[Logits]) -> None:
    assert all(np.array_equal(answers[0], answer) for answer in answers[1:]), [
        largest_difference(answers[0], answer) for answer in answers
    ]


@pytest.mark.parametrize("length", [n for n in FULL_LENGTHS + SPARSE_LENGTHS if n > 2])
def test_the_logits_that_are_compared_are_spread_out(base_shaped: ExportedModel, length: int) -> None:
    assert base_shaped.alone(length).std() >= SMALLEST_SPREAD


@pytest.mark.parametrize("length", MISSED_LENGTHS)
def test_full_attention_would_miss_the_reference(base_shaped: ExportedModel, length: int) -> None:
    full = base_shaped.reference.with_full_attention(base_shaped.document(length))
    miss = largest_difference(full, base_shaped.alone(length))
    print(f"full attention at {length} misses by {miss:.3g}")
    assert miss >= MISS


@pytest.mark.parametrize("bucket", SPARSE_BUCKETS[1:])
def test_an_unanchored_last_block_would_miss_the_reference(base_shaped: ExportedModel, bucket: int) -> None:
    lengths = [length for length in MISSED_LENGTHS if base_shaped.padded_length(length) < bucket]
    unanchored = base_shaped.reference.padded([base_shaped.document(length) for length in lengths], bucket)
    misses = {
        length: largest_difference(logits, base_shaped.alone(length))
        for length, logits in zip(lengths, unanchored, strict=True)
    }
    print(f"an unanchored last block in bucket {bucket} misses by {misses}")
    assert misses, "no document leaves a block of this bucket empty"
    assert min(misses.values()) >= MISS, misses


# What else a configuration can say. Each has its full-attention edge as a bucket and a longer one, if any is sparse.
VARIANTS: dict[str, tuple[str, dict[str, object], tuple[int, ...], AttentionChoice]] = {
    "entities with blocks of 16, one head and one random block": (
        "ner",
        {"num_attention_heads": 1, "num_random_blocks": 1, "num_labels": 5, "hidden_act": "gelu"},
        (112, 160, 256),
        "both",
    ),
    "classification with blocks of 32, twelve heads and two random blocks": (
        "classify",
        {"block_size": 32, "num_attention_heads": 12, "num_random_blocks": 2, "num_labels": 3}
        | {"max_position_embeddings": 512},
        (288, 512),
        "composed",
    ),
    "four random blocks, no bias in query, key and value, relu": (
        "qa",
        {"num_random_blocks": 4, "use_bias": False, "max_position_embeddings": 320, "hidden_act": "relu"},
        (208, 320),
        "composed",
    ),
    "rescaled embeddings, sixteen token types, another epsilon, positions that do not fill the last block": (
        "ner",
        {"rescale_embeddings": True, "type_vocab_size": 16, "layer_norm_eps": 1e-5, "hidden_act": "quick_gelu"}
        | {"max_position_embeddings": 250},
        (112, 240),
        "composed",
    ),
    "regression with one token type and a dropout of its own": (
        "classify",
        {"type_vocab_size": 1, "num_labels": 1, "problem_type": "regression", "classifier_dropout": 0.3}
        | {"num_random_blocks": 3, "max_position_embeddings": 384},
        (176, 384),
        "composed",
    ),
    "full attention by configuration, with a length of no whole blocks": (
        "ner",
        {"attention_type": "original_full", "max_position_embeddings": 150, "num_labels": 4},
        (64, 150),
        "both",
    ),
}


# Their fields change no part of the graph that others do not have; `make test-integration` takes these, too.
SELDOM = (
    "rescaled embeddings",
    "regression",
    "classification with blocks of 32",
    "entities with blocks of 16",
    "full attention by configuration",
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(variant, id=name, marks=[pytest.mark.integration] if name.startswith(SELDOM) else [])
        for name, variant in VARIANTS.items()
    ],
)
def variant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    task, fields, buckets, attention = request.param
    return ExportedModel(tmp_path_factory.mktemp("variant"), task, fields, buckets, attention=attention)


def _lengths(variant: ExportedModel, bucket: int) -> list[int]:
    """Return lengths on and around the block edges of a bucket, and of its shorter neighbours."""
    block_size = variant.config.block_size
    sparse = variant.attention(bucket) == "block_sparse"
    shortest = (5 + 2 * variant.config.num_random_blocks) * block_size + 1 if sparse else 1
    middle = (shortest + bucket) // 2 // block_size * block_size
    candidates = {shortest, shortest + 1, shortest + block_size - 1, middle - 1, middle, middle + 1}
    candidates |= {bucket - block_size, bucket - block_size + 1, bucket - 1, bucket}
    return sorted(length for length in candidates if shortest <= length <= bucket)


def test_each_configuration_gives_each_document_its_own_logits(variant: ExportedModel) -> None:
    differences = {}
    for kernel in variant.kernels:
        for bucket in variant.buckets():
            lengths = _lengths(variant, bucket)
            mixed = variant.served(lengths, bucket, kernel)
            for length, in_a_batch in zip(lengths, mixed, strict=True):
                by_itself = variant.served([length], bucket, kernel)[0]
                differences[kernel, bucket, length, "alone"] = largest_difference(by_itself, variant.alone(length))
                differences[kernel, bucket, length, "mixed"] = largest_difference(in_a_batch, variant.alone(length))
    references = [variant.alone(length).ravel() for length in _lengths(variant, max(variant.buckets()))]
    spread = np.concatenate(references).std()
    print(f"{max(differences.values()):.3g} at a standard deviation of {spread:.3g}")
    assert max(differences.values()) <= TOLERANCE, differences
    assert spread >= SMALLEST_SPREAD


def test_each_block_sparse_configuration_would_be_missed_otherwise(variant: ExportedModel) -> None:
    longest = max(variant.buckets())
    if variant.attention(longest) == "full":
        assert not variant.buckets("block_sparse")
        return
    lengths = _lengths(variant, longest)
    full = {
        length: largest_difference(
            variant.reference.with_full_attention(variant.document(length)), variant.alone(length)
        )
        for length in lengths
    }
    shorter = [length for length in lengths if variant.padded_length(length) < longest]
    unanchored = {
        length: largest_difference(logits, variant.alone(length))
        for length, logits in zip(
            shorter,
            variant.reference.padded([variant.document(length) for length in shorter], longest),
            strict=True,
        )
    }
    # A document has one number or few to classify it by, which may agree by chance; of tokens there are hundreds.
    typical = np.median if variant.task == "classify" else min
    misses = typical(list(full.values())), typical(list(unanchored.values()))
    print(f"full attention misses by {misses[0]:.3g}, an unanchored last block by {misses[1]:.3g}")
    assert min(misses) >= MISS, (full, unanchored)


@pytest.mark.slow
def test_the_base_configuration_gives_each_document_its_own_logits(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Full size, random weights, three buckets; the figure is printed (`pytest -s`)."""
    fields = {
        "vocab_size": 50358,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "max_position_embeddings": 4096,
        "block_size": 64,
        "num_random_blocks": 3,
    }
    model = ExportedModel(tmp_path_factory.mktemp("base"), "qa", fields, (704, 1024, 4096), head_gain=8.0)
    lengths = {704: [65, 704], 1024: [705, 1000], 4096: [1000, 3000]}
    differences = {}
    for bucket, documents in lengths.items():
        for length, logits in zip(documents, model.served(documents, bucket), strict=True):
            differences[bucket, length] = largest_difference(logits, model.alone(length))
    spread = min(float(model.alone(length).std()) for documents in lengths.values() for length in documents)
    full = largest_difference(model.reference.with_full_attention(model.document(1000)), model.alone(1000))
    unanchored = largest_difference(model.reference.padded([model.document(1000)], 4096)[0], model.alone(1000))
    print(f"\nbase configuration: {differences}, logits' standard deviation at least {spread:.3g}")
    print(f"full attention misses by {full:.3g}, an unanchored last block by {unanchored:.3g}")
    assert max(differences.values()) <= TOLERANCE, differences
    assert spread >= SMALLEST_SPREAD
    assert min(full, unanchored) >= MISS
