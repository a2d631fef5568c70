"""Qwen2.5-VL in this process: the stock 3B/7B weights, our fine-tunes or LoRA adapters on them, from a folder or a hub name."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.global_model.backends.chat import Conversation, ModelUnavailableError


@dataclass(frozen=True, slots=True)
class QwenConfig:
    """Which weights, on which device, and how they are read."""

    model: str = ""  # a folder, or a hub name such as Qwen/Qwen2.5-VL-3B-Instruct
    adapter: str = ""  # a LoRA adapter's folder or hub name (needs peft)
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    dtype: str = "auto"  # auto, float32, bfloat16, float16
    quantization: str = "none"  # none, 8bit, 4bit (needs bitsandbytes and CUDA)
    constrained: bool = True  # only tokens that keep the answer within its schema are drawn
    max_image_side_px: int = 1024
    local_files_only: bool = False

    def __post_init__(self) -> None:
        require(self.dtype in ("auto", "float32", "bfloat16", "float16"), "dtype", self.dtype, "one of auto, float32, bfloat16, float16")
        require(self.quantization in ("none", "8bit", "4bit"), "quantization", self.quantization, "one of none, 8bit, 4bit")
        require(56 <= self.max_image_side_px <= 4096, "max_image_side_px", self.max_image_side_px, "between 56 and 4096")


class LocalQwen:
    """`ChatModel` on `Qwen2_5_VLForConditionalGeneration`; loads at the first question, answers one at a time.

    Raises:
        BadInputError: no model is named.
    """

    def __init__(self, config: QwenConfig) -> None:
        if not config.model:
            raise BadInputError("the qwen2_5_vl backend needs model: a folder with Qwen2.5-VL weights, or a hub name")
        self.config = config
        self._loaded: tuple[Any, Any, Any] | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The model's name."""
        return Path(self.config.model).name

    def complete(self, conversation: Conversation) -> str:
        """The most likely answer (greedy)."""
        import torch

        with self._lock:
            model, processor, tokenizer = self._load()
            inputs = processor.apply_chat_template(
                self._messages(conversation), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            ).to(model.device)
            logits = [_SchemaMask(tokenizer, conversation.schema)] if self.config.constrained else []
            with torch.inference_mode():
                tokens = model.generate(**inputs, max_new_tokens=conversation.max_tokens, do_sample=False, logits_processor=logits)
            return str(processor.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0])

    def _messages(self, conversation: Conversation) -> list[dict[str, Any]]:
        content: list[dict[str, Any]] = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": self._picture(part)} for part in conversation.parts
        ]
        schema = f"The answer's JSON schema: {json.dumps(conversation.schema)}"
        return [
            {"role": "system", "content": [{"type": "text", "text": conversation.system}]},
            {"role": "user", "content": [*content, {"type": "text", "text": schema}]},
        ]

    def _picture(self, rgb: np.ndarray[Any, Any]) -> Any:
        from PIL import Image

        image = Image.fromarray(rgb)
        image.thumbnail((self.config.max_image_side_px, self.config.max_image_side_px))
        return image

    def _load(self) -> tuple[Any, Any, Any]:
        """Model, processor and the grammar's view of the tokenizer."""
        if self._loaded is None:
            import torch
            from transformers import Qwen2_5_VLForConditionalGeneration

            c = self.config
            device = ("cuda" if torch.cuda.is_available() else "cpu") if c.device == "auto" else c.device
            dtype = ("bfloat16" if device.startswith("cuda") else "float32") if c.dtype == "auto" else c.dtype
            options: dict[str, Any] = {"dtype": getattr(torch, dtype), "local_files_only": c.local_files_only}
            if c.quantization != "none":
                from transformers import BitsAndBytesConfig

                options |= {"quantization_config": BitsAndBytesConfig(load_in_8bit=c.quantization == "8bit", load_in_4bit=c.quantization == "4bit")}
            try:
                processor = load_processor(c.model, local_files_only=c.local_files_only)
                model = Qwen2_5_VLForConditionalGeneration.from_pretrained(c.model, **options)
                if c.adapter:
                    model.load_adapter(c.adapter)
                model = (model if c.quantization != "none" else model.to(device)).eval()
            except (OSError, ValueError, ImportError, RuntimeError) as error:
                raise ModelUnavailableError(f"cannot load {c.model}: {error}") from error
            self._loaded = (model, processor, _grammar_tokenizer(processor.tokenizer, model))
        return self._loaded


def load_processor(model: str, *, local_files_only: bool = False) -> Any:
    """The model's processor; where the stock one fails for want of torchvision, one for images alone."""
    from transformers import AutoImageProcessor, AutoTokenizer, Qwen2_5_VLProcessor
    from transformers.processing_utils import ProcessorMixin

    try:
        return Qwen2_5_VLProcessor.from_pretrained(model, local_files_only=local_files_only)
    except (ImportError, ValueError, OSError):
        pass

    class ImageProcessor(Qwen2_5_VLProcessor):  # type: ignore[misc]
        """Without a video processor: the library reads from this signature what it must load."""

        def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None, **_: Any) -> None:
            self.image_token = getattr(tokenizer, "image_token", None) or "<|image_pad|>"
            self.video_token = getattr(tokenizer, "video_token", None) or "<|video_pad|>"
            self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
            self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=local_files_only)
    images = AutoImageProcessor.from_pretrained(model, local_files_only=local_files_only)
    return ImageProcessor(images, tokenizer, chat_template=tokenizer.chat_template)


class _SchemaMask:
    """Logits processor: forbids every token after which the text could no longer become an answer of the schema."""

    def __init__(self, tokenizer: Any, schema: dict[str, Any]) -> None:
        from llguidance import LLMatcher

        self._matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_json_schema(json.dumps(schema), {"whitespace_flexible": False}))
        self._tokenizer = tokenizer
        self._seen: int | None = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import llguidance.torch
        import torch

        length = int(input_ids.shape[1])
        if self._seen is not None:
            for token in input_ids[0, self._seen :].tolist():
                self._matcher.consume_token(int(token))
        self._seen = length
        mask = llguidance.torch.allocate_token_bitmask(1, self._tokenizer.vocab_size)
        llguidance.torch.fill_next_token_bitmask(self._matcher, mask, 0)
        bits = mask[0].numpy().view(np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[: scores.shape[1]].astype(bool)
        full = np.zeros(scores.shape[1], bool)
        full[: len(allowed)] = allowed
        return scores.masked_fill(~torch.from_numpy(full).to(scores.device), float("-inf"))


def _grammar_tokenizer(tokenizer: Any, model: Any) -> Any:
    import llguidance.hf

    return llguidance.hf.from_tokenizer(tokenizer, n_vocab=int(model.config.get_text_config().vocab_size), eos_token=tokenizer.eos_token_id)
