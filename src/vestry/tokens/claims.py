"""What Yubico's devices write into an attestation certificate, read strictly.

YubiKey PIV: arc 1.3.6.1.4.1.41482.3 (.3 firmware, three raw bytes; .7 serial, DER INTEGER; .8 PIN and touch policy,
two raw bytes; .9 form factor, one raw byte). YubiHSM 2: arc 1.3.6.1.4.1.41482.4 (.1 firmware, OCTET STRING of three;
.2 serial, INTEGER; .3 origin, BIT STRING; .4 domains; .5 capabilities, BIT STRING of 64; .6 object id, INTEGER; .9
label, UTF8String).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cryptography import x509

from vestry.text import Safe, printable

Product = Literal["YubiKey", "YubiHSM 2"]

_PIV, _HSM, _OPENPGP = "1.3.6.1.4.1.41482.3.", "1.3.6.1.4.1.41482.4.", "1.3.6.1.4.1.41482.5."
_INTEGER, _BIT_STRING, _OCTET_STRING, _UTF8 = 0x02, 0x03, 0x04, 0x0C
_POLICIES = {1: "never", 2: "once", 3: "always", 4: "fingerprint once", 5: "fingerprint always"}
_TOUCH = {1: "never", 2: "always", 3: "cached"}
_FORMS = {1: "USB-A keychain", 2: "USB-A nano", 3: "USB-C keychain", 4: "USB-C nano", 5: "USB-C and Lightning"}
_FORMS |= {6: "USB-A bio keychain", 7: "USB-C bio keychain"}
_FIPS, _SECURITY_KEY, _FORM = 0x80, 0x40, 0x3F
_GENERATED, _IMPORTED, _WRAPPED = 0x01, 0x02, 0x10
_EXPORTABLE = 1 << 16  # capability exportable-under-wrap
_SIGNING = frozenset([5, 6, 7, 8])  # with PKCS #1, PSS, ECDSA, EdDSA
_CAPABILITIES = {
    9: "decrypt (PKCS #1)",
    10: "decrypt (OAEP)",
    11: "derive a shared secret",
    25: "sign SSH certificates",
}
_CAPABILITIES |= {34: "attest other keys"}


class Malformed(ValueError):
    """An extension is not what its maker's format says. The text names the field."""


@dataclass(frozen=True)
class Claims:
    """What a device says of a key that it attests. Texts are printable; empty and None where it says nothing.

    `origin` is ``generated``, ``imported`` or ``imported wrapped``; `exportable`: under a wrap key; `excess` names what
    the key may do besides signing. `slot` is the PIV slot or the object id of a YubiHSM.
    """

    product: Product
    firmware: tuple[int, int, int] | None
    serial: str
    origin: str
    exportable: bool = False
    pin_policy: str = ""
    touch_policy: str = ""
    form_factor: str = ""
    fips: bool = False
    slot: str = ""
    excess: tuple[str, ...] = ()
    label: Safe = Safe("")  # noqa: RUF009 - Safe is a name for str


def is_leaf(certificate: x509.Certificate) -> bool:
    """Whether it attests a key of a holder: of any of Yubico's applications. Nothing that it signs is a proof."""
    found = _extensions(certificate)
    return f"{_PIV}8" in found or f"{_HSM}3" in found or any(oid.startswith(_OPENPGP) for oid in found)


def read(certificate: x509.Certificate) -> Claims | None:
    """The claims in an attestation of a key; None where it is none.

    Raises:
        Malformed: an extension is there and is not in its format.
    """
    found = _extensions(certificate)
    if any(oid.startswith(_PIV) for oid in found) and any(oid.startswith(_HSM) for oid in found):
        raise Malformed("kind of device")
    if f"{_PIV}8" in found or f"{_PIV}3" in found:
        return _piv(found, certificate)
    return _hsm(found) if f"{_HSM}3" in found else None


def device_serial(certificate: x509.Certificate) -> str:
    """The serial in a device's own certificate; empty where it has none, or in another form."""
    for oid in (f"{_PIV}7", f"{_HSM}2"):
        value = _extensions(certificate).get(oid)
        if value is not None:
            try:
                return str(_integer(value, "serial"))
            except Malformed:
                return ""
    return ""


def _extensions(certificate: x509.Certificate) -> Mapping[str, bytes]:
    return {
        e.oid.dotted_string: e.value.value
        for e in certificate.extensions
        if isinstance(e.value, x509.UnrecognizedExtension)
    }


def _piv(found: Mapping[str, bytes], certificate: x509.Certificate) -> Claims:
    policy = found.get(f"{_PIV}8", b"")
    if f"{_PIV}8" in found and (len(policy) != 2 or policy[0] not in _POLICIES or policy[1] not in _TOUCH):
        raise Malformed("PIN and touch policy")
    form = found.get(f"{_PIV}9")
    if form is not None and len(form) != 1:
        raise Malformed("form factor")
    version = found.get(f"{_PIV}3")
    if version is not None and len(version) != 3:
        raise Malformed("firmware")
    serial = found.get(f"{_PIV}7")
    return Claims(
        "YubiKey",
        (version[0], version[1], version[2]) if version else None,
        str(_integer(serial, "serial")) if serial is not None else "",
        "generated",  # a YubiKey attests no other
        pin_policy=_POLICIES[policy[0]] if policy else "",
        touch_policy=_TOUCH[policy[1]] if policy else "",
        form_factor=_form(form[0]) if form else "",
        fips=bool(form and form[0] & _FIPS),
        slot=_slot(certificate),
    )


def _form(byte: int) -> str:
    name = _FORMS.get(byte & _FORM, f"form {byte & _FORM}")
    return f"{name}, Security Key" if byte & _SECURITY_KEY else name


def _slot(certificate: x509.Certificate) -> str:
    # The subject ends in the slot: "YubiKey PIV Attestation 9c".
    name = certificate.subject.rfc4514_string().removeprefix("CN=")
    last = name.rpartition(" ")[2].lower()
    return last if len(last) == 2 and all(c in "0123456789abcdef" for c in last) else ""


def _hsm(found: Mapping[str, bytes]) -> Claims:
    version = found.get(f"{_HSM}1")
    firmware = _content(version, _OCTET_STRING, "firmware") if version is not None else b""
    if version is not None and len(firmware) != 3:
        raise Malformed("firmware")
    serial, object_id, label = (found.get(f"{_HSM}{n}") for n in (2, 6, 9))
    origin = _bits(found[f"{_HSM}3"], "origin", 1)
    if origin not in (_GENERATED, _IMPORTED, _GENERATED | _WRAPPED, _IMPORTED | _WRAPPED, _WRAPPED):
        raise Malformed("origin")
    capabilities = found.get(f"{_HSM}5")
    if capabilities is None:
        raise Malformed("capabilities")
    may = _bits(capabilities, "capabilities", 8)
    more = [n for n in range(64) if may >> n & 1 and n not in _SIGNING and 1 << n != _EXPORTABLE]
    return Claims(
        "YubiHSM 2",
        (firmware[0], firmware[1], firmware[2]) if firmware else None,
        str(_integer(serial, "serial")) if serial is not None else "",
        "generated" if origin == _GENERATED else "imported wrapped" if origin & _WRAPPED else "imported",
        exportable=bool(may & _EXPORTABLE),
        excess=tuple(_CAPABILITIES.get(n, f"capability {n}") for n in more),
        slot=f"0x{_integer(object_id, 'object id'):04x}" if object_id is not None else "",
        label=_utf8(label) if label is not None else printable(""),
    )


def _content(der: bytes, tag: int, name: str) -> bytes:
    """The content of one DER value with a short length (X.690, 8.1.3.4), and nothing after it."""
    if len(der) < 2 or der[0] != tag or der[1] >= 0x80 or len(der) != 2 + der[1]:
        raise Malformed(name)
    return der[2:]


def _integer(der: bytes, name: str) -> int:
    content = _content(der, _INTEGER, name)
    padded = len(content) > 1 and content[0] == 0 and content[1] < 0x80
    if not content or content[0] >= 0x80 or padded or len(content) > 9:
        raise Malformed(name)
    return int.from_bytes(content, "big")


def _bits(der: bytes, name: str, length: int) -> int:
    content = _content(der, _BIT_STRING, name)
    if len(content) != 1 + length or content[0] != 0:
        raise Malformed(name)
    return int.from_bytes(content[1:], "big")


def _utf8(der: bytes) -> Safe:
    try:
        return printable(_content(der, _UTF8, "label").decode("utf-8"), 80)
    except UnicodeDecodeError:
        raise Malformed("label") from None
