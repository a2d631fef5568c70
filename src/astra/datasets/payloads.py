"""Fingerprints of what was recorded, so that what is read back can be proved to be the same, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from astra.core.errors import BadInputError

KEY = "astra.payloads"  # in the bag's metadata
_MODULUS = 1 << 128


class Fingerprints:
    """One number a topic: the sum of its messages' digests, whatever their order."""

    def __init__(self) -> None:
        self._sums: dict[str, int] = {}

    def add(self, topic: str, received_ns: int, data: bytes | memoryview) -> None:
        """Count one serialized message in."""
        digest = hashlib.blake2b(received_ns.to_bytes(8, "little", signed=True), digest_size=16)
        digest.update(data)
        self._sums[topic] = (self._sums.get(topic, 0) + int.from_bytes(digest.digest(), "little")) % _MODULUS

    def text(self) -> str:
        """For the bag's metadata."""
        return json.dumps({topic: f"{value:032x}" for topic, value in sorted(self._sums.items())})

    def differing(self, texts: Mapping[str, str], source: str) -> tuple[str, ...] | None:
        """Topics whose messages are not those that were recorded; None if the bag does not say what was.

        Raises:
            BadInputError: the bag's metadata are damaged.
        """
        if KEY not in texts:
            return None
        try:
            recorded = {str(topic): int(value, 16) for topic, value in json.loads(texts[KEY]).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise BadInputError(f"{source}: damaged fingerprints in the bag's metadata: {error}") from error
        return tuple(sorted(t for t in recorded.keys() | self._sums.keys() if recorded.get(t, 0) != self._sums.get(t, 0)))
