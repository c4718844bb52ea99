#!/usr/bin/env python3
"""Sends many messages through the MCP server, with HTTP of the revision 2026-07-28 alone.

The official client of PyPI spends more time on a message than all servers together, so it
measures itself. The connections have many loopback addresses, because nginx limits the rate of
an address. Prints one JSON object with the results, the rate and the times.

    load.py --url URL [--ca FILE] --token TOKEN --to ACCOUNT [OPTION...]
"""

import argparse
import collections
import http.client
import itertools
import json
import ssl
import threading
import time
import urllib.parse

# The loopback addresses of all workers together.
ADDRESSES = 128

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "load", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--ca", help="trust the certificates in this file")
    parser.add_argument("--token", required=True)
    parser.add_argument("--sender", default="messenger")
    parser.add_argument("--to", required=True)
    parser.add_argument("--ids", help="send an id with this prefix with each message")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--count", type=int, required=True, help="the number of messages")
    parser.add_argument("--retry", type=float, default=0, help="repeat a message without a final answer for so many seconds")
    parser.add_argument("--answers", help="append each final answer to this file, as one JSON object in a line")
    return parser.parse_args()


class Connection:
    def __init__(self, given, address):
        self.given, self.address, self.http = given, address, None
        self.url = urllib.parse.urlsplit(given.url)

    def connect(self):
        source = (self.address, 0)
        if self.url.scheme == "http":
            return http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=60, source_address=source)
        context = ssl.create_default_context(cafile=self.given.ca)
        return http.client.HTTPSConnection(
            self.url.hostname, self.url.port, timeout=60, source_address=source, context=context
        )

    def call(self, message):
        """The structured content of the answer, or a dict with `error`."""
        params = {"name": "xmpp_send_message", "arguments": message, "_meta": META}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        headers = {
            "Authorization": f"Bearer {self.given.token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": "xmpp_send_message",
        }
        try:
            self.http = self.http or self.connect()
            self.http.request("POST", self.url.path, body, headers)
            response = self.http.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.http = None
            return {"error": type(error).__name__}
        if response.status != 200:
            return {"error": f"status {response.status}"}
        return json.loads(text)["result"]["structuredContent"]


def is_final(answer):
    return "error" not in answer and answer.get("code") not in ("unavailable", "internal", "rate_limited")


def main():
    given = arguments()
    lock, numbers, answers, times = threading.Lock(), iter(range(given.count)), [], []

    def work(worker):
        each = max(1, ADDRESSES // given.connections)
        addresses = [f"127.0.1.{worker * each + n + 1}" for n in range(each)]
        connections = itertools.cycle([Connection(given, address) for address in addresses])
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            message = {"from": given.sender, "to": given.to, "body": f"message {number}"}
            if given.ids:
                message["id"] = f"{given.ids}-{number}"
            start = time.monotonic()
            answer = next(connections).call(message)
            while not is_final(answer) and time.monotonic() - start < given.retry:
                time.sleep(0.2)
                answer = next(connections).call(message)
            with lock:
                times.append(time.monotonic() - start)
                answers.append(answer)
                if given.answers:
                    with open(given.answers, "a", encoding="utf-8") as file:
                        file.write(json.dumps({"id": message.get("id"), "answer": answer}) + "\n")

    start = time.monotonic()
    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(given.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - start
    times.sort()
    at = lambda share: round(1000 * times[min(int(share * len(times)), len(times) - 1)], 1)
    kinds = collections.Counter(a.get("result") or a.get("code") or a.get("error") for a in answers)
    print(json.dumps({"rate": round(given.count / seconds, 1), "p50": at(0.5), "p99": at(0.99), "most": at(1), "answers": kinds}))


main()
