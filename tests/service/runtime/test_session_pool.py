from dataclasses import replace
from pathlib import Path

import pytest

from service.bundle import Bundle, Manifest
from service.errors import BundleError
from service.runtime.session_pool import open_sessions
from tests.service.fake_model import FakeSession, fake_manifest

EDGE = (5 + 2 * 3) * 8


def bundle(full: list[int], block_sparse: list[int], max_length: int) -> Bundle:
    manifest = fake_manifest("ner", full + block_sparse)
    buckets = [
        replace(bucket, attention="full" if bucket.length in full else "block_sparse") for bucket in manifest.buckets
    ]
    return Bundle(Path("bundles/ner"), replace(manifest, buckets=buckets, max_length=max_length))


def test_every_bucket_is_opened_from_its_own_file_shortest_first() -> None:
    opened: list[Path] = []

    def open_one(graph: Path, manifest: Manifest) -> FakeSession:
        opened.append(graph)
        return FakeSession()

    sessions = open_sessions(bundle([EDGE, 8], [128], max_length=128), open_one)
    assert list(sessions) == [8, EDGE, 128]
    assert opened == [Path(f"bundles/ner/graph-{length}.onnx") for length in (8, EDGE, 128)]


@pytest.mark.parametrize(
    ("full", "block_sparse", "max_length", "problem"),
    [
        pytest.param([8, 8], [], 8, "same length", id="two buckets of one length"),
        pytest.param([8], [], 16, "none holds max_length 16", id="no bucket for the longest sequence"),
        pytest.param([8], [128], 128, f"meet at {EDGE}", id="nothing at the edge"),
        pytest.param([], [128], 128, f"meet at {EDGE}", id="no full bucket"),
        pytest.param([EDGE, 96], [128], 128, f"meet at {EDGE}", id="a full bucket beyond the edge"),
        pytest.param([EDGE], [16, 128], 128, f"meet at {EDGE}", id="a block-sparse bucket below the edge"),
    ],
)
def test_buckets_that_would_mix_attention_kinds_are_refused(
    full: list[int], block_sparse: list[int], max_length: int, problem: str
) -> None:
    with pytest.raises(BundleError, match=problem) as error:
        open_sessions(bundle(full, block_sparse, max_length), lambda graph, manifest: FakeSession())
    assert "manifest.json" in str(error.value)
