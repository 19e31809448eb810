"""The short form of the loaders' fuzzing, and that it can fail."""

from pathlib import Path

import pytest

from bigbird_inference.errors import BundleError
from tests.reliability import fuzzed_loaders
from tests.reliability.fuzzed_loaders import FuzzedLoader, Fuzzing
from tests.reliability.loader_fuzz import INPUTS, run


@pytest.mark.slow
def test_spoilt_files_are_loaded_or_refused_in_one_line() -> None:
    report = run(0.02)
    assert report.failures == ()
    assert report.inputs >= 2000


def test_the_full_run_has_a_hundred_thousand_inputs_and_leaves_no_loader_out() -> None:
    assert sum(INPUTS.values()) >= 100_000
    assert INPUTS.keys() == fuzzed_loaders.LOADERS.keys()


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "noticed"),
    [
        pytest.param(KeyError("buckets"), "KeyError", id="an exception of the language"),
        pytest.param(BundleError("no file is named"), "not one line about its file", id="a message without its file"),
    ],
)
def test_what_is_no_refusal_is_noticed(tmp_path: Path, error: Exception, noticed: str) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    fuzzing = Fuzzing(FuzzedLoader("manifest.json", lambda folder: None, lambda folder: _raise(error)), folder)
    fuzzing.attempt(b"{}")
    assert len(fuzzing.failures) == 1 and noticed in fuzzing.failures[0]
    assert (tmp_path / "bundle-failure-0" / "manifest.json").read_bytes() == b"{}"
