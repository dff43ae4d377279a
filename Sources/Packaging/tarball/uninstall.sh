#!/bin/sh
# Removes what install.sh installed below PREFIX: its files, and the folders that it made if they
# are empty. The state of a daemon (/var/lib/memslotd) stays.
#     PREFIX/lib/memslots/uninstall.sh PREFIX
set -eu
root=${1:?usage: uninstall.sh PREFIX}
list=$root/lib/memslots/installed
[ -e "$list" ] || { echo "$list is missing: nothing of Memslots is installed below $root" >&2; exit 1; }
# A unit that is gone could not be stopped. memslotd.socket may be one of another installation.
active=
if [ -d /run/systemd/system ] && [ -e "$root/lib/systemd/system/memslotd.socket" ] &&
    [ "$(systemctl show -P FragmentPath memslotd.socket 2>/dev/null)" -ef "$root/lib/systemd/system/memslotd.socket" ]; then
    systemctl disable --now memslotd.socket memslotd.service 2>/dev/null || true
    active=1
fi
entries=$(cat "$list")
printf '%s\n' "$entries" | while read -r entry; do
    case $entry in
    */) if [ -z "$(ls -A "$root/$entry")" ]; then rmdir "$root/$entry"; fi ;;
    *) rm -f "$root/$entry" ;;
    esac
done
if [ -n "$active" ]; then
    systemctl daemon-reload
    # Not the socket of a daemon that somebody runs by hand.
    lock=/run/memslots/memslotd.sock.lock
    if [ -d /run/memslots ]; then flock -n "$lock" rm -f "${lock%.lock}" "$lock" || true; fi
    rmdir /run/memslots 2>/dev/null || true
    echo 'memslotd.socket and memslotd.service are stopped'
fi
echo "removed from $root"
