"""What the multimodal steps ask of a language model: one conversation in, one JSON text out, wherever the model runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from astra.core.errors import AstraError
from astra.core.types import UInt8Array


class ModelUnavailableError(AstraError):
    """The language model could not be asked: server down, too slow, or an answer that is no answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Conversation:
    """A prompt: what the model is (`system`), then texts and images (H, W, 3) uint8 RGB in the order in which they are shown.

    `schema` is the JSON schema of the answer, `max_tokens` its longest length.
    """

    system: str
    parts: tuple[str | UInt8Array, ...]
    schema: dict[str, Any]
    max_tokens: int = 768

    @property
    def images(self) -> tuple[UInt8Array, ...]:
        """The images alone."""
        return tuple(part for part in self.parts if not isinstance(part, str))

    @property
    def text(self) -> str:
        """All texts, each image replaced by a mark; for logs and tests."""
        return "\n".join(part if isinstance(part, str) else "<image>" for part in self.parts)


class ChatModel(Protocol):
    """A multimodal language model; `qwen2_5_vl.LocalQwen` and `server.RemoteModel` are two."""

    @property
    def name(self) -> str:
        """A short name for records."""
        ...

    def complete(self, conversation: Conversation) -> str:
        """The model's answer as text.

        Raises:
            ModelUnavailableError: no answer could be had.
        """
        ...
