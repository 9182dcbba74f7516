"""What may differ between deployments, read once."""

import ipaddress
import os
from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

STORE_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel")
LOOPBACK_NAMES = ("localhost", "localhost.localdomain")


class Settings(BaseSettings):
    """Every setting of the service, from the environment with the prefix `KINDRED_`.

    A test holds the table in README.md to the names, defaults and descriptions here.
    """

    model_config = SettingsConfigDict(env_prefix="KINDRED_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on; 0: a free one")
    processes: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that share the port, each with every gallery in memory, and on a "
        "port of its own: `PORT` + 1 and so on",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Redis to keep galleries in, `redis://`, `rediss://`, `unix://` or, of a "
        "primary with Sentinels, `redis+sentinel://host:port,host:port/name`; unset: an embedded "
        "server under `DATA_DIR`",
    )
    redis_ca_file: Path | None = Field(
        None,
        description="Certificates that a `rediss://` server's must lead to; unset: the system's",
    )
    data_dir: Path = Field(
        Path("var"), description="Folder of the embedded store and of snapshots"
    )
    models_store: Path = Field(
        Path("models_store/bundles"), description="Folder of bundles, `<name>/<version>/` each"
    )
    max_bundle_bytes: int = Field(2 * 2**30, gt=0, description="Bytes of all files of one bundle")
    bundle_seconds: float = Field(
        60.0, gt=0, description="Processor seconds that trying one bundle at start may take"
    )
    bundle_memory: int = Field(
        4 * 2**30, ge=2**27, description="Bytes of memory that trying one bundle may take"
    )
    default_comparator: str | None = Field(
        None,
        description="Comparator used when a request names none; unset: the first by name, "
        "of those with one encoder if there are any",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where encoders and searches run: `auto`, `cpu` or `cuda`"
    )
    threads: int = Field(0, ge=0, description="Threads of one model run; 0: one per core")
    approximate_above: int = Field(
        100_000,
        ge=10_000,
        description="Samples above which a gallery is searched approximately, on the CPU",
    )
    api_keys: SecretStr = Field(
        SecretStr(""), description="Keys that open the service, separated by commas; empty: off"
    )
    api_keys_file: Path | None = Field(
        None,
        description="File with more keys, one a line, read again when it changes",
    )
    keys_file: Path | None = Field(
        None,
        description="TOML file of keys with a role, galleries and quotas, read when it changes",
    )
    probes_per_identity: int = Field(
        10,
        ge=0,
        description="Uncertain answers a day about one identity to keys of role `decide`, where "
        "their entry says nothing else; 0: no limit",
    )
    allow_keyless: bool = Field(
        default=False,
        description="Listen beyond loopback although no keys are set",
    )
    allowed_hosts: str = Field(
        "", description="`Host` names accepted besides loopback while no keys are set, by commas"
    )
    max_upload_bytes: int = Field(
        32 * 2**20, gt=0, description="Bytes of one request body, all parts together"
    )
    max_file_bytes: int = Field(8 * 2**20, gt=0, description="Bytes of one uploaded file")
    max_files: int = Field(256, gt=0, description="Uploads in one request")
    max_embeddings: int = Field(4096, gt=0, description="Ready embeddings in one request")
    max_bulk_bytes: int = Field(
        1024 * 2**20, gt=0, description="Bytes of one NDJSON body of `/enroll/bulk`"
    )
    max_import_bytes: int = Field(
        8 * 2**30, gt=0, description="Bytes of one gallery that is imported"
    )
    max_pixels: int = Field(25_000_000, gt=0, description="Pixels of one image")
    min_side: int = Field(10, gt=0, description="Pixels of an image's shorter side, at least")
    max_aspect_ratio: float = Field(
        20.0, ge=1, description="Longer side of an image by its shorter"
    )
    max_audio_seconds: float = Field(120.0, gt=0, description="Seconds of one audio clip")
    max_audio_channels: int = Field(8, gt=0, description="Channels of one audio clip")
    max_characters: int = Field(20_000, gt=0, description="Characters of one text")
    decoders: int = Field(
        0,
        ge=0,
        description="Processes that decode samples, at least 2; 0: four for each core, at most 32",
    )
    decode_seconds: float = Field(
        0.8, gt=0, description="Processor seconds that decoding one sample may take"
    )
    decode_slow_seconds: float = Field(
        0.6,
        gt=0,
        description="Processor seconds that all slow samples of a request of several may take "
        "together; slow is a picture over 0.08, and 0.1 for each MiB",
    )
    decode_memory: int = Field(
        64 * 2**20, ge=2**24, description="Bytes of memory that decoding one sample may take"
    )
    max_metadata_bytes: int = Field(4096, gt=0, description="Bytes of an identity's metadata")
    max_kept_bytes: int = Field(
        2**30, gt=0, description="Bytes of uploaded samples that a gallery may keep, where it does"
    )
    log_length: int = Field(
        100_000,
        gt=0,
        description="Changes that a gallery's log keeps, for replicas that fell behind",
    )
    keep_samples: bool = Field(
        default=False,
        description="Let the gallery `default`, when it is made, keep uploaded samples",
    )
    undoable_edits: int = Field(
        100, ge=0, description="Edits of a gallery that can be undone, the newest"
    )
    max_rejections: int = Field(
        1000, ge=0, description="Rejected answers that a gallery remembers"
    )
    decisions: int = Field(
        1000, ge=0, description="Answers that can be read again and judged, the newest; 0: none"
    )
    decision_seconds: float = Field(
        3600.0, gt=0, description="Seconds for which an answer can be read again and judged"
    )
    decision_bytes: int = Field(
        2**26, ge=0, description="Bytes of samples that are kept with answers, to be confirmed"
    )
    max_batch: int = Field(64, gt=0, description="Samples in one model run")
    queue_length: int = Field(
        1024, gt=0, description="Samples that may wait for the model before requests are refused"
    )
    max_connections: int = Field(
        1000, gt=0, description="Connections; when there are more, those that send nothing end"
    )
    keep_alive: float = Field(
        10.0, gt=0, description="Seconds that a connection may be without a request"
    )
    head_timeout: float = Field(
        10.0, gt=0, description="Seconds that the head of a request may take to come"
    )
    body_timeout: float = Field(
        30.0, gt=0, description="Seconds that a body may take to come, and one more for each KiB"
    )
    send_timeout: float = Field(
        30.0,
        gt=0,
        description="Seconds that a client may take to read an answer, and one more per 64 KiB",
    )
    max_wait: float = Field(
        0.02,
        gt=0,
        description="Seconds of work that may be under way before more is refused at once",
    )
    long_requests: int = Field(
        16, gt=0, description="Requests for clusters, bulk, cohorts and whole galleries at a time"
    )
    request_deadline: float = Field(
        30.0, gt=0, description="Seconds after which a request is answered 504"
    )
    evaluations: int = Field(1, gt=0, description="Evaluations that run at a time")
    evaluations_waiting: int = Field(
        3, ge=0, description="Evaluations that may wait for their turn before more are refused"
    )
    evaluation_deadline: float = Field(
        300.0, gt=0, description="Seconds after which an evaluation is answered 504"
    )
    evaluation_memory: int = Field(
        3 * 2**30, ge=2**29, description="Bytes of address space of one evaluation's process"
    )
    max_evaluation_bytes: int = Field(
        128 * 2**20, gt=0, description="Bytes of one body of `/evaluate`, packed and unpacked"
    )
    max_evaluation_files: int = Field(4096, gt=0, description="Uploads in one evaluation")
    max_evaluation_embeddings: int = Field(
        20_000, gt=0, description="Ready embeddings in one evaluation"
    )
    map_samples: int = Field(5000, gt=0, description="Samples on the map of a gallery")
    map_memory: int = Field(
        3 * 2**30, ge=2**29, description="Bytes of address space of the process that lays out maps"
    )
    map_seconds: float = Field(600.0, gt=0, description="Seconds that laying out one map may take")
    store_timeout: float = Field(
        5.0,
        gt=0,
        description="Seconds that the store may take to answer, or to make a write durable",
    )
    max_staleness: float = Field(
        3600.0,
        gt=0,
        description="Seconds that a gallery answers from memory while the store is away; then 503",
    )
    wait_replicas: int = Field(
        0, ge=0, description="Redis replicas that must hold a write before it is acknowledged"
    )
    allow_everysec: bool = Field(
        default=False,
        description="Accept a Redis that fsyncs once a second, and may lose it",
    )
    rewrite_store_log: bool = Field(
        default=True,
        description="Let the store rewrite its append-only file after something was forgotten",
    )
    assert_store_durable: bool = Field(
        default=False, description="Trust a Redis that does not let its configuration be read"
    )
    target_fpir: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Share of strangers named, where request and gallery are silent",
    )
    drain_delay: float = Field(
        1.0, ge=0, description="Seconds after SIGTERM in which, unready, it still takes requests"
    )
    on_suspicion: Literal["warn", "refuse", "ignore"] = Field(
        "warn",
        description="What becomes of a sample that seems to be somebody else's: `warn`, `refuse` "
        "or `ignore`",
    )
    bulk_searched_up_to: int = Field(
        5000,
        ge=0,
        description="Samples of a gallery up to which each line of a bulk is looked for under "
        "other names, where that is only to warn",
    )
    bulk_unread_bytes: int = Field(
        2**26,
        gt=0,
        description="Bytes of answers to a bulk that wait for a client who sends first",
    )
    drain_timeout: float = Field(
        10.0, gt=0, description="Seconds after SIGTERM in which requests in flight may end"
    )
    metrics_galleries: str = Field(
        "default", description="Galleries with series of their own (at most 20), by commas"
    )
    canary_interval: float = Field(
        3600.0,
        ge=0,
        description="Seconds between two replays of known strangers and test vectors; 0: none",
    )
    strict: bool = Field(
        default=False,
        description="Refuse to start where there would be a warning: others may change a bundle's "
        "folder, Redis is asked over the network without a password, or no keys are set beyond "
        "loopback",
    )
    allow_debuggers: bool = Field(
        default=False,
        description="Let programs of the same user read the service's memory, as profilers do",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line that is written"
    )

    @model_validator(mode="after")
    def _refuses_strangers_without_keys(self) -> Self:
        if self._serves_strangers() and not self.allow_keyless:
            raise ValueError(
                f"KINDRED_HOST={self.host} is not loopback and no KINDRED_API_KEYS are set; "
                "set keys, or KINDRED_ALLOW_KEYLESS=true to serve everybody who can connect"
            )
        return self

    @model_validator(mode="after")
    def _names_authorities_of_tls_only(self) -> Self:
        url = self.redis_url.get_secret_value() if self.redis_url else ""
        if self.redis_ca_file and not url.startswith("rediss://"):
            raise ValueError("KINDRED_REDIS_CA_FILE is set, and KINDRED_REDIS_URL is no rediss://")
        return self

    @model_validator(mode="after")
    def _leaves_each_process_a_port(self) -> Self:
        if self.processes > 1 and self.port and self.port + self.processes > 65535:
            raise ValueError(f"KINDRED_PORT: expected at most {65535 - self.processes}")
        return self

    @model_validator(mode="after")
    def _names_a_store(self) -> Self:
        url = urlsplit(self.redis_url.get_secret_value()) if self.redis_url else None
        if url and url.scheme not in STORE_SCHEMES:
            raise ValueError(f"KINDRED_REDIS_URL: expected one of {', '.join(STORE_SCHEMES)}")
        if url and url.scheme == "redis+sentinel" and not (url.netloc and url.path.strip("/")):
            raise ValueError("KINDRED_REDIS_URL: expected redis+sentinel://host:port,…/name")
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host in LOOPBACK_NAMES

    def store_url(self) -> str | None:
        """Return where Redis is, with the authorities that its certificate must lead to."""
        if self.redis_url is None:
            return None
        url = self.redis_url.get_secret_value()
        if self.redis_ca_file is None:
            return url
        authorities = urlencode({"ssl_ca_certs": self.redis_ca_file})
        return f"{url}{'&' if urlsplit(url).query else '?'}{authorities}"

    def doubts(self) -> list[str]:
        """Return what of these settings lets in whoever can connect."""
        told = {
            "KINDRED_HOST is not loopback and no keys are set: whoever can connect is served": (
                self._serves_strangers()
            ),
            "KINDRED_REDIS_URL reaches Redis over the network as its default user without a "
            "password: whoever can connect to it may read and write every gallery": (
                self._trusts_the_network()
            ),
        }
        return [doubt for doubt, there in told.items() if there]

    def _serves_strangers(self) -> bool:
        return not (self.is_loopback or self.keys_file or self.keys())

    def _trusts_the_network(self) -> bool:
        """Whether Redis is reached over the network as the user that needs no password."""
        url = urlsplit(self.redis_url.get_secret_value() if self.redis_url else "unix:")
        if url.scheme == "unix":
            return False
        # Not `url.hostname` and so on: Sentinels are several hosts.
        name, _, password = url.netloc.rpartition("@")[0].partition(":")
        told = dict(parse_qsl(url.query))
        name, password = name or told.get("username", ""), password or told.get("password", "")
        return name in ("", "default") and not password

    def keys(self) -> tuple[str, ...]:
        """Return the API keys of the environment and of the file."""
        lines = self.api_keys_file.read_text().splitlines() if self.api_keys_file else []
        candidates = [*self.api_keys.get_secret_value().split(","), *lines]
        return tuple(key.strip() for key in candidates if key.strip())


def environment(**changed: object) -> dict[str, str]:
    """Return the environment of this process with some settings changed, for another."""
    told = {f"KINDRED_{name.upper()}": str(value) for name, value in changed.items()}
    return dict(os.environ) | told  # noqa: TID251 - nobody else may read it


def split(names: str) -> tuple[str, ...]:
    """Return the names of a list by commas."""
    return tuple(name.strip() for name in names.split(",") if name.strip())
