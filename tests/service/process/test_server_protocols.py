"""uvicorn takes slower substitutes without a word where uvloop or httptools are missing; they must be in use."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

# Prints what serves, and stops.
SERVER = """
import asyncio, sys, uvicorn
from service.process.server import serve
from service.settings import Settings
from tests.fake_model import fake_loaded_model

start = uvicorn.Server.startup

async def startup(self, sockets=None):
    await start(self, sockets)
    bases = [base.__name__ for base in self.config.http_protocol_class.__mro__]
    print(type(asyncio.get_running_loop()).__module__, bases[2], flush=True)
    self.should_exit = True

uvicorn.Server.startup = startup
sys.exit(serve(Settings(port=0), lambda settings: {"fake": fake_loaded_model("ner", "fake")}))
"""


def test_the_server_runs_on_uvloop_and_httptools() -> None:
    printed = subprocess.run([sys.executable, "-c", SERVER], cwd=ROOT, capture_output=True, text=True, check=False)
    assert printed.stdout.split() == ["uvloop", "HttpToolsProtocol"], printed.stderr
