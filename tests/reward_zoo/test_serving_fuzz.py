"""Whatever is sent, the server answers with a reason and stays up."""

import base64
import io
import json
import struct

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from reward_zoo.serving.protocol import HEADER, JSON, SAFETENSORS
from tests.tiny.serving import Serving

SPECS = ("brightness", "color_target", "jpeg_compressibility")


@pytest.fixture(scope="module")
def served():
    with Serving(*SPECS, max_body_mb=0.1, max_images=8) as server, httpx.Client(base_url=server.url) as client:
        yield client


def png(width, height, mode):
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([*SPECS, "ocr", ""]) | anything
texts = st.none() | st.text(max_size=8) | st.lists(st.sampled_from(["red", '"A"', ""]) | anything, max_size=3)
pictures = st.builds(png, st.integers(1, 9), st.just(7), st.sampled_from(["RGB", "RGBA", "L", "1", "P", "I;16"]))
lists_of_pictures = st.lists(st.sampled_from([png(5, 7, "RGB")]) | pictures | anything, max_size=3) | anything
questions = st.fixed_dictionaries(
    {"reward": names, "images": lists_of_pictures},
    optional={
        "prompts": texts,
        "targets": texts,
        "metadata": st.lists(anything, max_size=3),
        "references": lists_of_pictures,
        "more": anything,
    },
)


@st.composite
def safetensors_files(draw):
    """Headers that nearly fit, tensors of any type and shape, lengths that lie."""
    header, offset = {"__metadata__": draw(st.builds(lambda asked: {"request": json.dumps(asked)}, questions) | anything)}, 0
    for name in draw(st.lists(st.sampled_from(["images", "references", "latents", "other"]), unique=True, max_size=3)):
        dtype, width = draw(st.sampled_from([("F32", 4), ("U8", 1), ("F16", 2), ("BOOL", 1), ("I64", 8), ("F64", 8), ("Q", 3)]))
        shape = draw(st.lists(st.integers(0, 5), max_size=4) | st.sampled_from([[1, 3, 4, 4], [2, 3, 4, 4]]))
        size = width
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    length = draw(st.just(len(text)) | st.integers(0, 2**64 - 1))
    data = draw(st.binary(min_size=min(offset, 8), max_size=8)) * (offset // 8 + 1)
    return struct.pack("<Q", length) + text + data[: offset + draw(st.sampled_from([0, 0, 0, 1, -1]))]


bodies = st.one_of(
    st.tuples(st.just(JSON), questions.map(lambda asked: json.dumps(asked).encode())),
    st.tuples(st.just(SAFETENSORS), safetensors_files()),
    st.tuples(
        st.sampled_from([JSON, SAFETENSORS, "application/x-pickle", "", "text/plain; charset=x"]), st.binary(max_size=200)
    ),
    st.tuples(st.just(JSON), st.integers(1, 30_000).map(lambda depth: b"[" * depth)),
    st.tuples(st.just(SAFETENSORS), st.integers(100_000, 200_000).map(bytes)),
)


def stays_up(served, body):
    media_type, content = body
    answer = served.post("/score", content=content, headers={"Content-Type": media_type}, timeout=20)
    assert answer.headers[HEADER] == "1"
    said = answer.json()
    if answer.status_code == 200:
        assert len(said["values"]) == len(said["valid"]) == len(said["errors"]) > 0
    else:
        assert answer.status_code in (404, 413, 415, 422), (answer.status_code, said)
        assert said["error"]
    assert served.get("/health").json()["waiting"] == 0


quiet = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=50, **quiet)
@given(bodies)
def test_fuzzed_bodies(served, body):
    stays_up(served, body)


@pytest.mark.slow
@settings(max_examples=1000, **quiet)
@given(bodies)
def test_a_thousand_fuzzed_bodies(served, body):
    stays_up(served, body)
