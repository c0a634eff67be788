"""RSTUF's payloads: read, shown, written back; made from a root that Vestry drafted and holders signed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from holders import Holder, holder
from services.conftest import Run, load, shape, sign

from vestry.errors import InputRejected, Refused
from vestry.media.services import rstuf

SAMPLES = ("ceremony", "ceremony_das", "update", "update_das", "sign", "sign_pending_roles")


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_read_and_written_back_equal(shared_data: Path, name: str) -> None:
    """Without it a payload could lose a member on its way through Vestry, and a service take something else."""
    raw = (shared_data / "rstuf" / f"payload-{name}.json").read_bytes()
    assert json.loads(rstuf.parse(raw, where=name).encode()) == json.loads(raw)


@pytest.mark.parametrize("name", [n for n in SAMPLES if n != "sign"])
def test_every_sample_is_shown(shared_data: Path, tmp_path: Path, name: str, run: Run) -> None:
    """Without it a holder would have to sign what came, unread."""
    folder = shared_data / "rstuf"
    above = ["--delegator", folder / "root-v1.json"] if name.startswith("update") else []
    status, _, err = run("import", folder / f"payload-{name}.json", tmp_path / "b", *above)
    if name.startswith("update"):
        # The sample's first root has one of two signatures: nothing may follow from it.
        assert status == 1
        assert "1 of 2" in err
        return
    assert status == 0
    assert "taken as: RSTUF" in err
    status, out, _ = run("review", tmp_path / "b", "--plain")
    assert "JanisJoplin's Key" in out
    assert status == 1  # the samples have expired


def staged(tmp_path: Path, team: list[Holder], run: Run, *more: object) -> Path:
    online = holder("online").write_pem(tmp_path)
    keys = [f"{h.name}={h.write_pem(tmp_path)}" for h in team]
    into = tmp_path / "root"
    status, _, err = run(
        "stage", "root", "--root-key", *keys, "--threshold", 2, "--online-key", online, "--into", into, *more
    )
    assert status == 0, err
    return into


def test_a_ceremonys_bootstrap_has_the_samples_shape(
    shared_data: Path, tmp_path: Path, team: list[Holder], run: Run
) -> None:
    """Without it the service would refuse the payload on the day that it is to begin."""
    bundle = staged(tmp_path, team[:2], run, "--service", "rstuf")
    status, _, err = run("review", bundle, "--plain")
    assert status == 0, err
    status, _, err = run("export", bundle, tmp_path / "early.json", "--as", "rstuf-bootstrap")
    assert status == 1
    assert "nobody has signed the root" in err
    sign(bundle, team[:2])
    status, _, err = run(
        "export", bundle, tmp_path / "p.json", "--as", "rstuf-bootstrap", "--bins", 4, "--days", "bins=1"
    )
    assert status == 0, err
    made, sample = load(tmp_path / "p.json"), load(shared_data / "rstuf" / "payload-ceremony.json")
    # Fields of ours come in an order of ours; nothing else differs, down to the types. PEM and hex are both text.
    assert json.dumps(shape(made), sort_keys=True) == json.dumps(shape(sample), sort_keys=True)
    assert made["settings"] == sample["settings"]
    names = {k["x-rstuf-key-name"] for k in made["metadata"]["root"]["signed"]["keys"].values()}
    assert names == {"Alice", "Bob", "Online Key"}
    assert rstuf.parse((tmp_path / "p.json").read_bytes(), where="ours").encode() == (tmp_path / "p.json").read_bytes()


def test_an_update_goes_out_and_signatures_come_back(tmp_path: Path, team: list[Holder], run: Run) -> None:
    """The whole way of a rotation through the service: update, what waits, one signature at a time."""
    first = staged(tmp_path, team[:2], run, "--service", "rstuf")
    sign(first, team[:2])
    carol = f"Carol={team[2].write_pem(tmp_path)}"
    status, _, err = run(
        "stage", "root", "--from", first, "--drop", "Bob", "--root-key", carol, "--service", "rstuf",
        "--into", tmp_path / "next",
    )  # fmt: skip
    assert status == 0, err
    sign(tmp_path / "next", team[:1])
    assert run("export", tmp_path / "next", tmp_path / "update.json", "--as", "rstuf-update")[0] == 0
    assert set(load(tmp_path / "update.json")) == {"metadata"}
    # What the service then answers, made of its own parts.
    update = rstuf.parse((tmp_path / "update.json").read_bytes(), where="update")
    assert isinstance(update, rstuf.Update)
    from vestry.media.bundle import open_bundle

    waiting = rstuf.Waiting(update.documents, {"root": open_bundle(first).signed_document()}, "Metadata pending")
    (tmp_path / "waiting.json").write_bytes(waiting.encode())
    assert run("import", tmp_path / "waiting.json", tmp_path / "bob")[0] == 0
    sign(tmp_path / "bob", [team[1]])
    assert run("export", tmp_path / "bob", tmp_path / "sigs", "--as", "rstuf-sign")[0] == 0
    names = sorted(p.name for p in (tmp_path / "sigs").iterdir())
    assert len(names) == 2
    payload = load(tmp_path / "sigs" / names[0])
    assert set(payload) == {"role", "signature"}
    assert set(payload["signature"]) == {"keyid", "sig"}
    status, out, err = run("collect", tmp_path / "next", *(tmp_path / "sigs" / n for n in names))
    assert status == 0, err
    assert "2 of 2 of root v1" in out


def test_what_the_service_drops_is_said_before_anyone_signs(tmp_path: Path, team: list[Holder], run: Run) -> None:
    """Without it five people would sign bytes that the service does not keep."""
    first = staged(tmp_path, team[:2], run, "--service", "rstuf")
    sign(first, team[:2])
    root = load(first / "unsigned" / "root.json")["signed"]
    root["version"] = 2
    next(iter(root["keys"].values()))["x-our-attestation"] = "yes"
    root["roles"]["timestamp"]["x-tuf-on-ci-expiry-period"] = 2
    from vestry.media.bundle import create, open_bundle
    from vestry.metadata.document import to_file

    before = open_bundle(first).signed_document().raw
    create(tmp_path / "bad", role="root", unsigned=to_file(root, ()), trusted=before, service="rstuf")
    status, out, _ = run("review", tmp_path / "bad", "--plain")
    assert status == 1
    folded = " ".join(out.split())
    assert "RSTUF drops the field x-our-attestation" in folded
    assert "RSTUF drops the field x-tuf-on-ci-expiry-period of the role timestamp" in folded
    status, _, err = run("export", tmp_path / "bad", tmp_path / "p.json", "--as", "rstuf-update")
    assert (status, "E-SERVICE" in err) == (1, True)
    assert not (tmp_path / "p.json").exists()


def test_targets_keys_of_people_are_refused(tmp_path: Path, team: list[Holder], run: Run) -> None:
    """RSTUF signs targets by itself: a root that gives them to people would lock it out. Who stages it is told."""
    carol = f"Carol={team[2].write_pem(tmp_path)}"
    online, keys = holder("online").write_pem(tmp_path), [f"{h.name}={h.write_pem(tmp_path)}" for h in team[:2]]
    bundle = tmp_path / "root"
    status, out, _ = run(
        "stage", "root", "--root-key", *keys, "--threshold", 2, "--online-key", online, "--into", bundle,
        "--service", "rstuf", "--targets-key", carol,
    )  # fmt: skip
    assert "RSTUF does not take these roles" in " ".join(out.split())
    status, out, _ = run("review", bundle, "--plain")
    assert status == 1
    assert "RSTUF does not take these roles" in " ".join(out.split())


def broken(value: Any, how: str) -> Any:
    roles = value["settings"]["roles"]
    if how == "both":
        roles["delegations"] = {"keys": {}, "roles": []}
    elif how == "neither":
        roles["bins"] = None
    elif how == "days":
        roles["root"]["expiration"] = 0
    elif how == "no root":
        value["metadata"] = {}
    elif how == "timeout":
        value["timeout"] = "300"
    elif how == "other type":
        value["metadata"]["root"]["signed"]["_type"] = "targets"
    elif how == "stranger":
        roles["mirrors"] = {"expiration": 1}
    elif how.startswith("more in "):
        inner = {"settings": value["settings"], "a role": roles["root"], "bins": roles["bins"]}[how[8:]]
        inner["x-more"] = 1
    return value


@pytest.mark.parametrize("how", ["both", "neither", "days", "no root", "timeout", "other type", "stranger",
                                 "more in settings", "more in a role", "more in bins"])  # fmt: skip
def test_a_malformed_bootstrap_is_refused(shared_data: Path, how: str) -> None:
    value = broken(load(shared_data / "rstuf" / "payload-ceremony.json"), how)
    with pytest.raises(InputRejected):
        rstuf.parse(json.dumps(value).encode(), where="test")


def test_bins_that_the_service_does_not_offer_are_refused(shared_data: Path) -> None:
    payload = rstuf.parse((shared_data / "rstuf" / "payload-ceremony.json").read_bytes(), where="test")
    assert isinstance(payload, rstuf.Bootstrap)
    odd = rstuf.Bootstrap(rstuf.Settings(payload.settings.days, bins=5), payload.root)
    with pytest.raises(Refused, match="5 hash bins"):
        odd.encode()


def test_a_signature_for_another_role_is_not_taken(tmp_path: Path, team: list[Holder], run: Run) -> None:
    bundle = staged(tmp_path, team[:2], run)
    (tmp_path / "s.json").write_text(json.dumps({"role": "targets", "signature": {"keyid": "a" * 64, "sig": "00"}}))
    status, _, err = run("collect", bundle, tmp_path / "s.json")
    assert status == 2
    assert "for targets" in err
    (tmp_path / "s.json").write_text(json.dumps({"role": "root", "signature": {"keyid": "a" * 64, "sig": "00"}}))
    status, out, _ = run("collect", bundle, tmp_path / "s.json")
    assert status == 1
    assert "set aside" in out
