"""Write the rules and alerts of `deploy/prometheus/rules` as a resource for the Prometheus operator.

kustomize takes no files from outside its own folder, and fills in ConfigMaps only. The text is taken over as it stands,
comments included, so that both can be compared by eye.

    python -m scripts.write_prometheus_rule
"""

from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "deploy" / "prometheus" / "rules"
RESOURCE = ROOT / "deploy" / "kubernetes" / "components" / "monitoring" / "prometheus-rule.yaml"

_HEAD = """\
# Written by `python -m scripts.write_prometheus_rule` from deploy/prometheus/rules; change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: bigbird
  labels:
    app.kubernetes.io/name: bigbird-serve
    app.kubernetes.io/component: server
spec:
  groups:
"""
_GROUPS = "groups:"


def prometheus_rule(files: Sequence[str]) -> str:
    """Return the resource that holds the groups of rule files.

    Args:
        files: Texts of rule files: comments, then the one key `groups`.

    Raises:
        ValueError: A file has no such key, or another one beside it.
    """
    return _HEAD + "".join(_indented_groups(text) for text in files)


def _indented_groups(text: str) -> str:
    lines = text.splitlines()
    keys = [line for line in lines if line[:1].strip() not in ("", "#", "-")]
    if keys != [_GROUPS]:
        raise ValueError(f"a rule file must have the key {_GROUPS!r} and no other; found {keys}")
    return "".join(f"  {line}\n" if line else "\n" for line in lines if line != _GROUPS)


def main() -> None:
    """Write the resource."""
    files = [path.read_text(encoding="utf-8") for path in sorted(RULES.glob("*.yml"))]
    RESOURCE.write_text(prometheus_rule(files), encoding="utf-8")


if __name__ == "__main__":
    main()
