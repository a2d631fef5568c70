"""A .npy file that grows: rows are appended as they come, and the header is set right at the end."""

from __future__ import annotations

from io import BufferedWriter
from pathlib import Path
from types import TracebackType

import numpy as np

from astra.core.types import AnyArray

HEADER_BYTES = 256  # room for any shape; a multiple of 64, as the format asks for


class NpyColumn:
    """A context manager that writes rows of one shape and type to `path`, readable by `numpy.load(path, mmap_mode="r")` once closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BufferedWriter | None = None
        self._row: tuple[np.dtype[np.generic], tuple[int, ...]] | None = None
        self.rows = 0

    def __enter__(self) -> NpyColumn:
        self._file = self._path.open("wb")
        self._file.write(bytes(HEADER_BYTES))
        return self

    def append(self, row: AnyArray) -> None:
        """Write one row."""
        assert self._file is not None
        row = np.asarray(row, order="C")
        if self._row is None:
            self._row = row.dtype, row.shape
        if (row.dtype, row.shape) != self._row:
            raise ValueError(f"{self._path.name}: a row of {row.dtype} {row.shape} after rows of {self._row[0]} {self._row[1]}")
        self._file.write(row.tobytes())
        self.rows += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._file is not None
        kind_of_row, shape = self._row or (np.dtype(np.uint8), ())
        text = repr({"descr": np.lib.format.dtype_to_descr(kind_of_row), "fortran_order": False, "shape": (self.rows, *shape)})
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little") + text.ljust(HEADER_BYTES - 11).encode() + b"\n")
        self._file.close()
