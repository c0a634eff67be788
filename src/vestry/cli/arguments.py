"""What each verb takes. Parsing imports argparse and nothing else."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import NoReturn

from vestry.cli.main import ABOUT, VERBS
from vestry.errors import InputRejected


class _Parser(argparse.ArgumentParser):
    """argparse with one-line errors that are raised."""

    def error(self, message: str) -> NoReturn:
        raise InputRejected(
            _readable(message),
            where=self.prog.removeprefix("vestry").strip(),
            do=f"see {self.prog} --help",
            code="E-USAGE",
        )


def _readable(message: str) -> str:
    # argparse quotes what was typed; a terminal must not obey it.
    return "".join(c if " " <= c <= "~" else f"\\u{{{ord(c):x}}}" for c in message)


def _formatter(prog: str) -> argparse.HelpFormatter:
    # A width of our own: left to itself argparse imports shutil and with it every compression module.
    try:
        columns = os.get_terminal_size().columns
    except OSError:
        columns = 80
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=28, width=max(60, min(columns, 100)) - 2)


def _whole(text: str) -> int:
    """A whole number, one or more."""
    if not text.isascii() or not text.isdigit() or not int(text[:9]) >= 1 or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _pin_length(text: str) -> int:
    """A length for a PIN."""
    if not 6 <= (length := _whole(text)) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a length from 6 to 64")
    return length


def _rehearse(p: argparse.ArgumentParser) -> None:
    p.add_argument("--into", metavar="DIR", help="where to keep it (default: rehearsal-<date> here)")
    p.add_argument("--holders", type=_whole, default=5, metavar="N", help="root key holders (default: 5)")
    p.add_argument("--threshold", type=_whole, default=3, metavar="N", help="how many of them must sign (default: 3)")
    p.add_argument("--unattended", action="store_true", help="answer every question by itself")


def _check(p: argparse.ArgumentParser) -> None:
    p.add_argument("script", metavar="SCRIPT", help="a ceremony script (TOML)")
    p.add_argument("--desk", action="store_true", help="the script alone; do not look at tokens")
    _inputs(p)


def _inputs(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--input", metavar="NAME=FILE", action="append", default=[], help="where an input of the script is; repeatable"
    )


def _print(p: argparse.ArgumentParser) -> None:
    p.add_argument("script", metavar="SCRIPT", help="a ceremony script (TOML)")
    _paper(p, "protocol.html")
    _inputs(p)


def _paper(p: argparse.ArgumentParser, name: str) -> None:
    p.add_argument(
        "-o", "--output", metavar="FILE", default=name, help=f"where the page goes; - is stdout (default: {name})"
    )
    p.add_argument("--overwrite", action="store_true", help="write over a file that is there already")


def _run(p: argparse.ArgumentParser) -> None:
    p.add_argument("script", metavar="SCRIPT", help="a ceremony script (TOML)")
    p.add_argument("--into", metavar="DIR", help="the ceremony's folder; run the same line again to resume")
    p.add_argument("--software", metavar="DIR", help="folder of software tokens (default: DIR/tokens)")
    _inputs(p)
    _network(p)


def _network(p: argparse.ArgumentParser) -> None:
    p.add_argument("--keep-network", action="store_true", help="for a token behind a connector on 127.0.0.1 (YubiHSM)")


def _stage(p: argparse.ArgumentParser) -> None:
    kinds = p.add_subparsers(dest="what", metavar="WHAT", required=True, parser_class=_Parser)
    root = _add(kinds, "stage_root", "root", "draft a root, the first or the next, for its holders to sign")
    root.add_argument("--from", dest="previous", metavar="ROOT", help="the signed root (file or bundle) to follow")
    root.add_argument(
        "--root-key",
        metavar="NAME=PEM",
        nargs="+",
        action="extend",
        default=[],
        help="a root key and its holder's name",
    )
    root.add_argument("--threshold", type=_whole, metavar="N", help="how many root keys must sign")
    root.add_argument(
        "--targets-key", metavar="NAME=PEM", nargs="+", action="extend", default=[], help="a targets key and its holder"
    )
    root.add_argument("--targets-threshold", type=_whole, metavar="N", help="how many targets keys must sign")
    root.add_argument("--online-key", metavar="PEM", help="the key of snapshot and timestamp")
    root.add_argument(
        "--service", choices=("rstuf", "tuf-on-ci"), default="", help="the service it goes to: keys get its fields"
    )
    root.add_argument("--online-uri", metavar="URI", help="with --service: where it finds the online key")
    root.add_argument(
        "--period",
        metavar="ROLE=DAYS/DAYS",
        nargs="+",
        action="extend",
        default=[],
        help="with tuf-on-ci: days of a version of root, snapshot or timestamp, and of the time to sign the next",
    )
    root.add_argument(
        "--drop", metavar="NAME|KEYID", nargs="+", action="extend", default=[], help="a root or targets key that leaves"
    )
    _made(root)
    targets = _add(kinds, "stage_targets", "targets", "draft the next targets of a role, from the files of a release")
    _above(targets, "the version before, or what delegates to the role")
    targets.add_argument(
        "--role", metavar="NAME", help="the role that signs (default: targets, or as --from is called)"
    )
    targets.add_argument(
        "--add", metavar="FILE", nargs="+", action="extend", default=[], help="a file to add or replace, looked into"
    )
    targets.add_argument("--prefix", metavar="FOLDER", help="the folder of the target paths (default: as delegated)")
    targets.add_argument(
        "--remove", metavar="PATH", nargs="+", action="extend", default=[], help="a target path that goes"
    )
    targets.add_argument("--no-look", action="store_true", help="do not look into wheels and source distributions")
    _made(targets)
    delegation = _add(kinds, "stage_delegation", "delegation", "draft a delegation: its keys, threshold and paths")
    _above(delegation, "the version before of what delegates")
    delegation.add_argument("--role", required=True, metavar="NAME", help="the role delegated to")
    delegation.add_argument(
        "--by", default="targets", metavar="NAME", help="the role that delegates (default: targets)"
    )
    delegation.add_argument(
        "--key", metavar="NAME=PEM", nargs="+", action="extend", default=[], help="a key that joins, and its holder"
    )
    delegation.add_argument("--threshold", type=_whole, metavar="N", help="how many of the role's keys must sign")
    delegation.add_argument(
        "--drop", metavar="NAME|KEYID", nargs="+", action="extend", default=[], help="a key that leaves"
    )
    delegation.add_argument(
        "--paths", metavar="GLOB", nargs="+", action="extend", default=[], help="target paths that it may sign for"
    )
    delegation.add_argument(
        "--hash-prefixes", metavar="HEX", nargs="+", action="extend", default=[], help="the same by SHA-256 of the path"
    )
    delegation.add_argument(
        "--terminating", action=argparse.BooleanOptionalAction, default=None, help="end the search for its paths there"
    )
    delegation.add_argument(
        "--before", metavar="NAME", help="the delegation to go before (default: last, or as it was)"
    )
    delegation.add_argument("--remove", action="store_true", help="take the delegation away")
    _made(delegation)
    claims = _add(kinds, "stage_claims", "claims", "move projects from recently-claimed to claimed (PEP 480)")
    _above(claims, "claimed, the version before")
    claims.add_argument("--recently", required=True, metavar="FILE", help="recently-claimed, as published")
    claims.add_argument("--projects", required=True, metavar="FILE", help="names of projects, one a line")
    claims.add_argument("--metadata", metavar="DIR", help="the projects' own metadata, to be looked at too")
    claims.add_argument("--role", default="claimed", metavar="NAME", help="the name of claimed")
    claims.add_argument("--recently-role", default="recently-claimed", metavar="NAME", help="that of recently-claimed")
    claims.add_argument("--recently-expires", default="1d", metavar="1d|DATE", help="of recently-claimed (default: 1d)")
    _made(claims)
    layout = _add(kinds, "stage_layout", "layout", "an in-toto layout as it is, for the keys that are to sign it")
    layout.add_argument("layout", metavar="LAYOUT", help="the file, Metablock or DSSE; signatures in it are left out")
    layout.add_argument("--into", required=True, metavar="BUNDLE", help="the folder to make")
    _layout_keys(layout)


def _above(p: argparse.ArgumentParser, previous: str) -> None:
    p.add_argument("--root", required=True, metavar="ROOT", help="the signed root (file or bundle) that decides all")
    p.add_argument("--from", dest="previous", action="append", default=[], metavar="FILE", help=previous)
    p.add_argument(
        "--delegator",
        action="append",
        default=[],
        metavar="FILE",
        help="a document between root and the role; repeatable (default: those beside the root)",
    )


def _made(p: argparse.ArgumentParser) -> None:
    p.add_argument("--expires", default="365d", metavar="365d|DATE", help="days from today, or YYYY-MM-DD")
    p.add_argument("--into", required=True, metavar="BUNDLE", help="the folder to make")


def _bytes(text: str) -> int:
    """A size: a whole number of bytes, or of MiB where the unit follows."""
    number = text.removesuffix("MiB")
    return _whole(number) << 20 if number != text else _whole(number)


def _limit(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--limit",
        type=_bytes,
        default=64 << 20,
        metavar="BYTES",
        help="largest file to read, as 500MiB (default: 64MiB)",
    )


def _review(p: argparse.ArgumentParser) -> None:
    p.add_argument("documents", nargs="+", metavar="BUNDLE | [[OLDER ...] OLD] NEW", help="a bundle, or metadata")
    _layout_keys(p)
    p.add_argument(
        "--delegator", metavar="FILE", help="the root or targets that says who signs it; verifies signatures"
    )
    p.add_argument(
        "--beside", metavar="FILE", action="append", default=[], help="a document whose expiry is looked ahead to"
    )
    p.add_argument("--next", metavar="DATE", help="the day of the next ceremony, to look ahead to")
    p.add_argument("--html", metavar="FILE", help="write the review as one page to print, too")
    _limit(p)


def _sign(p: argparse.ArgumentParser) -> None:
    p.add_argument("bundle", metavar="BUNDLE", help="the bundle to sign")
    p.add_argument("--key", metavar="NAME|KEYID|PEM", help="which key to sign with: holder, key id or public key file")
    p.add_argument("--token", metavar="SERIAL", help="which token to sign with, by serial number")
    _sources(p)
    _network(p)


def _sources(p: argparse.ArgumentParser) -> None:
    p.add_argument("--software", metavar="DIR", help="folder of software tokens")
    p.add_argument(
        "--module",
        metavar="NAME|PATH",
        action="append",
        default=[],
        help="a PKCS#11 module: softhsm2, ykcs11, opensc or a path; repeatable (default: those found)",
    )


def _tokens(p: argparse.ArgumentParser) -> None:
    p.add_argument("--prove", action="store_true", help="a drill: have every key sign a fresh challenge, and record it")
    p.add_argument("--root", metavar="ROOT", help="with --prove: the root (file or bundle) whose keys are to be there")
    p.add_argument("--record", metavar="FILE", help="with --prove: where the record goes (default: drill-<date>.json)")
    p.add_argument("--token", metavar="SERIAL", action="append", default=[], help="only this token; repeatable")
    _sources(p)


def _attest(p: argparse.ArgumentParser) -> None:
    p.add_argument("paths", nargs="+", metavar="FILE|DIR", help="certificates and public keys, PEM or DER")
    p.add_argument(
        "--anchors",
        metavar="FILE|DIR",
        action="append",
        default=[],
        help="the makers' root and intermediate certificates; repeatable",
    )
    p.add_argument(
        "--key",
        metavar="PEM|ROOT",
        action="append",
        default=[],
        help="a public key, or a root (.json), whose keys they are to be for",
    )
    p.add_argument("--serial", metavar="SERIAL", help="the device they are to be from")


def _pin(p: argparse.ArgumentParser) -> None:
    p.add_argument("--dice", action="store_true", help="from rolls of dice that you type, not from the machine")
    p.add_argument("--length", type=_pin_length, default=8, metavar="N", help="characters, 6 to 64 (default: 8)")
    p.add_argument("--letters", action="store_true", help="letters and digits, none mistaken for another")


def _verify(p: argparse.ArgumentParser) -> None:
    p.add_argument("paths", nargs="+", metavar="BUNDLE|REPOSITORY|FILE", help="what to verify; files are put in order")
    p.add_argument(
        "--as-client",
        dest="runs",
        action="store_const",
        const="as_client",
        default=argparse.SUPPRESS,
        help="walk a repository's folder as a real client does, offline",
    )
    p.add_argument(
        "--trusted", metavar="ROOT", help="with --as-client: the root that clients have (default: the lowest here)"
    )
    p.add_argument(
        "--target",
        metavar="PATH",
        action="append",
        default=[],
        help="with --as-client: a target that must be listed and here; repeatable (default: all that are listed)",
    )
    p.add_argument("--delegator", metavar="FILE", help="for a project's transaction (ZIP): what delegates to it")
    p.add_argument(
        "--unsigned",
        action="store_true",
        help="a repository's documents before they are signed, or with signatures taken out: all but these, and expiry",
    )
    _layout_keys(p)
    _limit(p)


def _layout_keys(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--key", metavar="NAME=PEM", action="append", default=[], help="a key that signs an in-toto layout; repeatable"
    )
    p.add_argument("--threshold", type=_whole, metavar="N", help="how many of these keys must sign (default: all)")


def _compare(p: argparse.ArgumentParser) -> None:
    p.add_argument("good", metavar="GOOD", help="folder with the last snapshot that is known to be good")
    p.add_argument("now", metavar="NOW", help="folder with the snapshot that is published now")
    p.add_argument("--most", type=_whole, default=1000, metavar="N", help="list at most N differences (default: 1000)")


def _collect(p: argparse.ArgumentParser) -> None:
    p.add_argument("bundle", metavar="BUNDLE", help="the bundle that gathers")
    p.add_argument("others", nargs="+", metavar="FROM", help="bundles that came back, or signatures by themselves")


def _drives(p: argparse.ArgumentParser) -> None:
    p.add_argument("--wait", action="store_true", help="until one is inserted")


def _export(p: argparse.ArgumentParser) -> None:
    p.add_argument("bundle", metavar="BUNDLE", help="the bundle to write")
    p.add_argument("to", nargs="?", metavar="DEST", help="a drive or folder (default: one of the drives that are here)")
    p.add_argument("--signed", action="store_true", help="write the signed document instead, once thresholds are met")
    p.add_argument(
        "--as",
        dest="form",
        metavar="FORMAT",
        choices=FORMATS,
        help="write what another system takes: " + ", ".join(FORMATS),
    )
    p.add_argument(
        "--files", nargs="+", metavar="FILE", default=[], help="with --as project or repository: the target files"
    )
    p.add_argument(
        "--bins", type=_whole, default=16384, metavar="N", help="with --as rstuf-bootstrap: hash bins (default: 16384)"
    )
    p.add_argument(
        "--days",
        action="append",
        default=[],
        metavar="ROLE=N",
        help="with --as rstuf-bootstrap: days that a role's versions live; repeatable",
    )


FORMATS = ("rstuf-bootstrap", "rstuf-update", "rstuf-sign", "tuf-on-ci", "go-tuf", "repository", "project")
"""What other systems take."""


def _import(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "source",
        nargs="?",
        metavar="FROM",
        help="a drive or folder that holds a bundle, or a .zip, .tar or .tar.gz (default: one of the drives here)",
    )
    p.add_argument("to", metavar="DEST", help="the bundle to make, or to add signatures to")
    p.add_argument(
        "--delegator", metavar="FILE", help="who signs what another system sent: the root before, or what delegates"
    )
    p.add_argument(
        "--known",
        metavar="FILE|REPOSITORY",
        action="append",
        default=[],
        help="metadata that is published already, its root among it; what it has gone past is refused; repeatable",
    )


def _qr(p: argparse.ArgumentParser) -> None:
    kinds = p.add_subparsers(dest="what", metavar="WHAT", required=True, parser_class=_Parser)
    shown = _add(kinds, "qr", "show", "show a bundle, a signature or a file as QR codes on the screen")
    shown.add_argument(
        "path", metavar="FILE|BUNDLE", help="what to show; a signature is one code, all else many in turn"
    )
    read = _add(kinds, "qr", "read", "read QR codes back, and take in what they hold")
    read.add_argument("paths", nargs="*", metavar="IMAGE|FOLDER|VIDEO", help="pictures, folders of them, videos")
    read.add_argument(
        "-o",
        "--output",
        metavar="DEST",
        help="where it goes; signatures may go straight into a bundle (default: qr-NAME or signatures, here)",
    )
    read.add_argument("--camera", nargs="?", const="/dev/video0", metavar="DEVICE", help="a camera (/dev/video0)")


def _replay(p: argparse.ArgumentParser) -> None:
    p.add_argument("transcript", metavar="TRANSCRIPT", help="a transcript, or the ceremony folder that holds it")


def _record(p: argparse.ArgumentParser) -> None:
    p.add_argument("transcript", metavar="TRANSCRIPT", help="a transcript, or the ceremony folder that holds it")
    _paper(p, "record.html")


def _seal(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "transcript", metavar="TRANSCRIPT", nargs="?", help="a transcript, or the ceremony folder that holds it"
    )
    p.add_argument("--person", metavar="NAME", help="who seals, by the script's name")
    said = p.add_mutually_exclusive_group(required=True)
    said.add_argument("--agree", action="store_true", help="the ceremony went as the transcript has it")
    said.add_argument("--disagree", action="store_true", help="it did not; say why with --reason")
    said.add_argument("--show-key", action="store_true", help="print the public key for a script to name; seal nothing")
    p.add_argument("--reason", metavar="TEXT", default="", help="why, or why not; part of what is signed")
    key = p.add_mutually_exclusive_group()
    key.add_argument("--key", metavar="FILE", help="sign with a private key file (PEM, PKCS #8); no token")
    key.add_argument("--gpg", metavar="FINGERPRINT", help="sign with an OpenPGP key of your GnuPG keyring")
    p.add_argument("--token", metavar="SERIAL", help="which token to sign with, by serial number")
    _sources(p)
    p.add_argument(
        "-o", "--output", metavar="FOLDER", help="where the seal goes (default: seals, beside the transcript)"
    )


def _publish(p: argparse.ArgumentParser) -> None:
    p.add_argument("transcript", metavar="TRANSCRIPT", help="a transcript, or the ceremony folder that holds it")
    p.add_argument("-o", "--output", metavar="DEST", required=True, help="the folder to make")
    p.add_argument(
        "--withhold", metavar="N[-M][,...]", action="append", default=[], help="lines, by number; repeatable"
    )
    p.add_argument(
        "--withhold-kind", metavar="EVENT", action="append", default=[], help="lines of this kind; repeatable"
    )
    p.add_argument(
        "--withhold-person",
        metavar="NAME",
        action="append",
        default=[],
        help="lines and files in which this person, or a word of the name, stands; repeatable",
    )
    p.add_argument(
        "--withhold-text",
        metavar="TEXT",
        action="append",
        default=[],
        help="lines and files in which this stands, a serial for example; repeatable",
    )


def _preflight(p: argparse.ArgumentParser) -> None:
    p.add_argument("script", nargs="?", metavar="SCRIPT", help="a ceremony script: its modules, times and requirements")
    p.add_argument("--into", metavar="DIR", default=".", help="where the ceremony will be written (default: here)")
    _inputs(p)


_FILL: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "rehearse": _rehearse,
    "check": _check,
    "print": _print,
    "run": _run,
    "stage": _stage,
    "review": _review,
    "sign": _sign,
    "verify": _verify,
    "compare": _compare,
    "collect": _collect,
    "drives": _drives,
    "export": _export,
    "import": _import,
    "qr": _qr,
    "replay": _replay,
    "seal": _seal,
    "publish": _publish,
    "record": _record,
    "tokens": _tokens,
    "attest": _attest,
    "pin": _pin,
    "preflight": _preflight,
}


def _common() -> _Parser:
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="one object on stdout")
    group.add_argument("--plain", action="store_true", help="lines and prompts, never the full screen")
    group.add_argument("--debug", action="store_true", help="show tracebacks")
    return common


def _add(kinds: argparse._SubParsersAction[_Parser], module: str, name: str, about: str) -> argparse.ArgumentParser:
    parser = kinds.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        parents=[_common()],
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    parser.set_defaults(runs=module)
    return parser


def parser() -> argparse.ArgumentParser:
    """The whole parser. Parsed arguments name the verb's module below `vestry.cli` as `runs`."""
    top = _Parser(prog="vestry", description=ABOUT, parents=[_common()], formatter_class=_formatter, allow_abbrev=False)
    kinds = top.add_subparsers(dest="verb", metavar="VERB", parser_class=_Parser)
    for name, about in VERBS.items():
        _FILL[name](_add(kinds, "import_" if name == "import" else name, name, about))
    return top
