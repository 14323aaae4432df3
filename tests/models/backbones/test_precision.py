"""Which precision a run takes, and what is refused or said."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import ConfigError
from models.backbones import precision as module
from models.backbones.encoder import make_encoder
from models.backbones.fingerprint import BackboneFingerprint
from models.backbones.precision import choose_precision, slow_note
from models.backbones.registry import Backbone
from models.backbones.tensorflow_encoder import TensorFlowEncoder
from models.matrix_units import matrix_unit

PLAIN = BackboneFingerprint(name="plain", digest="0" * 64, dim=8)
CUSTOM = BackboneFingerprint(name="custom", digest="0" * 64, dim=8, architecture="custom")
QUANTIZED = BackboneFingerprint(name="plain-int8", digest="1" * 64, dim=8, quantized=True)


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch):
    """Sets what the processor has; there is no GPU."""
    monkeypatch.setattr(module, "has_nvidia", lambda: False)

    def has(*flags: str) -> None:
        monkeypatch.setattr("models.matrix_units.cpu_flags", lambda: frozenset(flags))

    return has


def test_auto_is_bfloat16_where_the_processor_computes_in_it(
    processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor("avx512f", "avx512_bf16", "amx_bf16")
    assert choose_precision("auto", PLAIN) == "bfloat16"
    assert choose_precision("auto", PLAIN, runtime="tensorflow") == "float32"
    assert choose_precision("auto", CUSTOM) == "float32"
    assert choose_precision("auto", QUANTIZED) == "int8"
    processor("avx512f", "avx512_bf16")
    assert choose_precision("auto", PLAIN) == "bfloat16"
    processor("avx512f")
    assert choose_precision("auto", PLAIN) == "float32"
    assert choose_precision("bfloat16", PLAIN) == "bfloat16"


@pytest.mark.parametrize(
    ("unit", "variable", "limit", "chosen"),
    [
        ("amx_bf16", "ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", "float32"),
        ("amx_bf16", "ONEDNN_MAX_CPU_ISA", "AVX512_CORE_AMX", "bfloat16"),
        ("avx512_bf16", "ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", "bfloat16"),
        ("avx512_bf16", "ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI", "float32"),
        ("avx512_bf16", "DNNL_MAX_CPU_ISA", "avx2", "float32"),
        ("avx512_bf16", "ONEDNN_MAX_CPU_ISA", "default", "bfloat16"),
        ("avx512_bf16", "TF_ENABLE_ONEDNN_OPTS", "0", "bfloat16"),
    ],
)
def test_auto_heeds_what_onednn_may_use(
    processor, monkeypatch: pytest.MonkeyPatch, unit: str, variable: str, limit: str, chosen: str
) -> None:
    processor("avx512f", unit)
    monkeypatch.setenv(variable, limit)
    assert choose_precision("auto", PLAIN) == chosen


def test_auto_is_float32_on_a_gpu_or_without_openvino(
    processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor("amx_bf16")
    monkeypatch.setattr(module, "has_openvino", lambda: False)
    assert choose_precision("auto", PLAIN) == "float32"
    monkeypatch.setattr(module, "has_openvino", lambda: True)
    assert choose_precision("auto", PLAIN) == "bfloat16"
    monkeypatch.setattr(module, "has_nvidia", lambda: True)
    assert choose_precision("auto", PLAIN) == "float32"


def test_int8_and_a_quantized_backbone_belong_together() -> None:
    assert choose_precision("int8", QUANTIZED) == "int8"
    with pytest.raises(ConfigError, match="unmask quantize MANIFEST -o FOLDER"):
        choose_precision("int8", PLAIN)
    with pytest.raises(ConfigError, match="plain-int8 is quantized to int8"):
        choose_precision("bfloat16", QUANTIZED)


def test_a_processor_without_the_unit_is_told_of(processor) -> None:
    processor("avx512_bf16", "amx_int8", "avx512_vnni")
    assert (matrix_unit("bfloat16"), matrix_unit("int8")) == ("avx512_bf16", "amx_int8")
    assert not slow_note("bfloat16")
    processor("avx2")
    assert "no unit for bfloat16" in slow_note("bfloat16")
    assert "no unit for int8" in slow_note("int8")
    assert not slow_note("float32")


def test_bfloat16_without_openvino_rounds_likewise_on_tensorflow(
    thin: Backbone, crops: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = make_encoder(thin, batch_size=4, precision="bfloat16")(crops)
    exact = make_encoder(thin, batch_size=4)(crops)
    monkeypatch.setattr("models.backbones.encoder.has_bfloat16", lambda: False)
    simulated = make_encoder(thin, batch_size=4, precision="bfloat16")
    assert isinstance(simulated, TensorFlowEncoder)
    found = simulated(crops)
    assert np.abs(found - exact).max() > 1e-3 * np.abs(exact).max()  # it rounds
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(usual, axis=1)
    assert ((found * usual).sum(axis=1) / lengths).min() > 0.9995
    np.testing.assert_array_equal(simulated(crops), found)


def test_an_encoder_refuses_the_precision_of_another_network(thin: Backbone) -> None:
    with pytest.raises(ConfigError, match="resnet50-thin is not quantized to int8"):
        make_encoder(thin, batch_size=4, precision="int8")
    with pytest.raises(ConfigError, match="float16 needs TensorFlow on a GPU"):
        make_encoder(thin, batch_size=4, precision="float16")
    with pytest.raises(ConfigError, match="float16 is TensorFlow's"):
        make_encoder(thin, batch_size=4, precision="float16", runtime="openvino")
