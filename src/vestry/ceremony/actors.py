"""Who may have done what: the person that a line names as its actor, held against the script. Pure.

What rests on somebody's word rests on that name, so that a name is no free text.
"""

from __future__ import annotations

from vestry.ceremony import events as e
from vestry.ceremony.script import Script
from vestry.ceremony.state import State
from vestry.errors import Refused
from vestry.text import printable

_OF_TOKEN = (e.InitialiseIntended, e.TokenInitialised, e.TokenAdopted, e.TokenConfirmed)
_OF_KEY = (
    e.GenerateIntended,
    e.KeyGenerated,
    e.KeyTaken,
    e.SignatureIntended,
    e.DestroyIntended,
    e.KeyDestroyed,
    e.KeyKept,
)


def administrator(script: Script) -> str:
    """Who acts where no holder does: the first administrator, or else the first person."""
    return next((p.name for p in script.people if p.office == "administrator"), script.people[0].name)


def check(state: State, event: e.Event, by: str) -> None:
    """Refuse an actor who is nobody of the script, or not the one whose turn `event` is, which `decide` admitted.

    Raises:
        Refused: it says who it is instead.
    """
    if by not in state.script.names:
        raise Refused(f"'{printable(by, 80)}' is nobody of this script")
    if not isinstance(event, e.ExceptionNoted) and by != (whose := _whose(state, event)):
        raise Refused(f"this is {printable(whose, 80)}'s to do, and '{printable(by, 80)}' is said to have done it")


def _whose(state: State, event: e.Event) -> str:
    if isinstance(event, _OF_TOKEN) or (isinstance(event, e.TroubleMet) and event.token):
        return state.script.token(event.token).holder
    if isinstance(event, _OF_KEY):
        return state.script.key(event.key).holder
    if isinstance(event, e.SealIntended | e.Sealed):
        return event.person
    if isinstance(event, e.SignatureAdded | e.IntentAbandoned) and state.unanswered is not None:
        return state.unanswered.by
    return administrator(state.script)
