"""Any OpenAI-compatible server (vLLM, SGLang, Ray Serve) as a `ChatModel`: how one GPU serves a fleet."""

from __future__ import annotations

import base64
import logging
import os
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

import cv2
import numpy as np

from astra.core.config import require
from astra.core.types import UInt8Array
from astra.global_model.backends.chat import Conversation, ModelUnavailableError

logger = logging.getLogger(__name__)
TOKEN_VARIABLE = "ASTRA_MLLM_TOKEN"
RETRY_STATUS = (408, 429, 500, 502, 503, 504)
MAX_BYTES = 1_000_000  # of an answer


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the server is and how patient we are. The bearer token comes from $ASTRA_MLLM_TOKEN alone."""

    url: str = "http://127.0.0.1:8000/v1"
    model: str = "Qwen/Qwen2.5-VL-3B-Instruct"
    timeout_s: float = 20.0  # of one attempt
    deadline_s: float = 45.0  # of all attempts together
    retries: int = 2
    backoff_s: float = 0.5  # before the first retry; doubles with each
    jpeg_quality: int = 90
    schema: bool = True  # send the answer's JSON schema (guided decoding)

    def __post_init__(self) -> None:
        require(urlparse(self.url).scheme in ("http", "https") and bool(urlparse(self.url).hostname), "url", self.url, "an http:// or https:// URL")
        require(0.1 <= self.timeout_s <= 600.0, "timeout_s", self.timeout_s, "between 0.1 and 600")
        require(self.timeout_s <= self.deadline_s <= 3600.0, "deadline_s", self.deadline_s, "between timeout_s and 3600")
        require(0 <= self.retries <= 10, "retries", self.retries, "between 0 and 10")
        require(0.0 <= self.backoff_s <= 60.0, "backoff_s", self.backoff_s, "between 0 and 60")
        require(30 <= self.jpeg_quality <= 100, "jpeg_quality", self.jpeg_quality, "between 30 and 100")


class RemoteModel:
    """Asks `POST {url}/chat/completions`; transient failures are tried again, nothing is ever sent to another host."""

    def __init__(self, config: ServerConfig | None = None) -> None:
        self.config = config or ServerConfig()

    @property
    def name(self) -> str:
        """The model's name at its server."""
        return f"{self.config.model} at {urlparse(self.config.url).netloc}"

    def complete(self, conversation: Conversation) -> str:
        """The server's answer."""
        body = self._body(conversation)
        began, pause, problem = time.monotonic(), self.config.backoff_s, ""
        for attempt in range(self.config.retries + 1):
            left = self.config.deadline_s - (time.monotonic() - began)
            if left <= 0.0:
                break
            if attempt > 0:
                time.sleep(min(pause, left))
                pause *= 2.0
            answer, problem, final = self._post(body, min(self.config.timeout_s, left))
            if answer is not None:
                return answer
            if final:
                break
            logger.warning("%s: %s", self.name, problem)
        raise ModelUnavailableError(f"{self.name}: {problem or 'no time left'}")

    def _post(self, body: dict[str, Any], timeout_s: float) -> tuple[str | None, str, bool]:
        """(answer, problem, whether trying again is of no use)."""
        import requests

        token = os.environ.get(TOKEN_VARIABLE, "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.config.url.rstrip('/')}/chat/completions"
        until = time.monotonic() + timeout_s
        try:
            with requests.post(url, json=body, headers=headers, timeout=timeout_s, allow_redirects=False, stream=True) as response:
                if response.status_code != 200:
                    return None, f"status {response.status_code}", response.status_code not in RETRY_STATUS
                raw = b""
                for chunk in response.iter_content(65536):
                    raw += chunk
                    if len(raw) > MAX_BYTES:
                        return None, f"the answer exceeds {MAX_BYTES} bytes", True
                    if time.monotonic() > until:
                        return None, f"no whole answer within {timeout_s:.1f} s", False
        except requests.RequestException as error:
            return None, type(error).__name__, False
        return _content(raw)

    def _body(self, conversation: Conversation) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        for part in conversation.parts:
            if isinstance(part, str):
                content.append({"type": "text", "text": part})
            else:
                content.append({"type": "image_url", "image_url": {"url": self._data_url(part)}})
        body: dict[str, Any] = {
            "model": self.config.model,
            "messages": [{"role": "system", "content": conversation.system}, {"role": "user", "content": content}],
            "max_tokens": conversation.max_tokens,
            "temperature": 0.0,
        }
        if self.config.schema:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": conversation.schema}}
        return body

    def _data_url(self, rgb: UInt8Array) -> str:
        _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, self.config.jpeg_quality])
        return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"


def _content(raw: bytes) -> tuple[str | None, str, bool]:
    import json

    try:
        text = json.loads(raw)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return None, "the answer is no chat completion", False
    return (text, "", False) if isinstance(text, str) else (None, "the answer holds no text", False)
