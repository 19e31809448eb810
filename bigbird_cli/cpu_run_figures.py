"""What was measured of a bundle in another runtime, in one line."""

from statistics import mean

from bigbird_inference.manifest import CpuRun


def described(run: CpuRun) -> str:
    """Return the runtime with the largest difference from torch, and the share of equal decisions over all buckets."""
    compared = [parity for bucket in run.buckets for parity in bucket.parity]
    largest = max(parity.max_abs_difference / (parity.logits_std or 1) for parity in compared)
    agreements = [parity.agreement for parity in compared if parity.agreement is not None]
    same = f", {mean(agreements):.1%} of decisions the same" if agreements else ""
    return f"OpenVINO {run.version} in {run.precision}: largest difference {largest:.2g} standard deviations{same}"
