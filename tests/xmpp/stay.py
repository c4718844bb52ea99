#!/usr/bin/env python3
"""Log in and stay, as a person's client does; print each event as a line of JSON.

    stay.py --jid bastion@smoothcurves.nexus --password-file secrets/bastion --room ROOM

Lines: {"at": seconds, "event": "in" | "out" | "message" | "occupant", "text": ...}. After
a lost connection the client tries to connect every 50 ms. The program
ends after five minutes, or when it is killed.
"""

import argparse
import asyncio
import json
import logging
import time
from pathlib import Path

import slixmpp

from login import tls_context

LIMIT = 300


def say(event, text=None):
    print(json.dumps({"at": time.time(), "event": event, "text": text}), flush=True)


async def stay(args):
    password = args.password_file.read_text(encoding="utf-8").removesuffix("\n")
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        # Without TLS, slixmpp announces a channel binding that ejabberd refuses, so use PLAIN.
        config = {"feature_mechanisms": {"unencrypted_plain": args.unencrypted}}
        mechanism = "PLAIN" if args.unencrypted else None
        client = slixmpp.ClientXMPP(
            args.jid, password, plugin_config=config, sasl_mech=mechanism
        )
        client.ssl_context = tls_context(None)
        client.enable_direct_tls = False
        gone = asyncio.get_running_loop().create_future()

        def lost(_, gone=gone):
            if not gone.done():
                gone.set_result(None)

        def entered(_, client=client):
            client.send_presence(pshow=args.show, pstatus=args.status)
            for room in args.room:
                client.plugin["xep_0045"].join_muc(room, client.boundjid.user)
            say("in")

        client.register_plugin("xep_0045")
        client.enable_plaintext = args.unencrypted

        client.add_event_handler("session_start", entered)
        client.add_event_handler("message", lambda m: say("message", m["body"]))
        client.add_event_handler(
            "groupchat_presence", lambda p: say("occupant", p["muc"]["nick"])
        )
        client.add_event_handler("disconnected", lost)
        client.add_event_handler("connection_failed", lost)
        client.connect(args.host, args.port)
        await gone
        say("out")
        client.cancel_connection_attempt()
        client.abort()
        await asyncio.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description="log in and stay")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5222)
    parser.add_argument("--jid", required=True)
    parser.add_argument("--password-file", required=True, type=Path)
    parser.add_argument("--room", action="append", default=[])
    parser.add_argument("--unencrypted", action="store_true", help="log in with PLAIN without TLS")
    parser.add_argument("--show")
    parser.add_argument("--status")
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(stay(parser.parse_args()))


if __name__ == "__main__":
    main()
