"""What may differ between deployments, read once."""

import ipaddress
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK_NAMES = ("localhost", "localhost.localdomain")


class Settings(BaseSettings):
    """Every setting of the service, from the environment with the prefix `KINDRED_`.

    A test holds the table in README.md to the names, defaults and descriptions here.
    """

    model_config = SettingsConfigDict(env_prefix="KINDRED_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on; 0: a free one")
    redis_url: SecretStr | None = Field(
        None, description="Redis to keep galleries in; unset: an embedded server under `DATA_DIR`"
    )
    data_dir: Path = Field(
        Path("var"), description="Folder of the embedded store and of snapshots"
    )
    models_store: Path = Field(
        Path("models_store/bundles"), description="Folder of bundles, `<name>/<version>/` each"
    )
    default_comparator: str | None = Field(
        None,
        description="Comparator used when a request names none; unset: the first by name, "
        "of those with one encoder if there are any",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where encoders run: `auto`, `cpu` or `cuda`"
    )
    threads: int = Field(0, ge=0, description="Threads of one model run; 0: one per core")
    api_keys: SecretStr = Field(
        SecretStr(""), description="Keys that open the service, separated by commas; empty: off"
    )
    api_keys_file: Path | None = Field(
        None,
        description="File with more keys, one a line",
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
    max_aspect_ratio: float = Field(
        20.0, ge=1, description="Longer side of an image by its shorter"
    )
    max_audio_seconds: float = Field(120.0, gt=0, description="Seconds of one audio clip")
    max_audio_channels: int = Field(8, gt=0, description="Channels of one audio clip")
    max_characters: int = Field(20_000, gt=0, description="Characters of one text")
    decoders: int = Field(
        0, ge=0, description="Processes that decode samples; 0: four for each core, at most 32"
    )
    decode_seconds: float = Field(
        0.8, gt=0, description="Processor seconds that decoding one sample may take"
    )
    decode_memory: int = Field(
        64 * 2**20, ge=2**24, description="Bytes of memory that decoding one sample may take"
    )
    max_metadata_bytes: int = Field(4096, gt=0, description="Bytes of an identity's metadata")
    max_batch: int = Field(64, gt=0, description="Samples in one model run")
    queue_length: int = Field(
        1024, gt=0, description="Samples that may wait for the model before requests are refused"
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
    store_timeout: float = Field(
        5.0,
        gt=0,
        description="Seconds that the store may take to answer, or to make a write durable",
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
    drain_timeout: float = Field(
        10.0, gt=0, description="Seconds that requests in flight may take to end after SIGTERM"
    )
    metrics_galleries: str = Field(
        "default", description="Galleries with series of their own (at most 20), by commas"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line that is written"
    )

    @model_validator(mode="after")
    def _refuses_strangers_without_keys(self) -> Self:
        if not (self.is_loopback or self.keys() or self.allow_keyless):
            raise ValueError(
                f"KINDRED_HOST={self.host} is not loopback and no KINDRED_API_KEYS are set; "
                "set keys, or KINDRED_ALLOW_KEYLESS=true to serve everybody who can connect"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host in LOOPBACK_NAMES

    def keys(self) -> tuple[str, ...]:
        """Return the API keys of the environment and of the file."""
        lines = self.api_keys_file.read_text().splitlines() if self.api_keys_file else []
        candidates = [*self.api_keys.get_secret_value().split(","), *lines]
        return tuple(key.strip() for key in candidates if key.strip())


def split(names: str) -> tuple[str, ...]:
    """Return the names of a list by commas."""
    return tuple(name.strip() for name in names.split(",") if name.strip())
