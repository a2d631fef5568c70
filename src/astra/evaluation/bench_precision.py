"""What smaller numbers would save: the eyes' graphs in int8, fp16 and bf16 beside fp32, their CPU time and what they then see."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.paths import share_dir
from astra.core.types import AnyArray
from astra.datasets.samples import Sample
from astra.evaluation.bench_local import BenchLocalConfig, measure
from astra.evaluation.bench_report import Result, write_report
from astra.evaluation.occupancy import ride_counts, total
from astra.evaluation.occupancy_table import EyesTableConfig, rides
from astra.local_model.runtime import FORECAST_FILE, LOOK_FILE, SETTLE_FILE, Eyes, EyesConfig
from astra.sim.robot import RobotConfig

GRAPHS = (LOOK_FILE, SETTLE_FILE, FORECAST_FILE)
BF16_OPSET = 22  # the first in which a convolution may be of bf16
PRECISIONS = ("fp32", "int8", "fp16", "bf16")


@dataclass(frozen=True, slots=True)
class PrecisionConfig:
    """What is compared on what; rides of one set calibrate int8, others are measured."""

    samples: Path
    eyes: Path = Path("models/eyes")
    calibrating: int = 2  # rides
    rides: int = 4  # measured
    ticks: int = 60

    def __post_init__(self) -> None:
        require(self.calibrating >= 1, "calibrating", self.calibrating, "at least 1")
        require(self.rides >= 1, "rides", self.rides, "at least 1")
        require(self.ticks >= 10, "ticks", self.ticks, "at least 10")


def run(config: PrecisionConfig, out: Path, told: Callable[[str], None]) -> list[Result]:
    """Convert, measure and write the report.

    Raises:
        BadInputError: no exported eyes, or no validation rides.
    """
    folder = config.eyes if config.eyes.is_absolute() or config.eyes.is_dir() else share_dir() / config.eyes
    some = [ride for _, ride in rides(EyesTableConfig(split="validate", rides=1, samples=config.samples), told)]
    calibrating, measured = some[: config.calibrating], some[config.calibrating :][: config.rides]
    results, notes = [], []
    for precision in PRECISIONS:
        place = out / precision
        try:
            converted(folder, place, precision, calibrating)
            results += _figures(place, precision, measured, config)
            told(f"{precision}: {results[-2].value:.1f} ms, obstacle IoU {results[-1].value:.3f}")
        except Exception as error:  # what ONNX Runtime cannot run is a result, of whatever kind its error is
            notes.append(f"{precision}: not run: {str(error).splitlines()[0]}")
            told(notes[-1])
    looks = sum(len(ride) for ride in measured)
    about = f"CPU time of a tick with forecast, one thread; obstacle IoU within 4 m of {looks} looks of validation worlds. " + " ".join(notes)
    write_report(results, out, "What smaller numbers would save", about)
    return results


def converted(folder: Path, place: Path, precision: str, rides: Sequence[Sequence[Sample]]) -> None:
    """A copy of exported eyes in another precision; int8 is calibrated by rides (static, per channel, seven bits, as processors without VNNI need)."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
    names = [name for name in GRAPHS if (place / name).is_file()]
    fed = _fed(folder, rides) if precision == "int8" else {}
    for name in names:
        path = place / name
        if precision == "int8":
            _to_int8(path, fed[name])
        elif precision != "fp32":
            _to_halves(path, precision)


def _figures(place: Path, precision: str, rides: Sequence[Sequence[Sample]], config: PrecisionConfig) -> list[Result]:
    cpu = measure(Eyes(place, RobotConfig().rig(), EyesConfig()), BenchLocalConfig(ticks=config.ticks))[1] * 1e3
    counts = total(ride_counts(Eyes(place, ride[0].shard.rig(ride[0].image.shape[1:3])), ride)[0] for ride in rides)
    size = sum((place / name).stat().st_size for name in GRAPHS if (place / name).is_file()) / 1e6
    return [
        Result(f"{precision}_size", size, "MB"), Result(f"{precision}_cpu_p50", float(np.median(cpu)), "ms", len(cpu)),
        Result(f"{precision}_obstacle_iou_4m", counts.obstacle_iou("wide"), "", len(rides)),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Recorder:
    """A graph, and what it is fed with."""

    graph: Any
    fed: list[dict[str, AnyArray]]

    def run(self, names: None, feed: dict[str, AnyArray]) -> list[AnyArray]:
        self.fed.append(feed)
        out: list[AnyArray] = self.graph.run(names, feed)
        return out


def _fed(folder: Path, rides: Sequence[Sequence[Sample]]) -> dict[str, list[dict[str, AnyArray]]]:
    """Graph → what it was fed with, every third look of the rides."""
    fed: dict[str, list[dict[str, AnyArray]]] = {name: [] for name in GRAPHS}
    for ride in rides:
        eyes = Eyes(folder, ride[0].shard.rig(ride[0].image.shape[1:3]))
        eyes.graphs = {name: _Recorder(graph, fed[name]) for name, graph in eyes.graphs.items()}
        ride_counts(eyes, ride)
    return {name: feeds[::3] for name, feeds in fed.items()}


def _to_int8(path: Path, feeds: list[dict[str, AnyArray]]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[dict[str, AnyArray]] = iter(feeds)

        def get_next(self) -> dict[str, AnyArray] | None:
            return next(self._left, None)

    prepared = path.with_suffix(".prepared.onnx")
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared), str(path), Reader(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True, op_types_to_quantize=["Conv", "MatMul"],
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    prepared.unlink()


def _to_halves(path: Path, precision: str) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    if precision == "fp16":
        onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)
        return
    onnx.save(_in_bfloat16(onnx.load(path)), path)


def _in_bfloat16(model: Any) -> Any:
    """The graph with casts around its convolutions and products of matrices."""
    from onnx import TensorProto, helper

    nodes = []
    for node in model.graph.node:
        if node.op_type not in ("Conv", "MatMul"):
            nodes.append(node)
            continue
        for k, name in enumerate(node.input):
            cast = f"{node.name}_{k}_bf16"
            nodes.append(helper.make_node("Cast", [name], [cast], to=TensorProto.BFLOAT16))
            node.input[k] = cast
        wanted = node.output[0]
        node.output[0] = f"{wanted}_bf16"
        nodes += [node, helper.make_node("Cast", [f"{wanted}_bf16"], [wanted], to=TensorProto.FLOAT)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.opset_import[0].version = BF16_OPSET
    return model
