"""Probes of a server under attack: whatever connections strangers open, `/health/live` answers, or it is restarted.

Attackers hold more connections than there may be: bodies that do not end, with and without keys configured, heads that
do not end, and connections that send nothing; and the same with few open files. Each opens another as soon as one is
ended. Meanwhile somebody with a key sends bodies slowly, as clients behind a proxy do, and must get answers.
"""

import asyncio
import itertools
import json
import resource
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import uvloop

from benchmarks.running_server import running_command
from service.security.access import key_line
from tests.fake_server import COMMAND
from tests.reliability.exchange import Address, ask, get, read_answer
from tests.reliability.report import Report

_SECONDS = 20.0
_SLOW_BODIES, _IDLE = 1024, 3000
_FEW_FILES = 256
_BETWEEN_PROBES = 0.25
# What deploy/kubernetes gives a liveness probe.
_MOST_PROBE_SECONDS = 5.0
_TRICKLE_SECONDS = 1.0
_REOPEN_SECONDS = 2.0
_UPLOADS = 3
# Beyond the second that a refused body has.
_UPLOAD_PARTS, _UPLOAD_SECONDS = 5, 2.5
_KEY = "the key of this scenario"

_HEAD = b"POST /ner HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_SLOW_BODY = _HEAD + b"Content-Length: 100000\r\n\r\n{"
_SLOW_HEAD = _HEAD + b"X-Slow: "
_UPLOAD = json.dumps({"text": "10"}).encode()


@dataclass(frozen=True, slots=True)
class _Attack:
    """What attackers do.

    Attributes:
        name: What the report calls it.
        connections: How many there are at once.
        opening: What each sends, before a byte now and then; nothing at all if it is empty.
        keys: Whether the server needs keys, which attackers do not have.
        files: Most open files of the server, if few.
    """

    name: str
    connections: int
    opening: bytes
    keys: bool = False
    files: int | None = None


ATTACKS = (
    _Attack("slow bodies without a key", _SLOW_BODIES, _SLOW_BODY, keys=True),
    _Attack("slow bodies", _SLOW_BODIES + 200, _SLOW_BODY),
    _Attack("slow heads", _SLOW_BODIES + 200, _SLOW_HEAD),
    _Attack("idle connections", _IDLE, b"", keys=True),
    _Attack("slow bodies without a key, few files", _SLOW_BODIES, _SLOW_BODY, keys=True, files=_FEW_FILES),
    _Attack("idle connections, few files", _IDLE, b"", keys=True, files=_FEW_FILES),
)


@dataclass(slots=True)
class _Observed:
    """What became of probes, uploads and attackers; uploads' connections that were reopened before they began."""

    probes: list[float] = field(default_factory=list)
    uploads: Counter[str] = field(default_factory=Counter)
    ended: int = 0
    reopened: int = 0
    failures: list[str] = field(default_factory=list)


def run(scale: float) -> Report:
    """Attack a server in each of these ways, and probe it meanwhile."""
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    facts: dict[str, str] = {}
    failures: list[str] = []
    inputs = injected = 0
    for attack in ATTACKS:
        observed = _observe(attack, max(3.0, _SECONDS * scale))
        failures += [f"{attack.name}: {failure}" for failure in observed.failures]
        inputs += len(observed.probes) + observed.uploads.total()
        injected += attack.connections + observed.ended
        asked = len(observed.probes) + len(observed.failures)
        facts[f"probes answered under {attack.connections:,} {attack.name}"] = (
            f"{len(observed.probes)} of {asked}, after at most {max(observed.probes, default=0):.2f} s"
        )
        facts[f"slow uploads under {attack.connections:,} {attack.name}"] = (
            f"{observed.uploads['200']} of {_UPLOADS}, connections opened again {observed.reopened}"
        )
    return Report(area="probes", inputs=inputs, failures=tuple(failures), injected=injected, facts=facts)


def _observe(attack: _Attack, seconds: float) -> _Observed:
    environment = {"BIGBIRD_PORT": "0", "BIGBIRD_WARM_UP_SECONDS": "0", "BIGBIRD_LOG_LEVEL": "warning"}
    if attack.keys:
        environment["BIGBIRD_API_KEYS"] = key_line("uploads", _KEY)
    limited = ("sh", "-c", 'ulimit -n "$0"; exec "$@"', str(attack.files)) if attack.files else ()
    with running_command((*limited, *COMMAND), environment) as server:
        port = int(server.url.rsplit(":", 1)[1])
        observed = uvloop.run(_attack(("127.0.0.1", port), attack, seconds))
    return observed


async def _attack(address: Address, attack: _Attack, seconds: float) -> _Observed:
    observed = _Observed()
    attackers = [
        asyncio.create_task(_hold_connections(address, attack.opening, observed)) for _ in range(attack.connections)
    ]
    headers = {"Authorization": f"Bearer {_KEY}"} if attack.keys else {}
    try:
        uploads = [asyncio.create_task(_upload_slowly(address, headers, observed)) for _ in range(_UPLOADS)]
        async with asyncio.timeout(seconds + 60):
            await asyncio.gather(_probe(address, seconds, observed), *(uploads if attack.keys else ()))
    finally:
        for task in (*attackers, *uploads):
            task.cancel()
        await asyncio.gather(*attackers, *uploads, return_exceptions=True)
    if attack.keys and set(observed.uploads) != {"200"}:
        observed.failures.append(f"slow uploads ended with {dict(observed.uploads)}")
    return observed


async def _hold_connections(address: Address, opening: bytes, observed: _Observed) -> None:
    """Open a connection, send little for as long as it is kept open, and open the next."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(*address)
        except OSError:
            await asyncio.sleep(_TRICKLE_SECONDS)
            continue
        try:
            writer.write(opening)
            ended = asyncio.create_task(reader.read(1) if not opening else _until_the_end(reader))
            while not ended.done():
                await asyncio.wait([ended], timeout=_TRICKLE_SECONDS)
                if opening:
                    writer.write(b"a")
        finally:
            observed.ended += 1
            ended.cancel()
            writer.transport.abort()  # type: ignore[attr-defined]
        await asyncio.sleep(_REOPEN_SECONDS)


async def _until_the_end(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(65_536):
            pass
    except OSError:
        pass


async def _probe(address: Address, seconds: float, observed: _Observed) -> None:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    for path in itertools.cycle(("/health/live", "/health/ready", "/metrics")):
        try:
            exchange = await ask(address, get(path), _MOST_PROBE_SECONDS)
        except (EOFError, OSError, TimeoutError) as error:
            observed.failures.append(f"{path}: {error!r}")
        else:
            if exchange.status == 200:
                observed.probes.append(exchange.seconds)
            else:
                observed.failures.append(f"{path}: {exchange.status}")
        if loop.time() > ends_at:
            return
        await asyncio.sleep(_BETWEEN_PROBES)


async def _upload_slowly(address: Address, headers: Mapping[str, str], observed: _Observed) -> None:
    """Send a small body in parts, and note how it ended.

    A connection that is closed before the server asks for the body was idle for it: clients open another.
    """
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = _HEAD + f"{lines}Expect: 100-continue\r\nContent-Length: {_UPLOAD_PARTS - 1 + len(_UPLOAD)}\r\n\r\n".encode()
    while True:
        try:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(head)
            await reader.readuntil(b"\r\n\r\n")
            break
        except (EOFError, OSError):
            observed.reopened += 1
    try:
        for _ in range(_UPLOAD_PARTS - 1):
            writer.write(b" ")
            await asyncio.sleep(_UPLOAD_SECONDS / _UPLOAD_PARTS)
        writer.write(_UPLOAD)
        observed.uploads[str((await read_answer(reader, 0.0)).status)] += 1
    except (EOFError, OSError, RuntimeError) as error:
        observed.uploads[repr(error)] += 1
    finally:
        writer.close()
