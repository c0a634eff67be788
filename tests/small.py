"""A small ceremony script: three holders, two of whom must sign."""

from __future__ import annotations

from typing import Any

HOLDERS = ("Alice", "Bob", "Carol")
P256 = "ecdsa-sha2-nistp256"


def script_text(
    online: Any, tokens: dict[str, str], keys: dict[str, str], scheme: str = P256, module: str = "softhsm2"
) -> str:
    """A small first root, a rehearsal: `tokens` and `keys` are lines to add for each holder's."""
    people = "".join(f'[[people]]\nname = "{n}"\noffice = "holder"\n' for n in HOLDERS)
    listed = "".join(
        f'[[tokens]]\nname = "{n.lower()}"\nholder = "{n}"\nuse = "pkcs11"\nmodule = "{module}"\n{tokens.get(n, "")}\n'
        for n in HOLDERS
    )
    made = ""
    for n in HOLDERS:
        own = keys.get(n, "")
        own = own if "scheme = " in own else f'scheme = "{scheme}"\n{own}'
        made += f'[[keys]]\nname = "{n.lower()}-root"\nholder = "{n}"\ntoken = "{n.lower()}"\nroles = ["root"]\n{own}\n'
    for n in HOLDERS[:2]:
        for role in ("targets", "bins"):
            made += (
                f'[[keys]]\nname = "{n.lower()}-{role}"\nholder = "{n}"\ntoken = "{n.lower()}"\nroles = ["{role}"]\n'
                f'scheme = "{P256}"\n'
            )
    steps = "".join(f'[[steps]]\ntitle = "{t}"\n{line}\n' for t, line in STEPS)
    return (
        '[ceremony]\ntitle = "t"\nkind = "root"\nrepository = "r"\nrehearsal = true\n'
        '[[people]]\nname = "Olivia"\noffice = "administrator"\n[[people]]\nname = "Walter"\noffice = "witness"\n'
        f'{people}[root]\nthreshold = 2\nexpires = "365d"\n[targets]\nthreshold = 2\nexpires = "365d"\n'
        '[bins]\nthreshold = 2\nexpires = "365d"\nnumber = 4\n'
        f'[online]\npublic_key = "online.pem"\nsha256 = "{online.sha256}"\n{listed}{made}{steps}'
    )


STEPS = (
    ("tokens", 'do = "provision"'),
    ("draft", 'do = "draft"'),
    ("review", 'do = "review"'),
    ("sign", 'do = "sign"'),
    ("verify", 'do = "verify"'),
)
