#!/usr/bin/env bash
# image-tree.sh FOLDER [BINARY] - lays out what the container image holds: the binary (build/sluice), the
# libraries that it is linked with, certificates to trust, the user, folders for sockets and state.
#
# For scanners, var/lib/dpkg/status.d says which packages of the system the files are from. The
# Dockerfile and the test of the image's contents both call it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

(($# == 1 || $# == 2)) || {
    echo "usage: image-tree.sh FOLDER [BINARY]" >&2
    exit 2
}
tree=$1
binary=${2:-build/sluice}
uid=65532
from=() # files of the system that were copied

mkdir -p "$tree"/{usr/sbin,usr/lib64,etc/sluice,etc/ssl/certs,run/sluice,tmp,var/lib/sluice,var/lib/dpkg/status.d}
mkdir -p "$tree"/{dev,proc,sys}
for folder in lib lib64 sbin; do ln -sfn "usr/$folder" "$tree/$folder"; done
chmod 1777 "$tree/tmp"

install -m 755 "$binary" "$tree/usr/sbin/sluice"

# Libraries by their names, whatever they are links to; the loader where the binary looks for it.
add_library() {
    local path=$1 to=$1
    [[ $to == /usr/* ]] || to=/usr$to
    install -D -m 755 "$path" "$tree$to"
    from+=("$path")
}
mapfile -t libraries < <(ldd "$binary" | sed -n 's/^[^/]*\(\/[^ ]*\).*/\1/p' | sort -u)
((${#libraries[@]} > 0)) || {
    echo "image-tree.sh: $binary names no libraries" >&2
    exit 1
}
for path in "${libraries[@]}"; do add_library "$path"; done

bundle=/etc/ssl/certs/ca-certificates.crt
if [[ -e $bundle ]]; then
    install -m 644 "$bundle" "$tree$bundle"
    mkdir -p "$tree/usr/lib/ssl"
    ln -sfn "$bundle" "$tree/usr/lib/ssl/cert.pem"
else
    echo "image-tree.sh: $bundle is missing: https backends will need tls.ca" >&2
fi

printf '%s\n' 'root:x:0:0:root:/:/nologin' "sluice:x:$uid:$uid:sluice:/var/lib/sluice:/nologin" \
    >"$tree/etc/passwd"
printf '%s\n' 'root:x:0:' "sluice:x:$uid:" >"$tree/etc/group"
printf '%s\n' 'hosts: files dns' 'passwd: files' 'group: files' >"$tree/etc/nsswitch.conf"
if ((EUID == 0)); then chown "$uid:$uid" "$tree/run/sluice" "$tree/var/lib/sluice"; fi

# Packages: the library's own name, as dpkg knows it by its path with or without /usr.
if command -v dpkg-query >/dev/null; then
    for path in "${from[@]}"; do
        real=$(readlink -f "$path")
        dpkg-query -S "$path" "$real" "${path#/usr}" "${real#/usr}" 2>/dev/null || true
    done | cut -d: -f1 | sort -u | while read -r package; do
        dpkg-query -s "$package" >"$tree/var/lib/dpkg/status.d/$package"
    done
fi
