"""Is there a way out: interfaces and routes, asked of the kernel over rtnetlink(7).

A `Links` keeps looking at the network namespace in which it was made, wherever its process goes afterwards. So a
ceremony that runs in a namespace of its own still sees a cable that is plugged into the machine. Over such a socket
nothing can be sent to anyone but the kernel.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vestry.machine.check import Check, shown

# linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if.h
_HEADER, _LINK, _ROUTE, _ATTRIBUTE = (struct.Struct(f) for f in ("=IHHII", "=BxHiII", "=8BI", "=HH"))
_ERROR, _DONE, _NEW_LINK, _GET_LINK, _NEW_ROUTE, _GET_ROUTE = 2, 3, 16, 18, 24, 26
_REQUEST_DUMP = 0x301
_IFLA_NAME, _RTA_OIF = 3, 4
_UNICAST = 1
UP, LOOPBACK, RUNNING = 0x1, 0x8, 0x40
_PATIENCE = 2.0


@dataclass(frozen=True)
class Network:
    """Interfaces with their flags (netdevice(7)), and the names of those that a default route leads through."""

    interfaces: tuple[tuple[str, int], ...]
    defaults: tuple[str, ...] = ()


class Links:
    """The network namespace that the process is in now.

    Raises:
        OSError: the kernel has no rtnetlink, or does not let it be asked.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(_PATIENCE)
        self._asked = 0

    def look(self) -> Network:
        """Its interfaces and default routes, now.

        Raises:
            OSError: the kernel does not answer.
        """
        names: dict[int, tuple[str, int]] = {}
        for body in self._dump(_GET_LINK, _NEW_LINK):
            _, _, index, flags, _ = _LINK.unpack_from(body)
            name = _attributes(body[_LINK.size :]).get(_IFLA_NAME, b"").split(b"\0")[0]
            names[index] = name.decode("ascii", "backslashreplace"), flags
        leads: dict[str, None] = {}
        for body in self._dump(_GET_ROUTE, _NEW_ROUTE):
            _, length, _, _, _, _, _, kind, _ = _ROUTE.unpack_from(body)
            if length == 0 and kind == _UNICAST:
                out = _attributes(body[_ROUTE.size :]).get(_RTA_OIF)
                through, flags = names.get(struct.unpack("=i", out)[0] if out else 0, ("several interfaces", 0))
                if not flags & LOOPBACK:
                    leads[through] = None
        return Network(tuple(names.values()), tuple(leads))

    def close(self) -> None:
        """Look no more."""
        self._socket.close()

    def _dump(self, asking: int, wanted: int) -> Iterator[bytes]:
        self._asked += 1
        request = _HEADER.pack(_HEADER.size + _LINK.size, asking, _REQUEST_DUMP, self._asked, 0)
        self._socket.send(request + bytes(_LINK.size))
        while True:
            data = self._socket.recv(1 << 17)
            while len(data) >= _HEADER.size:
                length, kind, _, number, _ = _HEADER.unpack_from(data)
                body, data = data[_HEADER.size : length], data[(length + 3) & ~3 :]
                if number != self._asked or length < _HEADER.size:
                    continue
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    raise OSError(-struct.unpack_from("=i", body)[0], "the kernel does not list the network")
                if kind == wanted:
                    yield body


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            break
        found[kind], data = data[_ATTRIBUTE.size : length], data[(length + 3) & ~3 :]
    return found


def network(seen: Network) -> Check:
    """No interface but loopback is up, and no default route leads anywhere."""
    outside = {shown(name, 20): flags for name, flags in seen.interfaces if not flags & LOOPBACK}
    live = [name for name, flags in outside.items() if flags & UP and flags & RUNNING]
    leads = [shown(name, 20) for name in seen.defaults]
    if live or leads:
        what = [f"{', '.join(live)} {'is' if len(live) == 1 else 'are'} up"] if live else []
        what += [f"a default route leads through {', '.join(leads)}"] if leads else []
        return Check("stop", " and ".join(what), "take this machine off the network")
    idle = [name for name, flags in outside.items() if flags & UP]
    if idle:
        return Check("warn", f"{', '.join(idle)} switched on, with nothing connected", "switch it off")
    down = f"; down: {', '.join(outside)}" if outside else ""
    return Check("pass", f"no interface but loopback is up, no default route{down}")


def radios(root: Path = Path("/")) -> Check:
    """No radio but Bluetooth, which has a check of its own, can send: each is switched off (rfkill(8))."""
    on = [f"{kind} ({name})" for name, kind, blocked in _switches(root) if kind != "bluetooth" and not blocked]
    if on:
        return Check("warn", f"a radio is on: {', '.join(on)}", "switch it off: rfkill block all")
    switched = {radio for radio, kind, _ in _switches(root) if kind == "wlan"}
    wireless = _entries(root / "sys/class/ieee80211")
    if wireless and not switched:
        return Check("warn", f"{', '.join(wireless)} can send and has no switch", "take it out, or its driver")
    found = len([kind for _, kind, _ in _switches(root) if kind != "bluetooth"])
    return Check("pass", f"radios: {found}, all switched off" if found else "no radio is here")


def bluetooth(root: Path = Path("/")) -> Check:
    """No Bluetooth adapter is here, or each is switched off."""
    switches = [(name, blocked) for name, kind, blocked in _switches(root) if kind == "bluetooth"]
    on = [name for name, blocked in switches if not blocked]
    # An adapter in use shows as hci0, a connection as hci0:11.
    adapters = [name for name in _entries(root / "sys/class/bluetooth") if ":" not in name]
    if on or (adapters and not switches):
        return Check("warn", f"Bluetooth is on: {', '.join(adapters or on)}", "switch it off: rfkill block bluetooth")
    return Check("pass", "Bluetooth is switched off" if switches else "no Bluetooth is here")


def _switches(root: Path) -> list[tuple[str, str, bool]]:
    """(name, type, whether it is blocked by software or by a key) of each radio switch.

    Raises:
        OSError: there is no /sys to look at.
    """
    found = []
    for name in _entries(root / "sys/class/rfkill"):
        folder = root / "sys/class/rfkill" / name
        blocked = any((folder / by).read_text("ascii", "replace").strip() != "0" for by in ("soft", "hard"))
        found.append((name, shown((folder / "type").read_text("ascii", "replace"), 20), blocked))
    return found


def _entries(folder: Path) -> list[str]:
    """Names in a folder of /sys/class; none where this machine has nothing of the kind.

    Raises:
        OSError: there is no /sys/class.
    """
    try:
        return sorted(shown(path.name, 20) for path in folder.iterdir())
    except FileNotFoundError:
        folder.parent.stat()
        return []
