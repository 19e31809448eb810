"""The service on a cluster of Ray: every replica is the whole application, and Ray Serve spreads requests over them.

    serve run bigbird_on_serve:app      on a cluster; serve.yaml beside this file says how many, and where they listen

Paths, bodies, errors and batching are the application's own: nothing of it is written again here. Its settings are the
usual variables `BIGBIRD_...`, which each replica reads from its environment. What `bigbird serve` adds around the
application (bounds on connections, the drain) is Serve's part here; docs/cluster.md says what differs.
"""

import os

# Before the import, which looks at it: Ray would report its use to its makers.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_REPORT_URL", "http://127.0.0.1:9")

from fastapi import FastAPI
from ray import serve

from service.app import create_app


def build() -> FastAPI:
    """Return a replica's application; its models are loaded before the replica is given requests."""
    return create_app()


app = serve.deployment(serve.ingress(build)(), name="bigbird").bind()
