#!/bin/sh
# Installs Memslots below PREFIX, an absolute path; DESTDIR, if it is set, is put before it:
#     ./install.sh /usr/local
# What another version installed there is removed first. PREFIX/lib/memslots/uninstall.sh removes
# it all again.
set -eu
case ${1-} in
/*) prefix=${1%/} ;;
*) echo 'usage: ./install.sh PREFIX, an absolute path' >&2; exit 64 ;;
esac
cd "$(dirname "$0")"
root=${DESTDIR-}$prefix
list=$root/lib/memslots/installed
if [ -e "$list" ]; then ./uninstall.sh "$root"; fi

# make FOLDER: creates it and those above it, and records those that were not there.
made=
make() {
    [ -d "$root/$1" ] && return
    case $1 in */*) make "${1%/*}" ;; esac
    [ -d "$root/$1" ] || { mkdir -m 755 "$root/$1"; made="$1/
$made"; }
}
files=$(find bin include lib share ! -type d | LC_ALL=C sort)
for file in $files; do
    if [ -e "$root/$file" ]; then
        echo "$root/$file exists, and this script did not install it" >&2
        exit 1
    fi
done
mkdir -p "$root"
make lib/memslots
printf '%s\n' "$files" >"$list"
for folder in $(find bin include lib share -type d | LC_ALL=C sort); do make "$folder"; done
for file in $files; do
    case $file in
    lib/systemd/* | lib/pkgconfig/* | share/man/* | share/memslots/* | share/doc/memslots/README.md)
        sed "s|@PREFIX@|$prefix|g" "$file" >"$root/$file"
        chmod 644 "$root/$file"
        ;;
    *) cp -P -p "$file" "$root/$file" ;;
    esac
done
cp uninstall.sh "$root/lib/memslots/uninstall.sh"
printf '%s\n' lib/memslots/uninstall.sh lib/memslots/installed >>"$list"
printf '%s' "$made" >>"$list"
echo "installed below $prefix"
if [ -z "${DESTDIR-}" ] && [ -d /run/systemd/system ]; then
    echo 'to start the daemon with its first client: systemctl daemon-reload && systemctl enable --now memslotd.socket'
fi
