"""Which backend answers: chosen by configuration, made here."""

from __future__ import annotations

from dataclasses import dataclass, field

from astra.core.config import require
from astra.global_model.backends.embedded import EmbeddedBackend, EmbeddedConfig
from astra.global_model.backends.mllm import MllmBackend, MllmConfig
from astra.global_model.backends.protocol import GlobalBackend
from astra.global_model.backends.qwen2_5_vl import LocalQwen, QwenConfig
from astra.global_model.backends.server import RemoteModel, ServerConfig

BACKENDS = ("embedded", "qwen2_5_vl", "server")


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """The backend by name, and the settings of each."""

    name: str = "embedded"
    embedded: EmbeddedConfig = field(default_factory=EmbeddedConfig)
    qwen2_5_vl: QwenConfig = field(default_factory=QwenConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    mllm: MllmConfig = field(default_factory=MllmConfig)

    def __post_init__(self) -> None:
        require(self.name in BACKENDS, "name", self.name, f"one of {', '.join(BACKENDS)}")


def make_backend(config: BackendConfig) -> GlobalBackend:
    """The configured backend; models load when they are first asked.

    Raises:
        BadInputError: the backend lacks a setting without which it cannot work.
    """
    if config.name == "qwen2_5_vl":
        return MllmBackend(LocalQwen(config.qwen2_5_vl), config.mllm)
    if config.name == "server":
        return MllmBackend(RemoteModel(config.server), config.mllm)
    return EmbeddedBackend(config.embedded)
