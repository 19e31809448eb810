"""What was measured of a bundle in another runtime, in one line."""

from statistics import mean

from bigbird_inference.manifest import CpuRun


def described(run: CpuRun) -> str:
    """Return the runtime with the largest difference from torch, and the share of equal decisions over all buckets."""
    compared = [parity for bucket in run.buckets for parity in bucket.parity]
    largest = max(parity.max_abs_difference / (parity.logits_std or 1) for parity in compared)
    agreements = [parity.agreement for parity in compared if parity.agreement is not None]
    same = f", {mean(agreements):.1%} of decisions the same" if agreements else ""
    ranges = f"ranges of {run.calibrated_on} documents" if run.calibrated_on else "ranges of each run"
    kind = f" with int8 graphs ({ranges})" if run.graphs else ""
    what = f"OpenVINO {run.version} in {run.precision}{kind}"
    return f"{what}: largest difference {largest:.2g} standard deviations{same}"
