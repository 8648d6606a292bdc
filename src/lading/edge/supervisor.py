"""The tree of one running server: nginx, the app workers, the job worker; started, watched, restarted, stopped.

Each child leads a process group of its own, so that whatever it leaves behind when it is killed is killed before it starts
again. Children die with the supervisor; what a killed supervisor left is ended by the next start, under `server.lock`.
"""

import asyncio
import contextlib
import fcntl
import functools
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from lading.core.errors import Kind, LadingError, SettingsError
from lading.core.folders import DataFolder, write_durably
from lading.edge.lifeline import die_with_parent

log = structlog.get_logger()

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0
_CALM_SECONDS = 30.0  # a child that lived this long starts anew without waiting
_KILL_AFTER_SECONDS = 5.0
_SPOOL_AGE_SECONDS = 3600.0
_ROUND_SECONDS = 60.0


class StartError(LadingError):
    """A program of the tree ended before the server was ready."""

    kind = Kind.UNAVAILABLE
    code = "UNAVAILABLE"

    def __init__(self, name: str, status: int) -> None:
        super().__init__(f"{name} ended at its start (status {status}); what it said stands above")


@dataclass
class Child:
    """One program of the tree.

    `stop` is the signal that ends it gently; `needs` is a socket that must answer before it is first started; `descriptors`
    are open files that it inherits. With `forward_output` its standard output goes to our standard error, as far as
    somebody reads that.
    """

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    stop: signal.Signals = signal.SIGTERM
    needs: Path | None = None
    descriptors: Sequence[int] = ()
    forward_output: bool = False
    process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _forwarding: asyncio.Task[None] | None = field(default=None, init=False)

    async def start(self) -> None:
        """The program runs, in a group of its own."""
        reading, writing = os.pipe() if self.forward_output else (None, None)
        try:
            # The lifeline must be tied between fork and exec, in the child.
            # The pipe is ours, not asyncio's, which would call the child alive as long as an orphan holds its other end.
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                start_new_session=True,
                pass_fds=self.descriptors,
                preexec_fn=functools.partial(die_with_parent, os.getpid()),
            )
        finally:
            if writing is not None:
                os.close(writing)
        if reading is not None:
            self._forwarding = asyncio.create_task(_forward(reading))

    def send(self, number: signal.Signals) -> None:
        """The program gets the signal, if it lives."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def kill_group(self) -> None:
        """Nothing of the program's group is left."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


class Supervisor:
    """Runs children until SIGTERM or SIGINT. Children stop in the order given: who accepts connections comes first."""

    def __init__(self, children: Sequence[Child], *, folder: DataFolder, drain_seconds: int) -> None:
        self._children = children
        self._folder = folder
        self._drain_seconds = drain_seconds
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._is_started = False

    async def run(
        self, on_start: Callable[[], Coroutine[None, None, None]], every_minute: Callable[[], Awaitable[None]]
    ) -> None:
        """Starts all, calls `on_start`, then `every_minute` (and at SIGHUP); returns when everything has ended.

        Errors: StartError when a child ends before `on_start` is through; whatever `on_start` raises.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        if not sys.stdin.isatty():  # a terminal that goes away still ends the server
            loop.add_signal_handler(signal.SIGHUP, self._hurry.set)
        sweep_spool(self._folder.spool, older_than_seconds=0)
        watchers = [asyncio.create_task(self._watch(child)) for child in self._children]
        minutes = asyncio.create_task(self._every_minute(every_minute))
        starting = asyncio.create_task(on_start())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([starting, stopping, *watchers], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self._is_started = True
                await asyncio.wait([stopping, *watchers], return_when=asyncio.FIRST_COMPLETED)
            for watcher in watchers:
                if watcher.done():  # watching has no end but an error
                    watcher.result()
        finally:
            for task in (starting, stopping, minutes, *watchers):
                task.cancel()
            await asyncio.gather(starting, stopping, minutes, *watchers, return_exceptions=True)
            await self._stop()

    def signal(self, name: str, number: signal.Signals) -> None:
        """The child of that name gets the signal."""
        for child in self._children:
            if child.name == name:
                child.send(number)

    async def _watch(self, child: Child) -> None:
        wait = _FIRST_WAIT_SECONDS
        if child.needs is not None:
            await _until_answers(child.needs)
        while True:
            started = time.monotonic()
            await child.start()
            self._remember()
            if child.process is None:
                raise RuntimeError("a started child has a process")
            status = await child.process.wait()
            child.kill_group()
            if not self._is_started:
                raise StartError(child.name, status)
            lived = time.monotonic() - started
            wait = _FIRST_WAIT_SECONDS if lived > _CALM_SECONDS else min(wait * 2, _LONGEST_WAIT_SECONDS)
            log.error(
                "a process ended; starting it again", name=child.name, status=status, lived_seconds=round(lived, 1)
            )
            await asyncio.sleep(wait)

    async def _every_minute(self, call: Callable[[], Awaitable[None]]) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), _ROUND_SECONDS)
            self._hurry.clear()
            try:
                sweep_spool(self._folder.spool, older_than_seconds=_SPOOL_AGE_SECONDS)
                await call()
            except Exception:
                log.exception("the minutely work failed; it is tried again")

    async def _stop(self) -> None:
        """Gently, one after the other, then by force."""
        deadline = time.monotonic() + self._drain_seconds
        for child in self._children:
            child.send(child.stop)
            if child.process is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(child.process.wait(), max(deadline - time.monotonic(), 0.1))
        for child in self._children:
            if child.process is not None and child.process.returncode is None:
                child.send(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(child.process.wait(), _KILL_AFTER_SECONDS if self._drain_seconds else 0.1)
            child.kill_group()
            if child.process is not None:
                await child.process.wait()

    def _remember(self) -> None:
        pids = [str(child.process.pid) for child in self._children if child.process is not None]
        try:
            write_durably(self._folder.run / "children", "\n".join(pids).encode())
        except OSError as error:  # a full disk ends no server: only the next start would miss it, after a kill
            log.warning("the list of running processes can't be written", error=error.strerror)


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, which app workers share: connections wait in it while one of them is restarted.

    Errors: SettingsError, most likely because the path is longer than a socket's may be.
    """
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
    except OSError as error:
        listening.close()
        raise SettingsError(f"can't listen on {path}: {error}; a data folder with a shorter path helps") from error
    path.chmod(0o600)
    listening.listen(1024)
    listening.setblocking(False)  # noqa: FBT003 — its only parameter
    return listening


async def _until_answers(path: Path) -> None:
    """Something listens on the socket, or has had half a minute for it."""
    for _ in range(600):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_unix_connection(path)
            writer.close()
            return
        await asyncio.sleep(0.05)


async def _forward(descriptor: int) -> None:
    """Log lines go to standard error while somebody reads it; else they are dropped, since nginx must never wait for them."""
    lines = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", buffering=0)  # its transport closes it
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), pipe)
    try:
        while data := await lines.read(select.PIPE_BUF):
            if select.select([], [2], [], 0)[1]:
                with contextlib.suppress(OSError):
                    os.write(2, data)
    finally:
        transport.close()


def take_server_lock(folder: DataFolder) -> int:
    """The lock that one server of a data folder holds; the descriptor must stay open. Errors: SettingsError."""
    descriptor = os.open(folder.server_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise SettingsError(f"a server is running on the data folder {folder.root} already: stop it first") from error
    return descriptor


def end_leftovers(folder: DataFolder) -> None:
    """What a killed supervisor left running is gone, and the run folder is empty. Call it under the lock. Blocks."""
    remembered = folder.run / "children"
    leaders = [int(pid) for pid in remembered.read_text().split() if pid.isdigit()] if remembered.exists() else []
    deadline = time.monotonic() + _KILL_AFTER_SECONDS
    for leader in leaders:
        if any(_is_ours(pid, folder.run) for pid in _members(leader)):
            log.warning("ending what an earlier server left running", group=leader)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, signal.SIGKILL)
            while _members(leader) and time.monotonic() < deadline:
                time.sleep(0.02)
    shutil.rmtree(folder.run, ignore_errors=True)
    folder.make()


def _members(leader: int) -> list[int]:
    """The living processes of a group, from /proc (elsewhere than on Linux: none are found)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(group) == leader and state != "Z":
                found.append(int(entry.name))
    return found


def _is_ours(pid: int, run: Path) -> bool:
    """True when the process was started for this data folder: process ids come round again.

    The app's environment and nginx's master's command line tell it; nginx's workers overwrite both, and stand in the folder.
    """
    marker, entry = str(run).encode(), Path("/proc") / str(pid)
    with contextlib.suppress(OSError):
        if marker in (entry / "cmdline").read_bytes() or marker in (entry / "environ").read_bytes():
            return True
        return str((entry / "cwd").readlink()).startswith(str(run))
    return False


def sweep_spool(spool: Path, *, older_than_seconds: float) -> None:
    """Bodies that nobody came for are gone. Before nginx starts, all of them: it counts its names from one again."""
    limit = time.time() - older_than_seconds
    with os.scandir(spool) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime <= limit:
                    Path(entry.path).unlink()


def check_port(host: str, port: int) -> int:
    """The port, free to listen on; a free one for 0. Errors: SettingsError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            chosen: int = probe.getsockname()[1]
            return chosen
    except PermissionError as error:
        raise SettingsError(
            f"port {port} needs more rights: choose one from 1024 on, or use packaging/lading.service, which grants it"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"can't listen on {host} port {port}: {error.strerror}; choose another with --port"
        ) from error
