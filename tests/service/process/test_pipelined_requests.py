"""Requests that are sent before the answer to the one before them, by a client that then goes."""

import asyncio

import uvicorn
from prometheus_client import CollectorRegistry

from service.process.connections import ConnectionLimits, limit_connections
from service.telemetry.state_metrics import ConnectionMetrics
from tests.service.asynchronous import asynchronous

LIMITS = ConnectionLimits(max_connections=10, max_header_bytes=2000, header_seconds=600, write_seconds=600)
GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


@asynchronous
async def test_the_request_that_is_being_answered_hears_that_its_client_has_gone_and_the_next_is_not_begun() -> None:
    begun = 0
    reached, gone = asyncio.Event(), asyncio.Event()

    async def wait_for_the_end(scope, receive, send):
        nonlocal begun
        begun += 1
        reached.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    protocol = limit_connections(LIMITS, ConnectionMetrics(CollectorRegistry()))
    config = uvicorn.Config(wait_for_the_end, port=0, http=protocol, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        _, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
        writer.write(GET + GET)
        await reached.wait()
        writer.close()
        async with asyncio.timeout(30):
            await gone.wait()
        assert begun == 1
    finally:
        server.servers[0].close()
        await server.servers[0].wait_closed()
