#!/usr/bin/env bash
# build.sh BINARY VERSION OUT - makes OUT/sluice_VERSION_ARCH.deb of the binary and of what `make install`
# lays out beside it.
#
# Needs dpkg-dev alone (no debhelper): dpkg-shlibdeps finds the libraries' packages, dpkg-deb packs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

(($# == 3)) || {
    echo "usage: build.sh BINARY VERSION OUT" >&2
    exit 2
}
command -v dpkg-shlibdeps >/dev/null || {
    echo "build.sh: dpkg-shlibdeps is missing: please run  apt-get install dpkg-dev" >&2
    exit 1
}
binary=$1
version=$2
out=$3
arch=$(dpkg --print-architecture)
deb=$out/sluice_${version}_$arch.deb
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
umask 022

install -D -m 755 "$binary" "$root/usr/sbin/sluice"
make --no-print-directory DESTDIR="$root" PREFIX=/usr SYSCONFDIR=/etc \
    UNITDIR=/lib/systemd/system SYSUSERSDIR=/usr/lib/sysusers.d install-shared >/dev/null
strip --remove-section=.comment --remove-section=.note --strip-unneeded "$root/usr/sbin/sluice"
install -m 644 etc/debian/sluice.conf "$root/etc/sluice/sluice.conf"
doc=$root/usr/share/doc/sluice
mv "$root/etc/sluice/sluice.conf.sample" "$doc/examples/sluice.conf"
install -m 644 etc/debian/copyright "$doc/copyright"
gzip -9n <etc/debian/changelog >"$doc/changelog.gz"
find "$root/usr/share/man" -type f -exec gzip -9n {} +

mkdir -p "$work/debian" "$root/DEBIAN"
cp etc/debian/control "$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O "$root/usr/sbin/sluice" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[[ -n $depends ]] || {
    echo "build.sh: dpkg-shlibdeps found no libraries" >&2
    exit 1
}
size=$(du -sk --exclude=DEBIAN "$root" | cut -f 1)
{
    echo "Package: sluice"
    echo "Version: $version"
    echo "Architecture: $arch"
    echo "Installed-Size: $size"
    sed -n '/^Source:/,/^$/{/^\(Section\|Priority\|Maintainer\):/p}' etc/debian/control
    sed -n '/^Package:/,$p' etc/debian/control | sed -e '/^\(Package\|Architecture\):/d' \
        -e "s/\${shlibs:Depends}/$depends/"
} >"$root/DEBIAN/control"
(cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 755 "etc/debian/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) \
    >"$root/DEBIAN/md5sums"
dpkg-deb --root-owner-group --build "$root" "$deb" >/dev/null
echo "$deb"
