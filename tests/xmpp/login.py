#!/usr/bin/env python3
"""Log in to an XMPP server as a person's client does, and print the result.

    login.py --host 127.0.0.1 --port 5222 --jid bastion@smoothcurves.nexus \\
        --password-file secrets/bastion --room general@conference.smoothcurves.nexus

Always uses STARTTLS: a server that does not offer STARTTLS is a failure. With
--ca, that file must have signed the server's certificate, and the certificate
must be for the domain; without --ca, any certificate is accepted. With --room,
the client enters the room and waits for its own presence (status 110).

Exit status 0 and one line of JSON on standard output, or 1 and one line with
the reason on standard error. 64 for wrong usage. Never takes more than 20 s.
"""

import argparse
import asyncio
import json
import logging
import ssl
import sys
from pathlib import Path

import slixmpp
from slixmpp.exceptions import PresenceError, XMPPError

DEADLINE = 18.0  # plus at most two seconds to disconnect


class Failed(Exception):
    """The reason, in one line."""


class Arguments(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(64, f"{self.prog}: {message}\n")


def arguments():
    parser = Arguments(description="log in over STARTTLS, optionally enter a room")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5222)
    parser.add_argument("--jid", required=True, help="user@host")
    parser.add_argument("--password-file", required=True, type=Path,
                        help="one trailing newline is dropped")
    parser.add_argument("--room", help="room@conference.host")
    parser.add_argument("--ca", type=Path, help="PEM file; without it any certificate is accepted")
    return parser.parse_args()


def tls_context(ca):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cafile=str(ca))
    return context


class Client(slixmpp.ClientXMPP):
    """A client. `ready` gets the TLS version when the session starts, or the reason of a failure."""

    def __init__(self, jid, password, context):
        super().__init__(jid, password)
        self.ssl_context = context
        self.enable_direct_tls = False
        self.enable_starttls = True
        self.enable_plaintext = False
        self.register_plugin("xep_0045")
        # Sends no password outside TLS, neither with PLAIN nor with SCRAM.
        self.plugin["feature_mechanisms"].unencrypted_plain = False
        self.plugin["feature_mechanisms"].unencrypted_scram = False
        self.ready = asyncio.get_running_loop().create_future()
        self.add_event_handler("session_start", self._started)
        self.add_event_handler("failed_all_auth", self._refused)
        self.add_event_handler("connection_failed", lambda e: self._fail(f"cannot connect: {e}"))
        self.add_event_handler("ssl_invalid_chain", lambda e: self._fail(f"certificate refused: {e}"))
        self.add_event_handler("stream_error",
                               lambda e: self._fail(f"stream error: {e['condition']} {e['text']}"))
        self.add_event_handler("disconnected",
                               lambda why: self._fail(f"disconnected: {why or 'without a reason'}"))

    def tls_version(self):
        channel = self.transport.get_extra_info("ssl_object") if self.transport else None
        return channel.version() if channel else None

    def _refused(self, _):
        inside = self.tls_version() is not None
        self._fail("authentication failed" if inside else "the server offers no STARTTLS")

    def _started(self, _):
        version = self.tls_version()
        if version is None:
            self._fail("logged in without TLS")
        elif not self.ready.done():
            self.ready.set_result(version)

    def _fail(self, reason):
        if not self.ready.done():
            self.ready.set_exception(Failed(reason.strip()))


async def attempt(args, stage):
    jid = slixmpp.JID(args.jid)
    if not jid.user or not jid.domain:
        raise Failed(f"not an account: {args.jid}")
    password = args.password_file.read_text(encoding="utf-8").removesuffix("\n")
    client = Client(jid, password, tls_context(args.ca))
    try:
        stage.append("logging in")
        client.connect(args.host, args.port)
        tls = await client.ready
        client.send_presence()
        if args.room:
            stage.append(f"entering {args.room}")
            try:
                joined = await client.plugin["xep_0045"].join_muc_wait(
                    slixmpp.JID(args.room), jid.user, maxstanzas=0, timeout=DEADLINE)
            except PresenceError as error:
                raise Failed(f"cannot enter {args.room}: {error.condition} {error.text}".strip()) from None
            if 110 not in joined[0]["muc"]["status_codes"]:
                raise Failed(f"the presence in {args.room} has no status 110")
        return {"jid": jid.bare, "tls": tls, "room": args.room}
    finally:
        client.add_event_handler("disconnected", lambda _: client.cancel_connection_attempt())
        if client.is_connected():
            await asyncio.wait([asyncio.ensure_future(client.disconnect(wait=1.0))], timeout=1.5)
        client.abort()


def main():
    args = arguments()
    logging.basicConfig(level=logging.CRITICAL)
    stage = ["starting"]
    try:
        result = asyncio.run(asyncio.wait_for(attempt(args, stage), DEADLINE))
    except Failed as failed:
        reason = str(failed)
    except asyncio.TimeoutError:
        reason = f"no response within {DEADLINE:.0f} s while {stage[-1]}"
    except (OSError, UnicodeDecodeError, XMPPError, slixmpp.jid.InvalidJID) as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        print(json.dumps(result))
        return 0
    print(f"{args.jid}: " + " ".join(reason.split()), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
