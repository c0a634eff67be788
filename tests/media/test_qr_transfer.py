"""A transfer, from frames in any order, of several senders, damaged, and made to harm."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from vestry.errors import InputRejected
from vestry.media import qr, qr_cargo, qr_text, qr_transfer
from vestry.media.qr_text import Frame
from vestry.media.qr_transfer import AT_ONCE, Receiver, Sending
from vestry.metadata.document import Signature

ROOM = qr.room(6)


def sending(seed: int, length: int = 2000) -> Sending:
    return qr_transfer.send(random.Random(seed).randbytes(length), ROOM)


def content(sent: Sending) -> bytes:
    return sent.payload[32:]


def test_any_order_any_number_of_times() -> None:
    """Without it whoever films would have to film well."""
    sent, receiver = sending(1), Receiver()
    numbers = [*range(1000, 1000 + sent.enough + 3)] * 2
    random.Random(2).shuffle(numbers)
    news = [receiver.take(sent.text(n)) for n in numbers]
    assert receiver.contents == {sent.name: content(sent)}
    assert sum(news) <= sent.enough + 2
    assert receiver.progress() == ()


def test_two_transfers_are_told_apart() -> None:
    """Without it pictures of two bundles would give neither, or one made of both."""
    one, other, receiver = sending(1), sending(2, 2500), Receiver()
    for n in range(other.enough + 2):
        receiver.take(one.text(n))
        receiver.take(other.text(n))
    assert receiver.contents == {one.name: content(one), other.name: content(other)}


def test_a_window_made_larger_halfway_is_another_series() -> None:
    """Without it packets of two lengths would be mixed up."""
    small, large, receiver = sending(1), qr_transfer.send(content(sending(1)), qr.room(10)), Receiver()
    assert small.name == large.name
    for n in range(5):
        receiver.take(small.text(n))
        receiver.take(large.text(n))
    assert receiver.contents == {small.name: content(small)} or [p.have for p in receiver.progress()] == [5, 5]
    for n in range(5, small.enough):
        receiver.take(small.text(n))
    assert receiver.contents == {small.name: content(small)}


@pytest.mark.parametrize("when", [0, 9, 16])
def test_a_frame_that_was_changed_never_gives_a_wrong_payload(when: int) -> None:
    """Without it one forged frame could put other bytes into what arrives."""
    sent, receiver = sending(1), Receiver()
    for n in range(sent.enough + 1):
        text = sent.text(n)
        if n == when:
            frame = qr_text.frame(text)
            assert frame is not None
            text = Frame(frame.name, frame.length, frame.number, bytes([frame.packet[0] ^ 1]) + frame.packet[1:]).text()
        receiver.take(text)
    assert receiver.contents == {}
    assert receiver.spoilt == {sent.name}
    # What is shown after that is enough by itself.
    for n in range(500, 503 + sent.enough):
        receiver.take(sent.text(n))
    assert receiver.contents == {sent.name: content(sent)}
    assert receiver.spoilt == set()


def test_a_payload_under_another_name_is_not_taken() -> None:
    """Without it a transfer could pass for another in what people compare."""
    sent, receiver = sending(1), Receiver()
    for n in range(sent.enough):
        frame = qr_text.frame(sent.text(n))
        assert frame is not None
        receiver.take(Frame(b"abc", frame.length, frame.number, frame.packet).text())
    assert receiver.contents == {}
    assert receiver.spoilt == {b"abc".hex()}


def test_lying_frames_cost_little() -> None:
    """Without it a picture could make the reader allocate gigabytes, or push an honest transfer out."""
    honest, receiver, chance = sending(1), Receiver(), random.Random(3)
    for n in range(10):
        receiver.take(honest.text(n))
    tracemalloc.start()
    for n in range(60):
        length = (1 << 20) - n if n % 2 else 1 + n
        size = 1480 if n % 2 else 8
        text = Frame(chance.randbytes(3), length, chance.randrange(1 << 20), chance.randbytes(size)).text()
        if qr_text.frame(text) is not None:
            receiver.take(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20
    assert len(receiver.progress()) <= AT_ONCE
    for n in range(10, honest.enough):
        receiver.take(honest.text(n))
    assert content(honest) in receiver.contents.values()


def test_lengths_that_lie_about_a_transfer_are_another_transfer() -> None:
    """Without it a frame with another length under the same name could spoil an honest transfer."""
    sent, receiver = sending(1), Receiver()
    for n in range(sent.enough):
        frame = qr_text.frame(sent.text(n))
        assert frame is not None
        receiver.take(Frame(frame.name, frame.length + 1, frame.number, bytes(120)).text())
        receiver.take(sent.text(n))
    assert receiver.contents == {sent.name: content(sent)}


def test_signatures_arrive_beside_transfers_and_are_counted_once() -> None:
    """Without it a signature's code would need a reader of its own."""
    receiver, signature = Receiver(), Signature("ab" * 32, "cd" * 70)
    assert receiver.take(qr_text.signature_text(signature))
    assert not receiver.take(qr_text.signature_text(signature))
    assert not receiver.take("HTTPS://EXAMPLE.ORG")
    assert list(receiver.signatures) == [signature]
    assert receiver.codes == (2, 1)


def test_what_is_too_much_for_codes_is_not_begun() -> None:
    """Without it someone would hold a camera for an hour."""
    with pytest.raises(InputRejected, match=r"vestry export .*E-QR-LARGE"):
        qr_transfer.send(bytes(300_000), ROOM)
    with pytest.raises(InputRejected, match="E-QR-LARGE"):
        qr_transfer.send(bytes(1 << 20), qr.room(15))


def test_8_kib_takes_hardly_more_frames_than_it_has() -> None:
    """Without it the digest, the names and the frames' headers could cost more than the promised tenth."""
    own = -(-8192 // qr_text.packet_length(ROOM))
    files = {"b.bin": random.Random(8).randbytes(8192)}
    sent = qr_transfer.send(qr_cargo.pack(files), ROOM)
    chance, most = random.Random(30), 0
    for lost in [0.0] * 5 + [0.3] * 30:
        receiver, received, n = Receiver(), 0, chance.randrange(1000) if lost else 0
        while not receiver.contents:
            if chance.random() >= lost:
                receiver.take(sent.text(n))
                received += 1
            n += 1
        assert qr_cargo.unpack(receiver.contents[sent.name]) == files
        most = max(most, received)
    assert most <= 1.10 * own
