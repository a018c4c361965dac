"""Writes the rules of deploy/prometheus for the operator of Prometheus: `python3 deploy/kubernetes/make_rules.py`."""

import textwrap
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SOURCES = ("recording.yaml", "alerts.yaml")
HEAD = """\
# Written by deploy/kubernetes/make_rules.py from deploy/prometheus: change the rules there, and run it.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: lockstep
spec:
  groups:
"""


def manifest() -> str:
    """The groups of all files in one PrometheusRule."""
    texts = [(FOLDER.parent / "prometheus" / name).read_text(encoding="utf-8") for name in SOURCES]
    groups = [text.partition("\ngroups:\n")[2] for text in texts]
    return HEAD + textwrap.indent("\n".join(groups), "  ")


if __name__ == "__main__":
    (FOLDER / "components" / "monitoring" / "rules.yaml").write_text(manifest(), encoding="utf-8")
