"""The client of OpenAI-compatible servers against a real server process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import AstraError
from astra.global_model.backends import prompts
from astra.global_model.backends.chat import ModelUnavailableError
from astra.global_model.backends.mllm import MllmBackend
from astra.global_model.backends.select import BackendConfig, make_backend
from astra.global_model.backends.server import TOKEN_VARIABLE, RemoteModel, ServerConfig
from astra.topomap.types import Landmark

SERVER = Path(__file__).parents[3] / "support" / "chat_server.py"
MARKS = [Landmark(2, "LOUNGE", True, "", "resting", np.zeros(3), 0.1, (1,), (10,))]


@contextmanager
def server(mode: str, **settings: object) -> Iterator[RemoteModel]:
    process = subprocess.Popen([sys.executable, str(SERVER), mode], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield RemoteModel(ServerConfig(url=f"http://127.0.0.1:{port}/v1", backoff_s=0.01, **settings))  # type: ignore[arg-type]
    finally:
        process.terminate()
        process.wait(10)


def test_a_goal_is_resolved_by_a_server() -> None:
    with server("ok") as model:
        backend = MllmBackend(model)
        assert [m.landmark_id for m in backend.resolve_goal("somewhere to rest", MARKS)] == [2]
        assert backend.unknown_ids == 1


def test_the_request_is_an_openai_chat_with_images_schema_and_the_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "secret-1")
    with server("echo") as model:
        asked = json.loads(model.complete(prompts.match_landmarks(np.zeros((160, 224, 3), np.uint8), MARKS)))
    assert asked["authorization"] == "Bearer secret-1" and "secret-1" not in repr(model.config)
    image, text = asked["messages"][1]["content"]
    assert image["image_url"]["url"].startswith("data:image/jpeg;base64,") and "LOUNGE" in text["text"]
    assert asked["response_format"]["json_schema"]["schema"]["title"] == "CoarseAnswer" and asked["temperature"] == 0.0


def test_a_busy_server_is_asked_again() -> None:
    with server("flaky", retries=2) as model:
        assert "lounge" in model.complete(prompts.resolve_goal("rest", MARKS))


@pytest.mark.parametrize(
    ("mode", "words"), [("garbage", "no chat completion"), ("huge", "exceeds"), ("denied", "status 401"), ("redirect", "status 307")]
)
def test_answers_that_are_none_are_named(mode: str, words: str) -> None:
    with server(mode, retries=0) as model, pytest.raises(ModelUnavailableError, match=words):
        model.complete(prompts.resolve_goal("rest", MARKS))


def test_a_slow_server_costs_no_more_than_the_deadline() -> None:
    with server("slow", timeout_s=0.3, deadline_s=0.8, retries=10) as model:
        began = time.monotonic()
        with pytest.raises(ModelUnavailableError):
            model.complete(prompts.resolve_goal("rest", MARKS))
        assert time.monotonic() - began < 2.5


def test_no_server_is_an_error_that_names_it() -> None:
    model = RemoteModel(ServerConfig(url="http://127.0.0.1:9/v1", retries=0))
    with pytest.raises(ModelUnavailableError, match=r"127\.0\.0\.1:9"):
        model.complete(prompts.resolve_goal("rest", MARKS))


def test_settings_are_checked() -> None:
    for bad in ({"url": "file:///etc/passwd"}, {"timeout_s": 0.0}, {"deadline_s": 1.0}, {"retries": -1}):
        with pytest.raises(AstraError):
            ServerConfig(**bad)  # type: ignore[arg-type]
    assert isinstance(make_backend(BackendConfig("server")), MllmBackend)
    with pytest.raises(AstraError, match="backend"):
        make_backend(BackendConfig("qwen2_5_vl"))
