#!/bin/sh
# Makes the machine of a ceremony out of the packages. mmdebstrap runs it outside the new system, whose root is $1 and
# which has the kit in /opt/kit by then.
set -eu
root=$1
within() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 PYTHONHASHSEED=0 SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" "$@"; }

# Whatever folder it lies in, no module stays that could make a network interface or a radio.
kernel=$(ls "$root/usr/lib/modules")
grep -rlaEZ 'register_netdev|wiphy_register|ieee80211_register_hw|hci_register_dev' "$root/usr/lib/modules" | xargs -0 rm -f
within depmod "$kernel"

within useradd --uid 1000 --user-group --groups softhsm --no-create-home --shell /bin/bash ceremony
within chown -R ceremony:ceremony /home/ceremony
within sh /opt/kit/install.sh /opt/vestry 2>/dev/null
ln -s /opt/vestry/bin/vestry "$root/usr/local/bin/vestry"
mkdir "$root/usr/share/vestry"
for part in README.md threat-model.md docs ceremony-scripts COMMIT SHA256SUMS sbom.cdx.json; do
  mv "$root/opt/kit/$part" "$root/usr/share/vestry/"
done
rm -r "$root/opt/kit"
ln -s /usr/share/vestry/ceremony-scripts /usr/share/vestry/docs /media "$root/home/ceremony/"

# Bytecode that names no time of its source, since every file gets a time of its own when the image is made.
find "$root/usr/lib" "$root/usr/share" "$root/opt" -name __pycache__ -prune -exec rm -r {} +
within python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3 /usr/lib/python3.11 /opt/vestry/lib

# No one logs in, here or from elsewhere: the screen and the serial line belong to one ordinary user from the start.
within systemctl --quiet mask getty@.service getty-static.service serial-getty@.service autovt@.service systemd-logind.service
within systemctl --quiet enable vestry@tty1.service vestry@ttyS0.service set-clock.socket turn-off.path
within systemctl --quiet set-default multi-user.target
ln -sf poweroff.target "$root/usr/lib/systemd/system/ctrl-alt-del.target"

# What tells when, where or on what machine this was made.
cd "$root"
rm -rf etc/apt/sources.list etc/apt/sources.list.d etc/resolv.conf etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/subuid- etc/subgid- boot/System.map* \
  etc/.pwd.lock var/backups/* var/cache/* var/lib/apt var/lib/dpkg/*-old var/log/* var/lib/systemd/random-seed
: >etc/machine-id
