#!/bin/sh
# Removes what install.sh installed below PREFIX: its files, and the folders that it made if they
# are empty. The state of a daemon (/var/lib/memslotd) stays.
#     PREFIX/lib/memslots/uninstall.sh PREFIX
set -eu
root=${1:?usage: uninstall.sh PREFIX}
list=$root/lib/memslots/installed
[ -e "$list" ] || { echo "$list is missing: nothing of Memslots is installed below $root" >&2; exit 1; }
entries=$(cat "$list")
printf '%s\n' "$entries" | while read -r entry; do
    case $entry in
    */) if [ -z "$(ls -A "$root/$entry")" ]; then rmdir "$root/$entry"; fi ;;
    *) rm -f "$root/$entry" ;;
    esac
done
echo "removed from $root"
