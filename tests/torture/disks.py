"""A store whose disk is full, or slow to say that it has written, and that is killed then."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import Server
from tests.torture.clients import Client, Mix
from tests.torture.failpoints import STRACE
from tests.torture.scene import Scene

SIZE = 24  # MiB of the small disk
MIX = Mix(forgets=0.05, finds=0.1)
FSYNC = 1.5  # seconds that a slow one takes


class NoDisk(Exception):
    """A small disk cannot be mounted here by this user."""


class OnSmallDisk(Scene):
    """A scene whose store has a small disk of its own."""

    def make_store(self, name: str, **options: Any) -> Server:
        """Mount the disk and start a server on it, or raise NoDisk."""
        self.disk = self.folder / name
        self.disk.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "none", str(self.disk)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            raise NoDisk("this user may not mount a small disk")
        return super().make_store(f"{name}/files", **options)

    @property
    def filler(self) -> Path:
        """The file that takes all the room."""
        return self.disk / "filler"

    def fill(self) -> None:
        """Leave no room."""
        with self.filler.open("ab", buffering=0) as file:
            for size in (2**20, 2**12, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:  # no room for so much
                    continue

    def close(self) -> None:
        """End everything, and unmount."""
        super().close()
        subprocess.run(["umount", "-l", str(self.disk)], check=False)

    def fill_up(self, gallery: str) -> Sequence[Client]:
        """Let the disk run full under clients, then kill what is left of the store, and judge.

        With `appendfsync always` the server ends by itself at the first byte that does not fit.
        """
        self.make_gallery(gallery)
        with self.clients(gallery, 3, MIX) as clients:
            time.sleep(self.rng.uniform(0.3, 0.8))
            self.fill()
            self.wait_until(self._is_told)
            self.filler.unlink()
            self.kill("store")
            time.sleep(0.5)
        self.judge(gallery, clients)
        return clients

    def _is_told(self) -> bool:
        """Whether the store is gone, or takes no writes any more."""
        self.fill()  # what a rewrite of its file may have freed
        ended = self.store.process.poll() is not None
        return ended or "aof_last_write_status:err" in self.store.command("INFO persistence")


@contextmanager
def fsync_takes(store: Server, seconds: float) -> Iterator[None]:
    """Let every fsync of the store take so many seconds, for as long as this is open."""
    delay = f"inject=fdatasync:delay_enter={int(1e6 * seconds)}"
    pid = str(store.process.pid)
    words = [str(STRACE), "-f", "-qq", "-e", "trace=fdatasync", "-e", delay, "-p", pid]
    null = subprocess.DEVNULL
    with subprocess.Popen(words, stdout=null, stderr=null) as strace:
        time.sleep(0.3)
        try:
            yield
        finally:
            strace.terminate()


def kill_while_slow(scene: Scene, gallery: str, kills: int) -> Sequence[Client]:
    """Kill the store in the middle of slow fsyncs, again and again, and judge."""
    scene.make_gallery(gallery)
    with scene.clients(gallery, 8, MIX) as clients:
        for _ in range(kills):
            with fsync_takes(scene.store, FSYNC):
                time.sleep(scene.rng.uniform(2, 4) * FSYNC)
                scene.store.kill9()
            scene.kill("store")
        time.sleep(0.5)
    scene.judge(gallery, clients)
    return clients
