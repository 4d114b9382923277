#!/usr/bin/env bash
# kernels.sh [RELEASE...] - the tests on kernels of other Debian releases (bookworm trixie), each in a
# virtual machine that has this system's files as its own, changes to them in its memory only, and no
# network but loopback. What `make test-kernels` does after set-up.
#
# K: regular expression of end-to-end tests, as run.py -k (default: all but the slow ones); J: how many
# at once; ACCEL=kvm where that works (emulated otherwise). Logs: build/kernels/RELEASE/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$PATH:/usr/sbin:/sbin

out=$PWD/build/kernels
releases=("$@")
((${#releases[@]} > 0)) || releases=(bookworm trixie)

die() {
    echo "kernels.sh: $*" >&2
    exit 1
}

# The kernel's package of a release, unpacked into $1/root. apt keeps lists of its own for it.
fetch() {
    local dir=$1 release=$2 mirror apt package
    [[ -e $dir/root/boot ]] && return
    mirror=$(apt-get indextargets --format '$(SITE)' | grep -m1 '^http') || die "apt knows no mirror"
    mkdir -p "$dir"/{lists/partial,cache/archives/partial}
    cat >"$dir/sources.list" <<EOF
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror%/} $release main
EOF
    apt=(-qq -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists="$dir/lists" -o Dir::Cache="$dir/cache" -o APT::Sandbox::User=root)
    apt-get "${apt[@]}" update || die "no packages of $release at $mirror"
    package=$(apt-cache "${apt[@]}" depends linux-image-amd64 | sed -n 's/ *Depends: \(linux-image-[0-9]\)/\1/p')
    (cd "$dir" && apt-get "${apt[@]}" download "$package") || die "no kernel of $release"
    dpkg -x "$dir/$package"_*.deb "$dir/root"
    [[ -e $dir/root/lib ]] || ln -s usr/lib "$dir/root/lib"
}

# What the machine starts with: busybox, and the modules that are needed to see this system's files.
initramfs() {
    local dir=$1 version tree=$1/initramfs needed module file
    version=$(ls "$dir/root/lib/modules")
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,dev,proc,sys,host,rw,newroot,modules}
    ldd "$(command -v busybox)" >/dev/null 2>&1 && die "busybox needs libraries: install busybox-static"
    cp "$(command -v busybox)" "$tree/bin/busybox"
    install -m 755 scripts/kernels/init.sh "$tree/init"
    depmod -b "$dir/root" "$version"
    needed="virtio_pci virtio_rng 9p 9pnet_virtio overlay"
    # Kernel TLS and its ciphers, which no machine could load later: it has no modules of its kernel.
    for module in $needed tls gcm ctr ghash_generic aesni_intel ghash_clmulni_intel chacha20poly1305 \
        chacha_generic chacha_x86_64 poly1305_generic; do
        modprobe -d "$dir/root" -S "$version" --show-depends "$module" 2>/dev/null ||
            [[ " $needed " != *" $module "* ]] || die "$version has no module $module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$dir/modules"
    while read -r file; do
        module=$(basename "$file")
        cp "$file" "$tree/modules/$module"
        case $module in
        *.xz) xz -d "$tree/modules/$module" ;;
        *.zst) zstd -dq --rm "$tree/modules/$module" ;;
        esac
        module=${module%.xz}
        echo "${module%.zst}" >>"$tree/modules/order"
    done <"$dir/modules"
    (cd "$tree" && find . | cpio -o -H newc --quiet | gzip -1) >"$dir/initramfs.gz"
}

machine() {
    local dir=$1
    qemu-system-x86_64 -accel "${ACCEL:-tcg,thread=multi}" -cpu max -smp 2 -m 4096 -nographic -no-reboot -net none \
        -kernel "$dir"/root/boot/vmlinuz-* -initrd "$dir/initramfs.gz" \
        -append "console=ttyS0 panic=-1 quiet sluice=$PWD share=$dir/share" \
        -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
        -virtfs local,path="$dir/share",mount_tag=share,security_model=none \
        -device virtio-rng-pci </dev/null >"$dir/console.log" 2>&1
}

passed=0 failed=0
for release in "${releases[@]}"; do
    dir=$out/$release
    fetch "$dir" "$release"
    initramfs "$dir"
    rm -rf "$dir/share"
    mkdir -p "$dir/share"
    printf 'K=%q\nJ=%q\n' "${K:-}" "${J:-2}" >"$dir/share/settings"
    : >"$dir/share/log"
    echo "== Linux of $release: $(basename "$dir"/root/boot/vmlinuz-*)"
    tail -n +1 -f "$dir/share/log" &
    tail=$!
    machine "$dir" || true
    sleep 1 # for tail's last lines; nothing waits for it
    kill "$tail"
    wait "$tail" 2>/dev/null || true
    read -r p f < <(cat "$dir/share/counts" 2>/dev/null || echo "0 1")
    [[ -e $dir/share/counts ]] || echo "FAIL $release: the machine ended early, see $dir/console.log"
    passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
((failed == 0))
