#!/bin/sh
# Installs Vestry from this folder alone: no network is used, and no root needed.
#   sh install.sh [FOLDER]      where to (default: vestry in your home)
set -eu
umask 022

say() { printf '%s\n' "$*" >&2; }
stop() { say "install: $*"; exit 2; }

here=$(cd "$(dirname "$0")" && pwd)
into=${1:-"$HOME/vestry"}
case $into in /*) ;; *) into=$(pwd)/$into ;; esac
[ ! -e "$into" ] || stop "$into is there already: name another folder, or remove it first"
cd "$here"

# Every file is as it was built, and no file is here that was not built.
sha256sum --check --quiet --strict SHA256SUMS >&2 || stop "this kit is damaged or was changed: do not use it"
listed=$(cut -c 67- SHA256SUMS | sort)
found=$(find . ! -type d ! -path ./SHA256SUMS | cut -c 3- | sort)
[ "$listed" = "$found" ] || stop "files lie here that SHA256SUMS does not list: do not use this kit"
say "SHA-256 of SHA256SUMS: $(sha256sum SHA256SUMS | cut -c 1-64)"
say "Compare it with what the people who built this kit read to you, before you go on using it."

python=
for name in python3.11 python3.13 python3; do
  version=$(command -v "$name" >/dev/null && "$name" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' || true)
  case $version in 3.11 | 3.13) python=$name; break ;; esac
done
[ -n "$python" ] || stop "no Python 3.11 or 3.13 is here: Debian 12 and 13 have one (package python3)"

trap 'rm -rf "$into"' EXIT
trap 'exit 130' INT TERM HUP
"$python" -I -m venv --without-pip "$into" || stop "$python cannot make an environment in $into"
pip=$(echo wheels/pip-*.whl)
PYTHONPATH="$pip" "$into/bin/python" -m pip --isolated install --quiet --disable-pip-version-check --no-cache-dir \
  --no-index --find-links wheels --require-hashes --no-deps --requirement requirements.lock \
  || stop "nothing was installed: this machine is none that the kit is for (x86_64 or aarch64 with glibc)"
"$into/bin/vestry" --version >/dev/null || stop "what was installed does not run"
trap - EXIT

say "Vestry is in $into. The digest above, as words:"
"$into/bin/python" -I -c 'import hashlib, pathlib; from vestry.text import words
said = words(hashlib.sha256(pathlib.Path("SHA256SUMS").read_bytes()).hexdigest())
print(*("  " + " ".join(said[at : at + 4]) for at in range(0, len(said), 4)), sep="\n")' >&2
printf '%s\n' "$into/bin/vestry rehearse"
