#!/usr/bin/env python3
"""Sends many requests to an MCP server at once, each on a separate connection.

    flood.py --port PORT --token TOKEN --count N [--silent N]

`--silent N` also opens N connections that send half a request and then hang. Prints one JSON
object: how many requests got each HTTP status, and how many got none.
"""

import argparse
import asyncio
import collections
import json
import resource

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--token", required=True)
parser.add_argument("--count", type=int, required=True)
parser.add_argument("--silent", type=int, default=0)
given = parser.parse_args()

PARAMS = {
    "name": "xmpp_get_messages",
    "arguments": {"account": "bob"},
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "flood", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    },
}
BODY = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": PARAMS})
REQUEST = (
    f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {given.token}\r\n"
    "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: xmpp_get_messages\r\n"
    f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n{BODY}"
).encode()


async def one(source):
    writer = None
    try:
        # A loopback address has too few ports for all connections.
        address = (f"127.0.2.{source % 200 + 1}", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", given.port, local_addr=address)
        writer.write(REQUEST)
        line = await asyncio.wait_for(reader.readline(), 60)
        await asyncio.wait_for(reader.read(), 60)
        return line.split()[1].decode() if line else "closed"
    except (OSError, asyncio.TimeoutError, IndexError) as error:
        return type(error).__name__
    finally:
        if writer:
            writer.close()


async def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, given.count + given.silent + 100), most))
    silent = []
    for _ in range(given.silent):
        _, writer = await asyncio.open_connection("127.0.0.1", given.port)
        writer.write(REQUEST[:40])
        silent.append(writer)
    answers = await asyncio.gather(*(one(number) for number in range(given.count)))
    print(json.dumps(collections.Counter(answers)))


asyncio.run(main())
