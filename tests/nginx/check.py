#!/usr/bin/env python3
"""Checks the site of manifests/nginx with a real nginx.

    tests/nginx/check.py           runs each check on the site
    tests/nginx/check.py --faults  changes one line of the site at a time, and expects that a check fails

Starts nginx from scripts/nginx-site, and an HTTP server in place of the MCP server, both on
loopback. Needs nginx and openssl. Each check connects from another loopback address, because
nginx limits the requests of an address.
"""

import concurrent.futures
import http.client
import http.server
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "mcp.test.example"
TOKEN = "token-that-no-log-contains"
MAX_BODY = 256 << 10
# The time limits of the site are 10 seconds.
SLOW = 10
WAIT = 20

SECURITY_HEADERS = {
    "strict-transport-security": "max-age=63072000",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "server": "nginx",
}


class Upstream(http.server.ThreadingHTTPServer):
    """Replaces the MCP server. The header `X-Test` of a request selects the response."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.release = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Prints nothing: the checks close connections on purpose."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def respond(self):
        # A request counts from its head on: the check of a slow body must notice it in time.
        self.server.requests.append((self.path, self.headers.get("X-Check")))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        test = self.headers.get("X-Test", "")
        if test == "stream":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            # nginx must not buffer, whatever the MCP server asks for.
            self.send_header("X-Accel-Buffering", "yes")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"d\r\ndata: first\n\n\r\n")
            self.server.release.wait(WAIT)
            self.wfile.write(b"c\r\ndata: last\n\n\r\n0\r\n\r\n")
        elif test == "close":
            self.close_connection = True
        elif test == "redirect":
            self.reply(200, {"X-Accel-Redirect": "/elsewhere"}, b"not redirected")
        elif test.isdigit():
            headers = {"Cache-Control": "public", "X-Frame-Options": "ALLOWALL", "Set-Cookie": "a=b", "Retry-After": "7"}
            self.reply(int(test), {**headers, "WWW-Authenticate": "Bearer"}, b"from upstream")
        else:
            headers = {name.lower(): self.headers.get_all(name) for name in self.headers}
            seen = {"path": self.path, "length": len(body), "headers": headers}
            self.reply(200, {"Content-Type": "application/json"}, json.dumps(seen).encode())

    do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = do_OPTIONS = respond


class Reply:
    """A response with its whole body."""

    def __init__(self, response):
        self.status = response.status
        self.headers = [(name.lower(), value) for name, value in response.getheaders()]
        self.body = response.read()

    def all(self, name):
        return [value for other, value in self.headers if other == name]

    @property
    def seen(self):
        return json.loads(self.body)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Site:
    """A running nginx with an upstream. `fault` is a pair of a regular expression and its replacement."""

    def __init__(self, directory, certificate, fault=None):
        self.directory = Path(directory)
        self.certificate = certificate
        self.upstream = Upstream()
        self.http, self.https = free_port(), free_port()
        command = [
            ROOT / "scripts/nginx-site",
            *("--output", directory, "--name", NAME),
            *("--certificate", certificate, "--key", certificate),
            *("--http", f"127.0.0.1:{self.http}", "--https", f"127.0.0.1:{self.https}"),
            *("--upstream", f"127.0.0.1:{self.upstream.server_port}"),
        ]
        subprocess.run([str(part) for part in command], check=True)
        if fault:
            self.break_with(*fault)
        # Workers of a root's nginx run as another account.
        self.directory.chmod(0o755)
        self.log = self.directory / "access.log"
        self.error_log = self.directory / "error.log"
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        arguments = [program, "-c", self.directory / "nginx.conf", "-g", "daemon off;"]
        with open(self.directory / "output", "w") as output:
            self.process = subprocess.Popen([str(part) for part in arguments], stderr=output)
        self.wait_until_ready()

    def break_with(self, pattern, replacement):
        changed = 0
        for path in [self.directory / "site.conf", *(self.directory / "snippets").iterdir()]:
            text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
            path.write_text(text)
            changed += count
        assert changed, f"no line of the site matches `{pattern}`"

    def wait_until_ready(self):
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.https), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise SystemExit("nginx does not start: " + (self.directory / "output").read_text())

    def stop(self):
        self.upstream.release.set()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(WAIT)
        self.upstream.shutdown()
        self.upstream.server_close()

    def client(self, check):
        return Client(self, check)


class Client:
    """Connects from a separate loopback address."""

    def __init__(self, site, number):
        self.site, self.number = site, number
        self.address = f"127.0.1.{number}"

    def connect(self, port=None):
        return socket.create_connection(("127.0.0.1", port or self.site.https), WAIT, (self.address, 0))

    def tls(self, name=NAME, version=None):
        context = ssl.create_default_context(cafile=str(self.site.certificate))
        context.check_hostname = name == NAME
        if name != NAME:
            context.verify_mode = ssl.CERT_NONE
        if version:
            # Without the level 0, the client itself refuses the old versions.
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
        return context.wrap_socket(self.connect(), server_hostname=name)

    def send(self, stream, method="POST", target="/mcp", headers=(), body=None, host=NAME):
        """Sends a request on `stream`, and reads the response."""
        given = dict(headers)
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"X-Check: {self.number}"]
        lines += [f"{name}: {value}" for name, value in given.items()]
        if body is not None and "Transfer-Encoding" not in given:
            lines.append(f"Content-Length: {len(body)}")
        stream.sendall("\r\n".join([*lines, "", ""]).encode())
        if body is not None:
            try:
                stream.sendall(body)
            except OSError:
                pass  # nginx responds before the end of a body that is too large.
        response = http.client.HTTPResponse(stream, method=method)
        response.begin()
        return response

    def request(self, *arguments, **named):
        with self.tls() as stream:
            return Reply(self.send(stream, *arguments, **named))

    def upstream_requests(self):
        return [path for path, check in self.site.upstream.requests if check == str(self.number)]


def same(got, expected, about):
    assert got == expected, f"{about}: got {got!r}, expected {expected!r}"


def is_closed(stream):
    """Whether nginx closes the connection without a response."""
    try:
        return stream.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        raise AssertionError("nginx does not close the connection") from None


# --- checks -----------------------------------------------------------------------


def only_the_path_mcp_is_served(client):
    for target in ("/", "/mcp/", "/mcp/x", "/MCP", "/mcpx", "/metrics", "/status", "/api/live", "/.well-known/x", "/mcp%00"):
        same(client.request("GET", target).status, 400 if "%00" in target else 404, target)
    same(client.upstream_requests(), [], "requests that reach the MCP server")
    for target in ("/mcp", "//mcp", "/x/../mcp", "/%6dcp", f"https://{NAME}/mcp"):
        same(client.request("POST", target, body=b"{}").seen["path"], "/mcp", target)
    for method in ("POST", "GET", "DELETE"):
        same(client.request(method).status, 200, method)


def other_methods_are_refused(client):
    for method in ("PUT", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND"):
        reply = client.request(method)
        same(reply.status, 405, method)
        if method != "TRACE":
            same(reply.all("allow"), ["GET, POST, DELETE"], method)
    same(client.upstream_requests(), [], "requests that reach the MCP server")


def other_names_get_no_response(client):
    for name in ("other.example", "", f"x.{NAME}"):
        try:
            with client.tls(name=name or None):
                raise AssertionError(f"nginx accepts the name `{name}`")
        except ssl.SSLError:
            pass
    for host in ("other.example", "127.0.0.1", f"x.{NAME}"):
        for port in (client.site.http, client.site.https):
            with client.connect(port) if port == client.site.http else client.tls() as stream:
                stream.sendall(f"GET /mcp HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                assert is_closed(stream), f"nginx responds to the host `{host}`"
    with client.tls() as stream:
        stream.sendall(b"GET /mcp HTTP/1.0\r\n\r\n")
        assert is_closed(stream), "nginx responds without a host"
    same(client.upstream_requests(), [], "requests that reach the MCP server")


def port_80_only_redirects(client):
    for target in ("/mcp", "/", "/x"):
        for method in ("GET", "POST"):
            with client.connect(client.site.http) as stream:
                reply = Reply(client.send(stream, method, target))
            same(reply.status, 301, f"{method} {target}")
            same(reply.all("location"), [f"https://{NAME}:{client.site.https}{target}"], target)
            same(reply.all("strict-transport-security"), [], "HSTS without TLS")
    same(client.upstream_requests(), [], "requests that reach the MCP server")


def only_new_versions_of_tls_are_accepted(client):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with client.tls(version=version) as stream:
            same(Reply(client.send(stream)).status, 200, version.name)
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        try:
            with client.tls(version=version):
                raise AssertionError(f"nginx accepts {version.name}")
        except (ssl.SSLError, ConnectionError):
            pass


def an_event_arrives_before_the_stream_ends(client):
    with client.tls() as stream:
        stream.settimeout(5)
        try:
            response = client.send(stream, "GET", headers={"X-Test": "stream", "Accept": "text/event-stream"})
            same(response.status, 200, "the stream")
            same(response.read1(1024), b"data: first\n\n", "the first event")
        except TimeoutError:
            raise AssertionError("nginx holds back the first event") from None
        finally:
            client.site.upstream.release.set()
        same(response.read(), b"data: last\n\n", "the rest of the stream")


def a_body_over_256_kib_is_refused(client):
    same(client.request(body=b"x" * MAX_BODY).seen["length"], MAX_BODY, "256 KiB")
    same(len(client.upstream_requests()), 1, "requests that reach the MCP server")
    reply = client.request(body=b"x" * (MAX_BODY + 1))
    same(reply.status, 413, "more than 256 KiB")
    assert b"256 KiB" in reply.body, reply.body
    chunk = b"%x\r\n" % (MAX_BODY + 1) + b"x" * (MAX_BODY + 1) + b"\r\n0\r\n\r\n"
    reply = client.request(headers={"Transfer-Encoding": "chunked"}, body=chunk)
    same(reply.status, 413, "more than 256 KiB in chunks")
    same(len(client.upstream_requests()), 1, "requests that reach the MCP server")


def too_many_requests_get_429(client):
    statuses = []
    with client.tls() as stream:
        for _ in range(300):
            reply = Reply(client.send(stream))
            statuses.append(reply.status)
            if reply.status == 429:
                break
    same(reply.status, 429, f"the last of {len(statuses)} requests")
    same(reply.all("retry-after"), ["5"], "Retry-After")
    assert set(statuses[:100]) == {200}, "nginx refuses the burst"
    same(client.request("GET", "/other").status, 404, "another path")


def too_many_connections_get_429(client):
    """Starts requests without a body until nginx refuses one: nginx counts a request after its head."""
    streams = []
    try:
        for _ in range(33):
            stream = client.tls()
            streams.append(stream)
            stream.sendall(f"POST /mcp HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 9\r\n\r\n".encode())
        same(client.request().status, 429, "a request beside 33 others")
    finally:
        for stream in streams:
            stream.close()


def heads_that_are_too_large_are_refused(client):
    for about, headers, target, status in (
        ("a long header", {"X-Long": "x" * 5000}, "/mcp", 400),
        ("many headers", {f"X-{n}": "x" * 500 for n in range(40)}, "/mcp", 400),
        ("a long path", {}, "/" + "x" * 5000, 414),
    ):
        reply = client.request("POST", target, headers=headers)
        same(reply.status, status, about)
    same(client.upstream_requests(), [], "requests that reach the MCP server")
    same(client.request(headers={"Authorization": "Bearer " + "x" * 1024}).status, 200, "a token of 1 KiB")


def each_response_has_the_security_headers(client):
    for about, expected, arguments in (
        ("a result", 200, {}),
        ("a refused token", 401, {"headers": {"X-Test": "401"}}),
        ("another path", 404, {"target": "/x"}),
        ("another method", 405, {"method": "PUT"}),
        ("a query", 400, {"target": "/mcp?a=b"}),
        ("a large body", 413, {"body": b"x" * (MAX_BODY + 1)}),
        ("a large head", 400, {"headers": {"X-Long": "x" * 5000}}),
        ("a lost upstream", 502, {"headers": {"X-Test": "close"}}),
    ):
        reply = client.request(**arguments)
        same(reply.status, expected, about)
        for name, value in SECURITY_HEADERS.items():
            same(reply.all(name), [value], f"`{name}` of {about}")
        same(len(reply.all("x-request-id")), 1, f"`x-request-id` of {about}")


def headers_of_the_client_are_replaced(client):
    spoofed = ("X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port")
    dropped = ("X-Forwarded-Server", "Forwarded", "Cookie", "Upgrade", "X_Forwarded_For")
    headers = {name: "10.9.9.9" for name in (*spoofed, *dropped)}
    headers |= {"Origin": "https://app.example", "Authorization": f"Bearer {TOKEN}", "X-Request-Id": "10.9.9.9"}
    headers |= {"Mcp-Session-Id": "abc", "Mcp-Protocol-Version": "2025-11-25"}
    reply = client.request(headers=headers, host=f"{NAME}:{client.site.https}")
    seen = reply.seen["headers"]
    assert "10.9.9.9" not in json.dumps(seen), f"a header of the client reaches the MCP server: {seen}"
    expected = {
        "x-forwarded-for": client.address,
        "x-real-ip": client.address,
        "x-forwarded-proto": "https",
        "x-forwarded-host": NAME,
        "x-forwarded-port": str(client.site.https),
        # Unchanged.
        "host": f"{NAME}:{client.site.https}",
        "origin": "https://app.example",
        "authorization": f"Bearer {TOKEN}",
        "mcp-session-id": "abc",
        "mcp-protocol-version": "2025-11-25",
        "x-request-id": reply.all("x-request-id")[0],
    }
    for name, value in expected.items():
        same(seen.get(name), [value], f"`{name}` at the MCP server")


def responses_of_the_upstream_pass_unchanged(client):
    for status in (400, 401, 403, 404, 413, 429, 503):
        reply = client.request(headers={"X-Test": str(status)})
        same((reply.status, reply.body), (status, b"from upstream"), f"the status {status}")
        same(reply.all("www-authenticate"), ["Bearer"], f"the challenge of {status}")
        same(reply.all("retry-after"), ["7"], f"`retry-after` of {status}")
        same(reply.all("set-cookie"), [], f"the cookie of {status}")


def the_upstream_does_not_control_nginx(client):
    reply = client.request(headers={"X-Test": "redirect"})
    same((reply.status, reply.body), (200, b"not redirected"), "X-Accel-Redirect")


def a_request_is_sent_only_once(client):
    reply = client.request(headers={"X-Test": "close"}, body=b"{}")
    same(reply.status, 502, "a lost connection")
    assert b"try again" in reply.body, reply.body
    same(client.upstream_requests(), ["/mcp"], "requests that reach the MCP server")


def a_query_is_refused(client):
    for target in (f"/mcp?token={TOKEN}", f"/x?token={TOKEN}"):
        same(client.request("POST", target, body=b"x" * (MAX_BODY + 1)).status, 400, target)
    same(client.upstream_requests(), [], "requests that reach the MCP server")


def slow_requests_are_closed(client):
    """A slow head and a slow body in parallel."""
    begin = f"POST /mcp HTTP/1.1\r\nHost: {NAME}\r\nX-Check: {client.number}\r\n".encode()
    with client.tls() as head, client.tls() as body, client.connect() as handshake:
        start = time.monotonic()
        head.sendall(begin)
        body.sendall(begin + b"Content-Length: 9\r\n\r\n12345678")
        for about, stream in (("head", head), ("handshake", handshake)):
            assert is_closed(stream), f"nginx responds to a slow {about}"
        response = http.client.HTTPResponse(body)
        try:
            response.begin()
            same(response.status, 408, "a slow body")
        except ConnectionError:
            pass
        except TimeoutError:
            raise AssertionError("nginx does not close a slow body") from None
        elapsed = time.monotonic() - start
    assert elapsed < SLOW + 3, f"nginx waits {elapsed:.0f} s"
    same(client.upstream_requests(), [], "requests that reach the MCP server")


def the_log_is_json_without_secrets(client):
    secret = {"Authorization": f"Bearer {TOKEN}", "Referer": f"https://x/{TOKEN}", "User-Agent": TOKEN}
    client.request(headers=secret, body=TOKEN.encode())
    client.request("GET", f"/{TOKEN}", headers=secret)
    client.request("POST", f"/mcp?token={TOKEN}", headers=secret, body=b"x" * (MAX_BODY + 1))
    client.request("POST", f"/{TOKEN}", headers=secret, body=b"x" * (MAX_BODY + 1))
    client.request("POST", f"/{TOKEN}?{TOKEN}", headers=secret | {"X-Long": "x" * 5000})
    for garbage in (b"GET /\r\n\r\n", b"\x16\x03\"\\\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\"GET /mcp HTTP/1.1\r\n\r\n"):
        with client.tls() as stream:
            stream.sendall(garbage)
            stream.recv(4096)
    time.sleep(0.5)
    lines = [json.loads(line) for line in client.site.log.read_text().splitlines()]
    mine = [line for line in lines if line["client"] == client.address]
    assert len(mine) >= 9, f"the log has {len(mine)} lines of this check"
    same((mine[0]["path"], mine[0]["status"], mine[0]["server"]), ("/mcp", 200, NAME), "the first line")
    for log in (client.site.log, client.site.error_log):
        text = log.read_text()
        assert TOKEN not in text, f"{log.name} has the token: {text}"


CHECKS = [
    only_the_path_mcp_is_served,
    other_methods_are_refused,
    other_names_get_no_response,
    port_80_only_redirects,
    only_new_versions_of_tls_are_accepted,
    an_event_arrives_before_the_stream_ends,
    a_body_over_256_kib_is_refused,
    too_many_requests_get_429,
    too_many_connections_get_429,
    heads_that_are_too_large_are_refused,
    each_response_has_the_security_headers,
    headers_of_the_client_are_replaced,
    responses_of_the_upstream_pass_unchanged,
    the_upstream_does_not_control_nginx,
    a_request_is_sent_only_once,
    a_query_is_refused,
    slow_requests_are_closed,
    the_log_is_json_without_secrets,
]

# A pattern in the site, its replacement, and the check that must fail.
FAULTS = [
    (r"return 404 .*", "proxy_pass http://ejabberd_operator_mcp;", only_the_path_mcp_is_served),
    (r"(proxy_pass http://ejabberd_operator_mcp)/mcp;", r"\1;", only_the_path_mcp_is_served),
    (r"\^\(\?:GET\|POST\|DELETE\)\$", "^[A-Z]+$", other_methods_are_refused),
    (r"return 444;", "return 404;", other_names_get_no_response),
    (r"ssl_reject_handshake on;", 'ssl_certificate "CERT"; ssl_certificate_key "CERT";', other_names_get_no_response),
    (r"return 301 .*", "proxy_pass http://ejabberd_operator_mcp;", port_80_only_redirects),
    (r"ssl_protocols .*;\nssl_ciphers .*;", "ssl_ciphers ALL:@SECLEVEL=0;", only_new_versions_of_tls_are_accepted),
    (r"proxy_buffering off;", "proxy_buffering on;", an_event_arrives_before_the_stream_ends),
    (r" X-Accel-Buffering", "", an_event_arrives_before_the_stream_ends),
    (r"client_max_body_size 256k;", "client_max_body_size 1m;", a_body_over_256_kib_is_refused),
    (r"limit_req zone=.*", "", too_many_requests_get_429),
    (r"limit_req_status 429;", "", too_many_requests_get_429),
    (r"limit_conn ejabberd_operator_address 32;", "", too_many_connections_get_429),
    (r"large_client_header_buffers .*", "", heads_that_are_too_large_are_refused),
    (r" always;", ";", each_response_has_the_security_headers),
    (r"server_tokens off;", "", each_response_has_the_security_headers),
    (r"proxy_hide_header Cache-Control;", "", each_response_has_the_security_headers),
    (r"For \$remote_addr", "For $proxy_add_x_forwarded_for", headers_of_the_client_are_replaced),
    (r"Host \$http_host", "Host $proxy_host", headers_of_the_client_are_replaced),
    (r"proxy_set_header Forwarded .*", "", headers_of_the_client_are_replaced),
    (r"proxy_redirect off;", "proxy_intercept_errors on;", responses_of_the_upstream_pass_unchanged),
    (r" X-Accel-Redirect", "", the_upstream_does_not_control_nginx),
    (r"if \(\$is_args\)", "if ($is_args = never)", a_query_is_refused),
    (r"if \(\$is_args\)", "if ($is_args = never)", the_log_is_json_without_secrets),
    (r"\"\$ejabberd_operator_path\"", "\"$request_uri\"", the_log_is_json_without_secrets),
    (r"client_max_body_size 0;", "", the_log_is_json_without_secrets),
    (r"client_header_timeout 10s;", "", slow_requests_are_closed),
    (r"client_body_timeout 10s;", "", slow_requests_are_closed),
    (r"proxy_request_buffering on;", "proxy_request_buffering off;", slow_requests_are_closed),
]


def failure(site, number, check):
    """What a check finds; None if the check passes."""
    try:
        check(site.client(number))
    except (AssertionError, OSError, http.client.HTTPException, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else str(error)
    return None


def report(about, problem):
    print(f"{'FAILED' if problem else 'passed'}: {about}" + (f": {problem}" if problem else ""), flush=True)
    return bool(problem)


def run_checks(directory, certificate):
    site = Site(directory / "site", certificate)
    try:
        with concurrent.futures.ThreadPoolExecutor(len(CHECKS)) as pool:
            problems = list(pool.map(lambda pair: failure(site, *pair), enumerate(CHECKS, 2)))
        return sum([report(check.__name__, problem) for check, problem in zip(CHECKS, problems, strict=True)])
    finally:
        site.stop()


def run_faults(directory, certificate):
    def run(number, pattern, replacement, check):
        site = Site(directory / f"fault-{number}", certificate, (pattern, replacement.replace("CERT", str(certificate))))
        try:
            return failure(site, 2, check)
        finally:
            site.stop()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        problems = list(pool.map(lambda pair: run(pair[0], *pair[1]), enumerate(FAULTS)))
    failed = 0
    for (pattern, replacement, check), problem in zip(FAULTS, problems, strict=True):
        about = f"`{pattern}` as `{replacement}`"
        failed += report(about, None if problem else f"the check {check.__name__} does not notice the fault")
        if problem:
            print(f"    {check.__name__}: {problem[:160]}")
    return failed


def main(arguments):
    if arguments not in ([], ["--faults"]):
        print(__doc__.strip())
        return 64
    warnings.filterwarnings("ignore", "ssl.TLSVersion", DeprecationWarning)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        directory.chmod(0o755)
        certificate = directory / "certificate.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
        command += ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(certificate), "-out", f"{certificate}.only"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        with open(certificate, "a") as file:
            file.write(Path(f"{certificate}.only").read_text())
        failed = (run_faults if arguments else run_checks)(directory, certificate)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
