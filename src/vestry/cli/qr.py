"""``vestry qr``: a bundle, a signature or a file as QR codes on the screen, and back from pictures or a camera."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from vestry.cli import collect, import_, output
from vestry.errors import ExitStatus, InputRejected, Refused
from vestry.media import bundle, drives, entries, qr, qr_cargo, qr_scan, qr_text, qr_transfer, signatures
from vestry.media.arrivals import bundle_folder
from vestry.media.qr_transfer import Receiver
from vestry.metadata import intake
from vestry.metadata.document import Signature
from vestry.text import printable

_VERSION = 6
"""What ``--json`` makes frames for: the code that fits into 80x24."""


@dataclass(frozen=True)
class Shown:
    """What is to be shown: `content` as a transfer, or where `still` fits into one code, that alone."""

    title: str
    content: bytes
    still: str = ""


def run(args: argparse.Namespace) -> int:
    """Show, or read."""
    return show(args) if args.what == "show" else read(args)


def show(args: argparse.Namespace) -> int:
    """Show until a person leaves; with ``--json``, the text of enough frames to lose half of them."""
    shown = _shown(Path(args.path))
    if args.json:
        sending = qr_transfer.send(shown.content, qr.room(_VERSION))
        count = 2 * sending.enough + 8 if sending.enough > 1 else 1
        output.emit(
            {
                "title": shown.title,
                "still": shown.still,
                "transfer": sending.name,
                "enough": sending.enough,
                "frames": [sending.text(n) for n in range(count)],
            }
        )
        return int(ExitStatus.DONE)
    if args.plain or not sys.stdout.isatty():
        raise InputRejected(
            "QR codes need the full screen of a terminal",
            where="qr show",
            do="run it in one without --plain, carry the files on a drive (vestry export), or take the text: --json",
            code="E-USAGE",
        )
    # By name, so that nothing else in this module loads the screen.
    import_module("vestry.tui.qr_screen").run_qr(shown.title, shown.content, still=shown.still)
    return int(ExitStatus.DONE)


def read(args: argparse.Namespace) -> int:
    """Read, check, and take it in by the door for what it is."""
    if not args.paths and args.camera is None:
        raise InputRejected(
            "nothing to read was named", where="qr read", do="name pictures, or give --camera", code="E-USAGE"
        )
    qr_scan.available()
    receiver = Receiver()
    _gather(receiver, _texts([Path(path) for path in args.paths]), until_whole=False)
    if args.camera is not None and not _whole(receiver):
        _gather(receiver, qr_scan.camera(args.camera), until_whole=True)
    if len(receiver.contents) + bool(receiver.signatures) != 1:
        raise _not_one(receiver)
    if receiver.signatures:
        return _take_signatures(list(receiver.signatures), Path(args.output or "signatures"), args.json)
    [(name, content)] = receiver.contents.items()
    output.narrate(f"transfer {name} is whole, and equal to its digest")
    files, to = qr_cargo.unpack(content), Path(args.output or f"qr-{name}")
    return _take_bundle(files, name, to, args.json) if qr_cargo.is_bundle(files) else _take_file(files, to, args.json)


def _shown(path: Path) -> Shown:
    folder = bundle_folder(path)
    if folder is not None:
        opened = bundle.open_bundle(folder)
        title = f"{opened.title}, the bundle"
        return Shown(title, qr_cargo.pack(opened.contents()))
    content = qr_cargo.pack(qr_cargo.one_file(path))
    if not entries.is_signature(path.name):
        return Shown(f"{printable(path.name, 60)}, a file", content)
    signature = signatures.read(path)
    return Shown(f"The signature of key {signature.keyid[:8]}", content, qr_text.signature_text(signature))


def _texts(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        files = qr_scan.files_in(path)
        for file in files:
            try:
                yield from qr_scan.texts(file)
            except InputRejected as error:
                # In a folder there may be anything; what was named itself must be a picture.
                if not path.is_dir():
                    raise
                output.narrate(f"passed over: {error}")


def _gather(receiver: Receiver, texts: Iterable[str], *, until_whole: bool) -> None:
    """Take what codes say; a camera is done when something is whole, pictures when all were looked at."""
    for text in texts:
        if receiver.take(text) and sys.stderr.isatty() and (under_way := receiver.progress()):
            first = under_way[0]
            sys.stderr.write(f"\r{first.name}: {first.have} of about {first.enough} frames ")
            sys.stderr.flush()
        if until_whole and _whole(receiver):
            break
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")


def _whole(receiver: Receiver) -> bool:
    return bool(receiver.contents or receiver.signatures)


def _not_one(receiver: Receiver) -> InputRejected:
    where = "the codes"
    if _whole(receiver):
        found = [f"transfer {name}" for name in receiver.contents]
        found += ["signatures"] if receiver.signatures else []
        return InputRejected(
            f"they hold {' and '.join(found)}", where=where, do="read one at a time", code="E-QR-SEVERAL"
        )
    under_way = receiver.progress()
    if under_way:
        parts = ", ".join(f"{p.have} of about {p.enough} frames of transfer {p.name}" for p in under_way)
        return InputRejected(
            f"only {parts} were read",
            where=where,
            do="take more, any frames will do, and read all together",
            code="E-QR-PART",
        )
    if receiver.spoilt:
        return InputRejected(
            f"frames of transfer {', '.join(sorted(receiver.spoilt))} contradict each other or their digest",
            where=where,
            do="have it shown again, and nothing else in the picture",
            code="E-QR-SPOILT",
        )
    others = receiver.codes[1]
    what = f"none of the {others} QR codes is one of Vestry's" if others else "no QR code was found"
    return InputRejected(what, where=where, do="take sharper pictures, straight on", code="E-QR-NONE")


def _take_bundle(files: Mapping[str, bytes], name: str, to: Path, as_json: bool) -> int:
    # The sums of a bundle stay behind when it is shown, since they follow from its files.
    whole = {**files, drives.SUMS: drives.sums(files)}
    where = Path(f"transfer {name}")
    entries.check(whole, where)
    return import_.take(bundle.of_files(whole, where), to, as_json)


def _take_file(files: Mapping[str, bytes], to: Path, as_json: bool) -> int:
    [(name, data)] = files.items()
    target = to / name if to.is_dir() else to
    _write_new(target, data)
    _written([target], as_json)
    return int(ExitStatus.DONE)


def _take_signatures(found: list[Signature], to: Path, as_json: bool) -> int:
    there = bundle_folder(to)
    if there is not None:
        collected = bundle.collect(bundle.open_bundle(there), loose=[(s, "a QR code") for s in found])
        return collect.finish(collected, as_json)
    targets = [to / f"{s.keyid}.json" for s in found]
    if len(set(targets)) < len(targets):
        raise InputRejected(
            "two different signatures are by one key", where="the codes", do="read one at a time", code="E-QR-SEVERAL"
        )
    for target, signature in zip(targets, found, strict=True):
        _write_new(target, signatures.encode(signature))
    _written(targets, as_json)
    return int(ExitStatus.DONE)


def _write_new(target: Path, data: bytes) -> None:
    there = target.is_symlink() or target.exists()
    if there and (target.lstat().st_size != len(data) or intake.read_file(target, limit=len(data)) != data):
        raise Refused(
            "something else is there already",
            where=printable(str(target), 200),
            do="name another place; nothing was written",
            code="E-OUTPUT-EXISTS",
        )
    drives.write_file(target, data)


def _written(targets: list[Path], as_json: bool) -> None:
    if as_json:
        output.emit({"written": [str(target) for target in targets]})
    else:
        output.line(*(f"written    {printable(str(target), 200)}" for target in targets))
