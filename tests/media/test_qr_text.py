"""What stands in codes: frames, signatures, and base45; what is malformed is no code of Vestry's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zxingcpp import BarcodeFormat, BarcodeFormats, read_barcodes

from vestry.media import qr, qr_text
from vestry.media.qr_text import Frame
from vestry.metadata.document import Signature


@pytest.mark.parametrize(
    ("data", "text"), [(b"AB", "BB8"), (b"Hello!!", "%69 VD92EX0"), (b"base-45", "UJCLQE7W581"), (b"ietf!", "QED8WEX0")]
)
def test_base45_is_that_of_rfc_9285(data: bytes, text: str) -> None:
    """Without it others could not read the codes."""
    assert qr_text.base45(data) == text
    assert qr_text.unbase45(text) == data


@given(st.binary(max_size=200))
def test_base45_gives_back_what_it_took(data: bytes) -> None:
    """Without it a frame could change on its way."""
    assert qr_text.unbase45(qr_text.base45(data)) == data


@pytest.mark.parametrize("text", ["A", "GGW", "ZZZ", "::", "abc", "AB\n", "0000"])
def test_what_base45_never_makes_is_refused(text: str) -> None:
    """Without it several texts would stand for one packet."""
    assert qr_text.unbase45(text) is None


def test_a_frame_is_laid_out_as_specified() -> None:
    """Without it the specification in docs/formats.md would be of something else."""
    frame = Frame(b"\xab\xcd\xef", 8259, 77, bytes(range(120)))
    text = frame.text()
    assert text.startswith("VQ1")
    raw = qr_text.unbase45(text[3:])
    assert raw is not None
    assert raw[:8].hex() == f"{8259 - 1:05x}{77:05x}abcdef"
    assert raw[8:] == bytes(range(120))
    assert qr_text.frame(text) == frame
    assert frame.enough == 69


@pytest.mark.parametrize("version", qr.VERSIONS)
def test_frames_fill_their_codes(version: int) -> None:
    """Without it a frame could be too long for its code, or waste it."""
    size = qr_text.packet_length(qr.room(version))
    text = Frame(b"abc", qr_text.PAYLOAD_LIMIT, 0, bytes(size)).text()
    assert qr.room(version) - 13 < len(text) <= qr.room(version)
    assert size % 8 == 0
    assert qr.smallest(text, qr.VERSIONS) == version
    # All zeros: some encoders divide by nought there.
    matrix = qr.matrix(text, version=version)
    side = len(matrix) * 4
    grey = b"".join(b"".join(b"\0\0\0\0" if dark else b"\xff\xff\xff\xff" for dark in row) * 4 for row in matrix)
    found = read_barcodes(memoryview(grey).cast("B", (side, side)), formats=BarcodeFormats(BarcodeFormat.QRCode))
    assert [code.text for code in found] == [text]


def hostile() -> dict[str, str]:
    head = (99 << 44 | 5 << 24).to_bytes(8, "big")
    huge = ((1 << 20) - 1 << 44).to_bytes(8, "big")
    return {
        "empty": "",
        "another": "HTTPS://EXAMPLE.ORG",
        "no header": "VQ1",
        "a header alone": "VQ1" + qr_text.base45(head),
        "a packet that is not aligned": "VQ1" + qr_text.base45(head + b"1234567"),
        "more packets than anybody sends": "VQ1" + qr_text.base45(huge + bytes(8)),
        "a version to come": "VQ2" + qr_text.base45(head + bytes(8)),
        "lower case": "vq1" + qr_text.base45(head + bytes(8)),
        "no base45": "VQ1::::::",
        "too long": "VQ1" + "0" * 9000,
        "a key id alone": "VS1" + qr_text.base45(bytes(32)),
        "bytes above": "VQ1\u0660\u0661\u0662",
    }


@pytest.mark.parametrize("name", hostile())
def test_hostile_codes_are_nothing(name: str) -> None:
    """Without it a picture could make the reader allocate, wait or stumble."""
    assert qr_text.frame(hostile()[name]) is None
    assert qr_text.signature(hostile()[name]) is None


@given(st.text(max_size=60).map(lambda t: "VQ1" + t) | st.text(max_size=60).map(lambda t: "VS1" + t))
def test_no_text_makes_the_reader_stumble(text: str) -> None:
    """Without it a code could end the program with a traceback."""
    frame, signature = qr_text.frame(text), qr_text.signature(text)
    assert frame is None or frame.text() == text
    assert signature is None or qr_text.signature_text(signature) == text


@pytest.mark.parametrize(("scheme", "length", "version"), [("ecdsa-sha2-nistp256", 72, 6), ("ed25519", 64, 5)])
def test_one_signature_is_one_code_at_80x24(scheme: str, length: int, version: int) -> None:
    """Without it a holder with the usual key could not answer with a single picture."""
    signature = Signature("ab" * 32, "cd" * length)
    text = qr_text.signature_text(signature)
    assert qr.smallest(text, qr.VERSIONS) == version
    assert qr_text.signature(text) == signature
