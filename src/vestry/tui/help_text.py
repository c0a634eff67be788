"""F1: what each question proves, what to say aloud, and what to do when it does not work. By the question's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Help(NamedTuple):
    """Help for one question."""

    proves: str
    aloud: str
    fails: str


_STOP = "Press Esc to stop. Everything recorded stays, and the same command goes on from here."

GENERAL = Help(
    "Each answer is written to the transcript before the next step begins.",
    "What you do, before you do it: the witnesses follow by ear.",
    _STOP,
)

LOOKING = Help(
    "What changed, what was found and who must sign, from the very bytes that would be signed. Nothing is signed or "
    "written here.",
    "Nothing needs to be; a digest that two people compare is read as its words (F3).",
    "If anything is not meant, do not sign it: ask whoever drafted it. Up and Down move the cursor; Enter folds a "
    "group, goes from a finding to its change, or shows old and new side by side; c shows canonical bytes, r the file. "
    "d goes to what was not seen yet, f and F to findings; / searches, n and N go on; v shows one kind only. Esc goes "
    "back, and leaves.",
)

_DIGEST = "The two words, read by someone else from their own screen or paper; the holder types what is heard."

TEXTS: Mapping[str, Help] = {
    "present": Help(
        "Who was in the room. The transcript says so on the administrator's word.",
        "Each name and office, and each person answers.",
        "If someone is missing, press n; the ceremony stops and can be resumed when all are here.",
    ),
    "done": Help(
        "That people did what the script tells them to.",
        "The instruction, word for word.",
        "If it was done differently, press F2 and say how; the note becomes part of the transcript.",
    ),
    "record": Help(
        "What people saw, in their own words: a bag number, a serial.",
        "What you type, so that the witnesses can compare.",
        "If it can't be read, type that; if it is not what was expected, press F2 and note it.",
    ),
    "preflight": Help(
        "What this machine says of itself. A machine that lies about itself is not found out this way.",
        "Each line that does not hold.",
        "Mend it and look again. Going on in spite of it asks for a reason, which everyone can read later.",
    ),
    "waive": Help(
        "Why the ceremony went on in spite of this.",
        "The reason, and that nobody in the room objects.",
        "If someone objects, press Esc and stop.",
    ),
    "new-pin": Help(
        "Only its holder knows the PIN. It is never written, shown or recorded here, not even its length.",
        "Nothing. Everyone else looks away, and the camera sees only a mask of fixed width.",
        "If the two differ, both are forgotten and typed again; nothing was set.",
    ),
    "new-so-pin": Help(
        "This PIN can reset a locked one, and so it opens the token. Whoever keeps it holds that power.",
        "Who will keep it, and where; never the PIN.",
        "If the two differ, both are forgotten and typed again; nothing was set.",
    ),
    "digits": Help(
        "The token in the reader is the one in the holder's hand, and not one that looks like it.",
        "The last four characters, read off the token itself or its label.",
        "If they differ, this is another token. Take it out, and find the right one before you go on.",
    ),
    "review": Help(
        "Everyone reads the very bytes that will be signed. No change can be left out of this list.",
        "Each line marked + - or ~, and the digest's words at the end.",
        "If anything is not meant, press Esc and stop. Nothing has been signed yet. Up and Down move the cursor; Enter "
        "folds a group, goes from a finding to its change, or shows old and new side by side; c shows canonical bytes, "
        "r the file. d goes to what was not seen yet, f and F to findings; / searches, n and N go on; v shows one kind "
        "only; y says that all was read. While you answer, Up goes back, to mend what was typed.",
    ),
    "which-token": Help(
        "The device that becomes this holder's is the one in the holder's hand.",
        "The serial, read off the device.",
        "If none of them is it, press Esc, put in the right one, and begin this step again.",
    ),
    "again-blank": Help(
        "A YubiKey makes keys for whoever has its management key, and that ended with the program's last run.",
        "That the device is erased again, and that it has signed nothing yet.",
        "If it can't be reset here, stop, and take another device: name its serial in the script.",
    ),
    "attestation": Help(
        "What the device's maker says of this key, under the maker's own signature where the script names its root.",
        "Each line, and the holder's decision.",
        "If nobody can say why it is so, press n, and take another device.",
    ),
    "attestation-files": Help(
        "The maker's proof of this key, for a device that gives it out in files.",
        "The folder, and which device its files are from.",
        "If the proof is missing, take it from the device with its maker's tool, in another console.",
    ),
    "not-destroyed": Help(
        "Why a key that should be gone is still there. The rest of the ceremony does not wait for it.",
        "What happens to the device now: which bag, who keeps it, when it is destroyed.",
        "If nobody can say that, stop here. Everything recorded stays.",
    ),
    "overrule": Help(
        "More than one person stands for going on in spite of a stop. Their names are in the transcript.",
        "The finding, word for word, and each name.",
        "If one of them doubts it, choose nobody: the ceremony stops, and nothing is signed.",
    ),
    "words": Help(
        "The holder signs the document that was read: two words of its digest, at places picked anew each time.",
        _DIGEST,
        "If the words differ between two screens, stop: they show two different documents.",
    ),
    "pin": Help(
        "The holder agrees that the token acts now, for what stands here and nothing else.",
        "What the token is about to do. Never the PIN.",
        "A wrong PIN uses up a try and is never sent twice. Take your time; look at the token before the last one.",
    ),
    "last-try": Help(
        "After one more wrong PIN the token locks, and its keys can't be used again.",
        "That this is the last try.",
        "If you are not sure of the PIN, press n; another holder can sign in your place.",
    ),
    "outcome": Help(
        "The program was cut off while a token was signing. No signature was kept, so none is lost or counted twice.",
        "That this signature is asked for again, and why.",
        "Signing the same bytes again does no harm. If you are in doubt, press n and stop.",
    ),
    "trouble": Help(
        "Nothing goes on by itself after a failure. The panel before this said whether anything was signed.",
        "What failed, with the code in brackets.",
        "Look at the device first. Trying again repeats this step and nothing that is done.",
    ),
    "export": Help(
        "What leaves the room is what was signed: every file is read back from the medium and compared.",
        "The name of the medium, and who takes it.",
        "If writing fails, use another medium; an incomplete copy is never taken for a whole one.",
    ),
    "drive": Help(
        "The medium that what was signed leaves on. Its line goes into the transcript.",
        "Label, size and serial number, compared with what is printed on it.",
        "If it is not listed, mount it and look again; if it is read-only, open its write lock.",
    ),
    "import": Help(
        "Signatures made elsewhere are verified here against this draft, one by one.",
        "Whose signatures they are, and how they came.",
        "One that does not hold is set aside and named. The others count.",
    ),
    "agree": Help(
        "A signed yes, or a signed no, to the whole transcript. Both are valid, and both stay.",
        "The words of the head, from this screen, and each compares them with their own paper.",
        "If the words on paper differ, or something is missing, choose the second and say why.",
    ),
    "reason": Help(
        "Your reason is signed with your seal.",
        "The reason.",
        "Write as much as you need; nobody can change it later.",
    ),
    "depart": Help(
        "A script is left only in the open: what, why and who agreed is in the transcript, the rail and the record.",
        "What goes off the script, and why.",
        "Choose 1: nothing changes. Drafts, reviews and verifications are never skipped, and nothing before a "
        "signature is repeated once there is one.",
    ),
    "which-step": Help(
        "The step is held again; for tokens, the keys that it made are given up, and drafts and reviews made anew.",
        "The step, and what it gave up.",
        "A step that is not listed can't be repeated any more. Leave the line empty to go back.",
    ),
    "which-one": Help(
        "The token's keys of this ceremony are given up. They are named in no document that was signed.",
        "Whose token it is.",
        "Choose 1 to go back; nothing changes.",
    ),
    "set-aside": Help(
        "A device that is set aside is refused by its serial for the rest of the ceremony.",
        "The serial, and where the device is kept from now on.",
        "A key may still be on it: keep it as evidence, or erase it outside this ceremony.",
    ),
    "why": Help(
        "The reason stands in the transcript and on the record, word for word.",
        "The reason, before the others agree to it.",
        "Write as much as you need; nobody can change it later.",
    ),
    "agree-exception": Help(
        "As many different people as the script says, who are here; not administrators alone.",
        "Each says aloud that they agree.",
        "Choose 1 if someone does not agree: nothing changes.",
    ),
    "watch": Help(
        "What a watch said, on the word of who read it. Expiry is computed from the machine's clock.",
        "The time, in UTC, and whose watch it is.",
        "If it was typed wrong, state it again: the last one counts.",
    ),
    "clock": Help(
        "Nothing is drafted on a time that is in doubt: expiry would be wrong for years.",
        "What the clock and the watch say.",
        "Set the clock (in another console), then state the time again; or agree to go on, with a reason.",
    ),
    "snapshot": Help(
        "The folder is compared only if its files are exactly those whose list the script pins.",
        "Which stick or folder it is, and who kept it.",
        "Bring the right one and name it. Another folder is told, and asked for again.",
    ),
    "compared": Help(
        "What differs from the last good snapshot may be an attacker's work. Your answer is in the transcript.",
        "Each difference, and what will be done about it.",
        "Do not go on while someone can't explain a difference; restore that target first.",
    ),
    "own-key": Help(
        "The script has the public half of your key; the private half signs the seal here, and nothing else.",
        "Whose key it is.",
        "If it is not here, stop: vestry seal adds your seal later, from anywhere.",
    ),
    "key-file": Help(
        "The file is read once; it is never copied, and the transcript does not name it.",
        "Nothing.",
        "Write the whole path, as /media/usb/key.pem. A wrong one only leads back here.",
    ),
    "fingerprint": Help(
        "GnuPG on this machine signs with that key. The script has its public half, so another is refused.",
        "The fingerprint, and its holder compares it with their own card.",
        "gpg --list-keys, in another terminal, shows the fingerprints that are here.",
    ),
    "passphrase": Help(
        "It opens the file of your own key for one signature, and is kept nowhere.",
        "Nothing: a passphrase is never said.",
        "A wrong one signs nothing. Run the same line again.",
    ),
    "finished": Help(
        "The head stands for every line of the transcript. One changed letter gives other words.",
        "All 32 words, slowly. Witnesses write them down.",
        "If a word was misheard, read all of it again. The head stays the same.",
    ),
}


def text_of(name: str) -> Help:
    """Help for the question of that name, or what holds everywhere."""
    return TEXTS.get(name, GENERAL)
