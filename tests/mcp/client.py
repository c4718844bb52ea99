"""Drives an MCP server with the official client of PyPI (`mcp`).

Reads one JSON object for each step from standard input, and prints one JSON object for
each result. `--record FILE` writes each message of the server to FILE, a line each.

    client.py --mode MODE --stdio COMMAND ARGUMENT...
    client.py --mode MODE --url URL --token TOKEN [--ca FILE]

MODE is `legacy` (the handshake `initialize`), or the revision `2026-07-28`.
Steps: {"op": "tools"}, {"op": "call", "name": ..., "arguments": {...}},
{"op": "resources"}, {"op": "read", "uri": ...}, {"op": "version"},
{"op": "calls", "calls": [[NAME, ARGUMENTS], ...], "concurrent": N}.
"""

import argparse
import asyncio
import contextlib
import json
import ssl
import sys
import time

import anyio
import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client


@contextlib.asynccontextmanager
async def recorded(transport, path):
    """The transport, with a copy of each message of the server in the file `path`."""
    async with transport as (read, write):
        send, receive = anyio.create_memory_object_stream(100)

        async def copy():
            async with send:
                with open(path, "a", encoding="utf-8") as file:
                    async for message in read:
                        if not isinstance(message, Exception):
                            body = message.message.model_dump_json(by_alias=True, exclude_none=True)
                            file.write(body + "\n")
                            file.flush()
                        await send.send(message)

        async with anyio.create_task_group() as group:
            group.start_soon(copy)
            yield receive, write
            group.cancel_scope.cancel()


def shown(result):
    return json.loads(result.model_dump_json(by_alias=True, exclude_none=True))


async def step(client, order):
    op = order["op"]
    if op == "tools":
        return [shown(tool) for tool in (await client.list_tools()).tools]
    if op == "call":
        return shown(await client.call_tool(order["name"], order.get("arguments", {})))
    if op == "resources":
        return [shown(resource) for resource in (await client.list_resources()).resources]
    if op == "read":
        return shown(await client.read_resource(order["uri"]))
    if op == "version":
        return client.protocol_version
    if op == "calls":
        limit = asyncio.Semaphore(order.get("concurrent", 1))

        async def one(name, arguments):
            async with limit:
                begun = time.monotonic()
                try:
                    result = shown(await client.call_tool(name, arguments))
                except Exception as error:
                    result = {"raised": f"{type(error).__name__}: {error}"}
                return {"seconds": time.monotonic() - begun, "result": result}

        return await asyncio.gather(*(one(*call) for call in order["calls"]))
    raise ValueError(op)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", default="auto")
    parser.add_argument("--record")
    parser.add_argument("--url")
    parser.add_argument("--token")
    parser.add_argument("--ca")
    parser.add_argument("--stdio", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    async with contextlib.AsyncExitStack() as stack:
        if given.stdio:
            command, *arguments = given.stdio
            server = StdioServerParameters(command=command, args=arguments)
            transport = stdio_client(server)
        else:
            context = ssl.create_default_context(cafile=given.ca)
            headers = {"Authorization": f"Bearer {given.token}"}
            http = httpx2.AsyncClient(headers=headers, verify=context, timeout=60)
            http = await stack.enter_async_context(http)
            transport = streamable_http_client(given.url, http_client=http)
        if given.record:
            transport = recorded(transport, given.record)
        client = await stack.enter_async_context(Client(transport, mode=given.mode))
        print(json.dumps({"ready": True}), flush=True)
        while True:
            line = await asyncio.to_thread(sys.stdin.readline)
            if not line:
                break
            try:
                result = {"ok": await step(client, json.loads(line))}
            except Exception as error:
                result = {"raised": f"{type(error).__name__}: {error}"}
            print(json.dumps(result), flush=True)


asyncio.run(main())
