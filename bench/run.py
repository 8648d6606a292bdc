"""Measures this server beside Debian's docker-registry (2.8.2), both with TLS on the same machine in the same run, in turn.

Ours has authentication on, theirs has none. Prints a table of ratios (median of the pairs) and writes docs/benchmarks.md with
--write. What can't run here (a program is missing) is said and left out.

    make bench                          everything
    .venv/bin/python bench/run.py --only manifests --pairs 3
"""

import argparse
import base64
import contextlib
import hashlib
import http.client
import json
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.registries import OCI_MANIFEST, Image, make_image
from support.servers import Server, descendants

MIB = 1024 * 1024
REPOSITORY = "admin/bench"


@dataclass
class Target:
    """A registry under measurement."""

    name: str
    port: int
    authority: Path
    authorize: Callable[[], dict[str, str]]
    pids: Callable[[], list[int]] = list
    stop: Callable[[], None] = lambda: None

    @property
    def base(self) -> str:
        return f"https://localhost:{self.port}"

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.authority))
        return http.client.HTTPSConnection("localhost", self.port, context=context, timeout=600)


@dataclass
class Row:
    """One line of the table: pairs of figures, ours and theirs, and what is asked of their ratio."""

    name: str
    unit: str
    wanted: float | None
    pairs: list[tuple[float, float]] = field(default_factory=list)
    versus: str = "docker-registry"

    @property
    def ratio(self) -> float:
        return statistics.median(ours / theirs for ours, theirs in self.pairs)

    def line(self) -> str:
        ours = statistics.median(pair[0] for pair in self.pairs)
        theirs = statistics.median(pair[1] for pair in self.pairs)
        wanted = "" if self.wanted is None else f"{self.wanted:g} ×"
        verdict = "" if self.wanted is None else ("held" if self.ratio >= self.wanted else "**not held**")
        spread = f"{min(a / b for a, b in self.pairs):.2f}–{max(a / b for a, b in self.pairs):.2f}"
        return (
            f"| {self.name} | {ours:,.0f} {self.unit} | {theirs:,.0f} {self.unit} ({self.versus}) "
            f"| {self.ratio:.2f} × ({spread}) | {wanted} | {verdict} |"
        )


# --- servers ---------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_ours(folder: Path) -> tuple[Target, Server]:
    server = Server(
        folder / "ours",
        "nginx",
        {"LADING_REGISTRY__CREATE_REPOSITORY_ON_PUSH": "true", "LADING_LOG__ACCESS": "on"},
    ).start()
    kept: dict[str, object] = {"until": 0.0, "header": {}}

    def authorize() -> dict[str, str]:
        if time.monotonic() > float(str(kept["until"])):
            names = (REPOSITORY, "admin/few", "admin/many", "admin/doomed")
            scopes = [f"repository:{name}:pull,push" for name in names]
            kept.update(until=time.monotonic() + 120, header=server.bearer(*scopes))
        return dict(kept["header"])  # type: ignore[call-overload]

    return Target("lading", server.port, server.authority, authorize, server.children, server.cleanup), server


def start_theirs(folder: Path, ours: Server) -> Target:
    program = shutil.which("docker-registry")
    if program is None:
        raise SystemExit("docker-registry is not installed: apt-get install docker-registry")
    port, data = free_port(), folder / "theirs"
    data.mkdir()
    config = folder / "theirs.yml"
    config.write_text(
        json.dumps(
            {
                "version": 0.1,
                "log": {"level": "error", "accesslog": {"disabled": False}},
                "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
                "http": {
                    "addr": f"127.0.0.1:{port}",
                    "tls": {
                        "certificate": str(ours.data / "tls" / "certificate.pem"),
                        "key": str(ours.data / "tls" / "key.pem"),
                    },
                },
            }
        )
    )
    log = (folder / "theirs.log").open("wb")
    process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    wait_for(port)
    return Target("docker-registry", port, ours.authority, dict, lambda: [process.pid], process.terminate)


def start_static(folder: Path, ours: Server, blob: Path) -> Target:
    """The same nginx with the same TLS, serving the same file as static content."""
    port, run = free_port(), folder / "static"
    run.mkdir()
    shutil.copy(blob, run / "blob")
    same = ("ssl_", "sendfile", "tcp_", "keepalive_timeout 75s", "keepalive_requests")
    lines = [line.strip() for line in (ours.data / "run" / "nginx.conf").read_text().splitlines()]
    copied = list(dict.fromkeys(line for line in lines if line.startswith(same)))  # each once: upstream has some again
    config = run / "nginx.conf"
    config.write_text(
        f"daemon off; pid {run}/pid; error_log stderr warn; user root; worker_processes 2;\n"
        "events { worker_connections 1024; }\n"
        f"http {{ access_log {run}/access; {' '.join(copied)}\n"
        f"server {{ listen 127.0.0.1:{port} ssl http2; location / {{ root {run}; }} }} }}\n"
    )
    log = (run / "log").open("wb")
    process = subprocess.Popen(
        ["/usr/sbin/nginx", "-e", "stderr", "-p", str(run), "-c", str(config)], stdout=log, stderr=log
    )
    wait_for(port)
    return Target("nginx", port, ours.authority, dict, lambda: [process.pid], process.terminate)


def wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


# --- what a client does ----------------------------------------------------------------------------------------------


def request(
    connection: http.client.HTTPSConnection,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | None = None,
) -> http.client.HTTPResponse:
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer


def push_blob(
    target: Target, connection: http.client.HTTPSConnection, data: bytes, digest: str, name: str = REPOSITORY
) -> None:
    """As Docker does it: HEAD, POST, PATCH with all of it, PUT."""
    headers = target.authorize()
    path = f"/v2/{name}/blobs/"
    request(connection, "HEAD", path + digest, headers)
    begun = request(connection, "POST", path + "uploads/", {**headers, "Content-Length": "0"})
    location = local(begun.getheader("Location"))
    octets = {**headers, "Content-Type": "application/octet-stream"}
    sent = request(connection, "PATCH", location, octets, data)
    assert sent.status == 202, sent.status
    location = local(sent.getheader("Location"))
    joint = "&" if "?" in location else "?"
    done = request(connection, "PUT", f"{location}{joint}digest={digest}", {**headers, "Content-Length": "0"})
    assert done.status == 201, done.status


def local(location: str | None) -> str:
    return re.sub(r"^https?://[^/]+", "", location or "")


def push_image(
    target: Target, connection: http.client.HTTPSConnection, image: Image, tag: str, name: str = REPOSITORY
) -> None:
    named = json.loads(image.manifest)  # a client knows the digests of what it pushes
    for blob, descriptor in zip((*image.layers, image.config), (*named["layers"], named["config"]), strict=True):
        push_blob(target, connection, blob, descriptor["digest"], name)
    headers = {**target.authorize(), "Content-Type": OCI_MANIFEST}
    answer = request(connection, "PUT", f"/v2/{name}/manifests/{tag}", headers, image.manifest)
    assert answer.status == 201, answer.status


def wrk(target: Target, path: str, *, connections: int, seconds: int, method: str = "GET", **extra: str) -> float:
    """Requests a second, or with `bytes` in `extra` MB a second; fails when answers were not 2xx."""
    script = Path(tempfile.mkstemp(suffix=".lua")[1])
    script.write_text(f'wrk.method = "{method}"\n')
    headers = {**target.authorize(), **{key.replace("_", "-"): value for key, value in extra.items()}}
    arguments = [item for key, value in headers.items() for item in ("-H", f"{key}: {value}")]
    ran = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), *arguments, target.base + path],
        capture_output=True,
        text=True,
        check=True,
    )
    script.unlink()
    if "Non-2xx" in ran.stdout:
        raise SystemExit(f"{target.name} {method} {path}: {ran.stdout}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", ran.stdout)
    if found is None:
        raise SystemExit(ran.stdout)
    return float(found[1])


def head(target: Target, path: str, seconds: int) -> float:
    """HEAD requests a second, by ab: wrk waits for the body that HEAD does not have."""
    headers = {**target.authorize(), "Accept": OCI_MANIFEST}
    arguments = [item for key, value in headers.items() for item in ("-H", f"{key}: {value}")]
    ran = subprocess.run(
        ["ab", "-q", "-i", "-k", "-c", "32", "-t", str(seconds), "-n", "1000000", *arguments, target.base + path],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Requests per second:\s+([\d.]+)", ran.stdout)
    if found is None or "Non-2xx" in ran.stdout:
        raise SystemExit(f"{target.name} HEAD {path}: {ran.stdout}")
    return float(found[1])


def curl_pull(target: Target, path: str, times: int, size: int) -> float:
    """MB a second over `times` pulls by curl."""
    headers = [item for key, value in target.authorize().items() for item in ("-H", f"{key}: {value}")]
    began = time.perf_counter()
    for _ in range(times):
        subprocess.run(
            ["curl", "-sf", "--cacert", str(target.authority), "-o", "/dev/null", *headers, target.base + path],
            check=True,
        )
    return times * size / (time.perf_counter() - began) / 1e6


def curl_push(target: Target, file: Path, digest: str) -> float:
    """Seconds that one push of the file takes, by curl: POST, then PUT with all of it."""
    headers = target.authorize()
    given = [item for key, value in headers.items() for item in ("-H", f"{key}: {value}")]
    connection = target.connect()
    began = time.perf_counter()
    begun = request(connection, "POST", f"/v2/{REPOSITORY}/blobs/uploads/", {**headers, "Content-Length": "0"})
    location = local(begun.getheader("Location"))
    joint = "&" if "?" in location else "?"
    subprocess.run(
        ["curl", "-sf", "--http1.1", "--cacert", str(target.authority), "-T", str(file), *given, "-o", "/dev/null",
         "-H", "Content-Type: application/octet-stream", "-H", "Expect:", f"{target.base}{location}{joint}digest={digest}"],
        check=True,
    )  # fmt: skip
    taken = time.perf_counter() - began
    connection.close()
    return taken


# --- measurements ----------------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """All measurements, over one pair of servers."""

    ours: Target
    theirs: Target
    server: Server
    folder: Path
    pairs: int
    seconds: int
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def pair(
        self, row: Row, measure: Callable[[Target], float], theirs: Target | None = None, ours: Target | None = None
    ) -> None:
        ours, theirs = ours or self.ours, theirs or self.theirs
        for number in range(self.pairs):
            order = (ours, theirs) if number % 2 == 0 else (theirs, ours)
            figures = {target.name: measure(target) for target in order}
            row.pairs.append((figures[ours.name], figures[theirs.name]))
        self.rows.append(row)
        print(row.line(), flush=True)

    def manifests(self) -> None:
        image = make_image()
        for target in (self.ours, self.theirs):
            push_image(target, target.connect(), image, "manifests")
        path = f"/v2/{REPOSITORY}/manifests/manifests"
        self.pair(
            Row("manifest GET by tag", "/s", 6),
            lambda target: wrk(target, path, connections=32, seconds=self.seconds, Accept=OCI_MANIFEST),
        )
        self.pair(Row("manifest HEAD by tag", "/s", 6), lambda target: head(target, path, self.seconds))

    def small_pulls(self) -> None:
        data = secrets.token_bytes(MIB)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        for target in (self.ours, self.theirs):
            push_blob(target, target.connect(), data, digest)
        path = f"/v2/{REPOSITORY}/blobs/{digest}"
        self.pair(
            Row("1 MiB blob pull, 8 at once", "MB/s", 1.5),
            lambda target: wrk(target, path, connections=8, seconds=self.seconds) * MIB / 1e6,
        )

    def large(self) -> None:
        size = 100 * MIB
        file = self.folder / "large"
        file.write_bytes(secrets.token_bytes(size))

        def push(target: Target) -> float:
            with file.open("r+b") as changed:
                changed.write(secrets.token_bytes(32))
            with file.open("rb") as content:
                digest = "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()
            os.sync()
            return size / curl_push(target, file, digest) / 1e6

        self.pair(Row("100 MiB blob push, durable", "MB/s", 1.8), push)
        with file.open("rb") as content:
            digest = "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()
        for target in (self.ours, self.theirs):
            curl_push(target, file, digest)
        path = f"/v2/{REPOSITORY}/blobs/{digest}"
        self.pair(Row("100 MiB blob pull", "MB/s", 1.0), lambda target: curl_pull(target, path, 5, size))
        static = start_static(self.folder, self.server, file)
        try:
            self.pair(
                Row("100 MiB blob pull", "MB/s", 0.95, versus="nginx, static file"),
                lambda target: curl_pull(target, path if target is self.ours else "/blob", 5, size),
                static,
            )
        finally:
            static.stop()

    def small_pushes(self) -> None:
        def push(target: Target) -> float:
            images = [make_image(layers=5, layer_bytes=MIB) for _ in range(12)]
            connection = target.connect()
            began = time.perf_counter()
            for number, image in enumerate(images):
                push_image(target, connection, image, f"small{number}")
            return len(images) / (time.perf_counter() - began)

        self.pair(Row("push of a small image (5 × 1 MiB)", "/s", 1.5), push)

    def tokens(self) -> None:
        basic = base64.b64encode(f"admin:{self.server.password}".encode()).decode()
        path = f"/auth/token?service=localhost:{self.ours.port}&scope=repository:{REPOSITORY}:pull,push"
        rates = [
            wrk(
                Target("lading", self.ours.port, self.ours.authority, dict),
                path,
                connections=16,
                seconds=self.seconds,
                Authorization=f"Basic {basic}",
            )
            for _ in range(self.pairs)
        ]
        self.note("token request with a password, repeated", f"{statistics.median(rates):,.0f}/s", "1,000/s")

    def memory(self) -> None:
        """Ten pushes of 1 GiB at once; the largest resident size of any app worker meanwhile."""
        size = 1024 * MIB
        file = self.folder / "gigabyte"
        with file.open("wb") as out:
            for _ in range(64):
                out.write(secrets.token_bytes(size // 64))
        peak = [0]
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.2):
                for pid in self.ours.pids():
                    with contextlib.suppress(OSError):
                        if b"lading.app\0worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf(
                                "SC_PAGE_SIZE"
                            )
                            peak[0] = max(peak[0], resident)

        watcher = threading.Thread(target=watch)
        watcher.start()
        headers = [item for key, value in self.ours.authorize().items() for item in ("-H", f"{key}: {value}")]
        pushes = []
        for _ in range(10):
            begun = request(
                self.ours.connect(),
                "POST",
                f"/v2/{REPOSITORY}/blobs/uploads/",
                {**self.ours.authorize(), "Content-Length": "0"},
            )
            where = self.ours.base + local(begun.getheader("Location"))
            pushes.append(
                subprocess.Popen(
                    ["curl", "-sf", "--http1.1", "--cacert", str(self.ours.authority), "-X", "PATCH", "-T", str(file), *headers,
                     "-H", "Expect:", "-o", "/dev/null", where],
                )
            )  # fmt: skip
        statuses = [push.wait() for push in pushes]
        done.set()
        watcher.join()
        file.unlink()
        if any(statuses) or not peak[0]:
            raise SystemExit(f"a push failed, or no app worker was seen: {statuses}")
        self.note("memory of one app worker while ten 1 GiB pushes run", f"{peak[0] / MIB:,.0f} MiB", "under 150 MiB")

    def tags(self) -> None:
        """A page in the middle of a long list and of a short one; then the end of a manifest that many tags name."""
        few, many, doomed = ("admin/few", 1_000), ("admin/many", 1_000_000), ("admin/doomed", 10_000)
        image = make_image()
        for name, count in (few, many, doomed):
            push_image(self.ours, self.ours.connect(), image, "latest", name)
            self._write_tags(name, image.digest, count)
        long = Target("long", self.ours.port, self.ours.authority, self.ours.authorize)
        short = Target("short", self.ours.port, self.ours.authority, self.ours.authorize)

        def pages(target: Target) -> float:
            name, count = many if target is long else few
            return wrk(target, f"/v2/{name}/tags/list?n=100&last=t{count // 2:07}", connections=8, seconds=self.seconds)

        self.pair(
            Row("page of 100 tags out of 1,000,000", "/s", 1 / 1.5, versus="out of 1,000"), pages, short, ours=long
        )
        headers = self.server.bearer(f"repository:{doomed[0]}:pull,push,delete")
        began = time.perf_counter()
        path = f"/v2/{doomed[0]}/manifests/{image.digest}"
        deleted = request(self.ours.connect(), "DELETE", path, headers)
        taken = time.perf_counter() - began
        if deleted.status != 202:
            raise SystemExit(f"the manifest was not deleted: {deleted.status}")
        self.note(f"delete a manifest that {doomed[1]:,} tags name", f"{taken:.2f} s", "under 0.5 s")

    def _write_tags(self, name: str, digest: str, count: int) -> None:
        """Straight into the database: pushing a million tags would measure something else."""
        with sqlite3.connect(self.server.data / "lading.db", timeout=60) as database:
            (repository,) = database.execute("SELECT id FROM repositories WHERE full_name = ?", [name]).fetchone()
            rows = ((repository, f"t{number:07}", digest) for number in range(count))
            database.executemany("INSERT INTO tags VALUES (?, ?, ?, NULL, 0, 0)", rows)

    def queries(self) -> None:
        """Point reads per manifest GET, by the server's own counter."""
        image = make_image()
        connection = self.ours.connect()
        push_image(self.ours, connection, image, "queries")
        path = f"/v2/{REPOSITORY}/manifests/queries"
        headers = {**self.ours.authorize(), "Accept": OCI_MANIFEST}
        for _ in range(20):
            request(connection, "GET", path, headers)
        before = self._point_reads(connection)
        for _ in range(200):
            request(connection, "GET", path, headers)
        after = self._point_reads(connection)
        if before is not None and after is not None:
            self.note("queries per manifest GET", f"{(after - before) / 200:.2f}", "1")

    def _point_reads(self, connection: http.client.HTTPSConnection) -> float | None:
        time.sleep(6)  # each process hands its numbers over every five seconds
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        found = re.search(r"^lading_point_reads_total (\S+)", text, re.MULTILINE)
        return float(found[1]) if found else None

    def note(self, name: str, figure: str, wanted: str) -> None:
        self.notes.append(f"| {name} | {figure} | {wanted} |")
        print(self.notes[-1], flush=True)


ALL = ("queries", "manifests", "small_pulls", "large", "small_pushes", "tokens", "tags", "memory")


def machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    versions = []
    for command in (["/usr/sbin/nginx", "-v"], ["docker-registry", "--version"], ["wrk", "-v"]):
        with contextlib.suppress(OSError):
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            versions.append((ran.stdout + ran.stderr).strip().splitlines()[0])
    cores = f"{os.cpu_count()} cores ({model[1] if model else platform.machine()})"
    return f"{cores}, {platform.system()} {platform.release()}; {'; '.join(versions)}"


def touch_memory() -> None:
    """A virtual machine gets memory from its host at the first touch, slower than any disk: that is not to be measured."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size = min(free // 2, 12 * 1024 * MIB)
    touch = f"import mmap; m = mmap.mmap(-1, {size}); [m.seek(i) or m.write(b'1') for i in range(0, {size}, 4096)]"
    subprocess.run([sys.executable, "-c", touch], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=ALL, default=ALL)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    touch_memory()
    with tempfile.TemporaryDirectory(prefix="lading-bench-") as name:
        folder = Path(name)
        ours, server = start_ours(folder)
        theirs = start_theirs(folder, server)
        bench = Bench(ours, theirs, server, folder, arguments.pairs, arguments.seconds)
        try:
            for measurement in arguments.only:
                getattr(bench, measurement)()
        finally:
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            server.cleanup()
    table = [
        "| work | ours | theirs | ratio (median, spread) | wanted | |",
        "|-|-|-|-|-|-|",
        *(row.line() for row in bench.rows),
    ]
    notes = ["| figure | measured | wanted |", "|-|-|-|", *bench.notes]
    text = "\n".join([*table, "", *notes])
    print(f"\n{text}\n\n{machine()}")
    if arguments.write:
        intro = (
            "# Benchmarks\n\nMade by `make bench`: this server beside Debian's docker-registry, both with TLS, ours with "
            "authentication, on one machine in one run, in turn. Ratios are what to look at: machines are noisy.\n\n"
        )
        (ROOT / "docs" / "benchmarks.md").write_text(f"{intro}{text}\n\nMachine: {machine()}.\n")


if __name__ == "__main__":
    main()
