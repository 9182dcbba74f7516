"""The real service as a child process, to be asked, stopped and killed."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent
SERVING = re.compile(r"http://127\.0\.0\.1:(\d+)")


class Service:
    """`python -m service` on a free port, over a data folder that outlives it."""

    command: Sequence[str] = (sys.executable, "-m", "service")

    def __init__(self, data_dir: Path, bundles: Path, **settings: object) -> None:
        self.data_dir = data_dir
        self.log = data_dir.with_name(data_dir.name + ".log")
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("KINDRED_")
        } | {
            "KINDRED_PORT": "0",
            "KINDRED_DRAIN_DELAY": "0",
            "KINDRED_DATA_DIR": str(data_dir),
            "KINDRED_MODELS_STORE": str(bundles),
            # Tests look into the service's /proc, which only root may where debuggers may not.
            "KINDRED_ALLOW_DEBUGGERS": str(os.geteuid() != 0),
            **{f"KINDRED_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self, timeout: float = 60) -> "Service":
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + timeout
        while not (found := SERVING.search(self.log.read_text())):
            if self.process.poll() is None and time.monotonic() > deadline:
                self.kill9()
            if self.process.poll() is not None:
                raise AssertionError(f"the service did not start:\n{self.log.read_text()}")
            time.sleep(0.02)
        self.url = found.group(0)
        return self

    def wait_ready(self, timeout: float = 30) -> "Service":
        deadline = time.monotonic() + timeout
        with httpx.Client() as client:  # to make one for each would take a core
            while (answer := client.get(f"{self.url}/health/ready")).status_code != 200:
                if time.monotonic() > deadline:
                    self.kill9()
                    raise AssertionError(f"the service is not ready: {answer.text}")
                time.sleep(0.02)
        return self

    def client(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, **options)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout: float = 30) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def stop(self) -> int:
        if self.process is None or self.process.poll() is not None:
            return 0
        self.signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill9()
            raise

    def kill9(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()
