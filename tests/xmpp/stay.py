#!/usr/bin/env python3
"""Log in to an XMPP server, stay, and say when the connection is lost.

    stay.py --host 127.0.0.1 --port 5222 --jid ann@localhost --password-file typed

Prints `in` once it is logged in, and pings the server every second. Ends with
status 0 when its standard input ends, and with 1 and a line with the reason on
standard output as soon as the connection is lost or a ping is not answered.
TLS is used where it is offered; any certificate will do.
"""

import argparse
import asyncio
import logging
import os
import ssl
import sys
from pathlib import Path

import slixmpp

LOGIN_SECONDS = 20
PING_SECONDS = 10


class Client(slixmpp.ClientXMPP):
    """`lost` becomes the reason for which the connection ended."""

    def __init__(self, jid, password):
        super().__init__(jid, password)
        self.ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        self.enable_direct_tls = False
        self.enable_plaintext = True
        # Loopback of a test's own container.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.plugin["feature_mechanisms"].unencrypted_scram = True
        self.register_plugin("xep_0199")
        loop = asyncio.get_running_loop()
        self.inside, self.lost = loop.create_future(), loop.create_future()
        self.add_event_handler("session_start", lambda _: self._enter())
        for event in ("disconnected", "connection_failed", "failed_all_auth", "stream_error"):
            self.add_event_handler(event, lambda why, event=event: self._lose(f"{event}: {why}"))

    def _enter(self):
        if not self.inside.done():
            self.send_presence()
            self.inside.set_result(None)

    def _lose(self, reason):
        if not self.lost.done():
            self.lost.set_result(" ".join(str(reason).split()))


async def stay(args):
    password = args.password_file.read_text(encoding="utf-8").removesuffix("\n")
    client = Client(args.jid, password)
    client.connect(args.host, args.port)
    await asyncio.wait([client.inside, client.lost], timeout=LOGIN_SECONDS,
                       return_when=asyncio.FIRST_COMPLETED)
    if not client.inside.done():
        return client.lost.result() if client.lost.done() else "no login in time"
    print("in", flush=True)
    end = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    while not end.done():
        try:
            await client.plugin["xep_0199"].ping(timeout=PING_SECONDS)
        except Exception as error:  # whatever it is, the server did not answer
            client._lose(f"ping: {error!r}")
        await asyncio.wait([end, client.lost], timeout=1, return_when=asyncio.FIRST_COMPLETED)
        if client.lost.done():
            return client.lost.result()
    return None


def main():
    parser = argparse.ArgumentParser(description="log in and stay")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5222)
    parser.add_argument("--jid", required=True)
    parser.add_argument("--password-file", required=True, type=Path)
    logging.basicConfig(level=logging.CRITICAL)
    reason = asyncio.run(stay(parser.parse_args()))
    if reason is not None:
        print(f"lost: {reason}", flush=True)
    # A thread still waits for standard input.
    sys.stdout.flush()
    os._exit(0 if reason is None else 1)


if __name__ == "__main__":
    main()
