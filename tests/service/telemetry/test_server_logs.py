"""The log of the server as a process."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

# Serves, asks itself one question, and is told to stop.
SERVER = """
import http.client, os, signal, sys, threading, warnings, uvicorn
from service.process.server import serve
from service.settings import Settings
from tests.fake_model import fake_loaded_model

def ask(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"content-type": "application/json", "x-request-id": "order-17"}
    connection.request("POST", "/ner", '{"text": "10"}', headers)
    connection.getresponse().read()
    warnings.warn("something is old")
    os.kill(os.getpid(), signal.SIGTERM)

start = uvicorn.Server.startup

async def startup(self, sockets=None):
    await start(self, sockets)
    await self._app.state.serving.warmed()
    threading.Thread(target=ask, args=[self.servers[0].sockets[0].getsockname()[1]]).start()

uvicorn.Server.startup = startup
sys.exit(serve(Settings(port=0, warm_up_seconds=0), lambda settings: {"fake": fake_loaded_model("ner", "fake")}))
"""


def test_everything_that_the_server_writes_is_a_json_line() -> None:
    done = subprocess.run([sys.executable, "-c", SERVER], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    assert {"uvicorn.error", "service.serving", "service.api.request_context", "py.warnings"} <= {
        line["logger"] for line in lines
    }
    (request,) = [line for line in lines if line.get("request_id") == "order-17"]
    assert request["message"] == "POST /ner 200"
