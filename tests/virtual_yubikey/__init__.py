"""A YubiKey in software, behind a real pcscd: for tests with the maker's own tools and no hardware.

`bench` is what tests use. `room` is the process it starts: a private pcscd, two readers, and the cards in them. A card
is a `Card` (card.py) with the PIV applet (piv.py) over its memory (state.py), its keys (keys.py) and its attestation
certificates (authority.py).
"""
