#!/usr/bin/env bash
# setup.sh [build|test|stacks|bench|fuzz|kernels] - sees to it that what a level needs is there.
#
# Looks for the things themselves (a header, a command), not for package names, so that it passes
# anywhere they are. What is missing comes from apt: as root, or by sudo where that asks nothing;
# otherwise it names the packages and the command and ends with 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

level=${1:-build}
case $level in
build | test | stacks | bench | fuzz | kernels) ;;
*)
    echo "setup.sh: unknown level '$level', expected build, test, stacks, bench, fuzz or kernels" >&2
    exit 2
    ;;
esac

missing=()
# want PACKAGE cmd NAME... | header FILE | file PATH...     any of the names will do
want() {
    local package=$1 kind=$2 thing
    shift 2
    for thing in "$@"; do
        case $kind in
        cmd) PATH=$PATH:/usr/sbin:/sbin command -v "$thing" >/dev/null && return ;;
        header) echo "#include <$thing>" | "${CC:-cc}" -E -x c - >/dev/null 2>&1 && return ;;
        cmocka) # wants these four before it
            printf '#include <%s>\n' stdarg.h stddef.h setjmp.h stdint.h cmocka.h |
                "${CC:-cc}" -E -x c - >/dev/null 2>&1 && return ;;
        file) [[ -e $thing ]] && return ;;
        esac
    done
    missing+=("$package")
}

want gcc cmd gcc
want make cmd make
want libc6-dev file /usr/include/stdio.h /usr/include/"$(uname -m)"-linux-gnu/sys/types.h
if command -v "${CC:-cc}" >/dev/null; then
    want linux-libc-dev header linux/types.h
    want liburing-dev header liburing.h
    want libconfig-dev header libconfig.h
    want libc-ares-dev header ares.h
    want libpcre2-dev file /usr/include/pcre2.h
    want libssl-dev header openssl/ssl.h
    want libnghttp2-dev header nghttp2/nghttp2.h
    want libcrypt-dev header crypt.h
    want libseccomp-dev header seccomp.h
else # no compiler yet, so no way to look: apt skips what is there
    missing+=(liburing-dev libconfig-dev libc-ares-dev libpcre2-dev libssl-dev libnghttp2-dev libcrypt-dev libseccomp-dev)
fi
if [[ $level == test ]]; then
    if command -v "${CC:-cc}" >/dev/null; then
        want libcmocka-dev cmocka .
    else
        missing+=(libcmocka-dev)
    fi
    want python3 cmd python3
    want nodejs cmd node
    want npm cmd npm
    want curl cmd curl
    want tmux cmd tmux
    want testssl.sh cmd testssl
    want openssl cmd openssl
    want nginx cmd nginx
    want nghttp2-client cmd h2load
    want nghttp2-server cmd nghttpd
    want python3-grpcio file /usr/lib/python3/dist-packages/grpc
    want dnsmasq-base cmd dnsmasq
    want hatop cmd hatop
    want prometheus-haproxy-exporter cmd prometheus-haproxy-exporter
    want spin cmd spin
    want clang-tidy cmd clang-tidy-14 clang-tidy
    # The layout is judged by version 14 only; where the system has another, nothing is missing.
    if [[ $(apt-cache policy clang-format-14 2>/dev/null) == *"Candidate: 1:14"* ]]; then
        want clang-format-14 cmd clang-format-14
    fi
fi
if [[ $level == kernels ]]; then
    want qemu-system-x86 cmd qemu-system-x86_64
    want busybox-static cmd busybox
    want kmod cmd depmod
    want cpio cmd cpio
    want zstd cmd zstd
    want xz-utils cmd xz
    want iproute2 cmd ip
fi
if [[ $level == stacks ]]; then
    want python3 cmd python3
    want openssl cmd openssl
    want curl cmd curl
    want nodejs cmd node
    want npm cmd npm
    want php-fpm file /usr/sbin/php-fpm*
    want uwsgi-core cmd uwsgi-core
    want dpkg-dev cmd dpkg-shlibdeps
    want lintian cmd lintian
    want systemd cmd systemd-analyze
    want mandoc cmd mandoc
    want man-db cmd man
    want chromium cmd chromium
    want chromium-driver cmd chromedriver
    want python3-pil file /usr/lib/python3/dist-packages/PIL
    want fonts-dejavu-core file /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
    want nginx cmd nginx
    want python3-grpcio file /usr/lib/python3/dist-packages/grpc
    want logrotate cmd logrotate
    want prometheus cmd promtool
    want python3-prometheus-client file /usr/lib/python3/dist-packages/prometheus_client
    want zsh cmd zsh
    want passwd cmd useradd
    want nginx cmd nginx
    want libnginx-mod-stream file /usr/lib/nginx/modules/ngx_stream_module.so
    want apache2 cmd apache2
    want haproxy cmd haproxy
    want caddy cmd caddy
    want python3-grpcio file /usr/lib/python3/dist-packages/grpc
    want chromium cmd chromium
    want chromium-driver cmd chromedriver
    want python3-flask file /usr/lib/python3/dist-packages/flask
    want python3-django file /usr/lib/python3/dist-packages/django
    want python3-fastapi file /usr/lib/python3/dist-packages/fastapi
    want python3-uvicorn file /usr/lib/python3/dist-packages/uvicorn
    want python3-gunicorn file /usr/lib/python3/dist-packages/gunicorn
    want python3-websockets file /usr/lib/python3/dist-packages/websockets
    want uwsgi-plugin-python3 file /usr/lib/uwsgi/plugins/python3*_plugin.so
    want postgresql file /usr/lib/postgresql/*/bin/initdb
    want mariadb-server cmd mariadbd
    want redis-server cmd redis-server
    want tomcat10-common file /usr/share/tomcat10/lib/catalina.jar
    want default-jre-headless cmd java
    want golang-go cmd go
    # The application of the tests is written for hyper 0.14; where the system has another, its test is skipped.
    if [[ $(apt-cache policy librust-hyper-dev 2>/dev/null) == *"Candidate: 0.14"* ]]; then
        want cargo file /usr/bin/cargo
        want rustc file /usr/bin/rustc
        want librust-hyper-dev file /usr/share/cargo/registry/hyper-0.14*
        want librust-tokio-dev file /usr/share/cargo/registry/tokio-1.*
        want librust-md5-dev file /usr/share/cargo/registry/md5-0.7*
    fi
    want golang-golang-x-net-dev file /usr/share/gocode/src/golang.org/x/net/http2
    want golang-google-grpc-dev file /usr/share/gocode/src/google.golang.org/grpc
    want python3-aiosmtpd file /usr/lib/python3/dist-packages/aiosmtpd
fi
if [[ $level == bench ]]; then
    want python3 cmd python3
    want haproxy cmd haproxy
    want nginx cmd nginx
    want nghttp2-client cmd h2load
    want h2o cmd h2o
    want php-fpm file /usr/sbin/php-fpm*
    want openssl cmd openssl
    want libnginx-mod-stream file /usr/lib/nginx/modules/ngx_stream_module.so
fi
if [[ $level == fuzz ]]; then
    want clang cmd clang
    want libclang-rt-dev file /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer*
fi

# npm's packages, as the lock files name them. Without npm's registry everything else can be tested
# still: the tests that need them fail and say so.
node_packages() {
    case $level in
    test) npm_install tests/e2e/node build/node ;;
    stacks) npm_install tests/stacks/node build/stacks-node ;;
    esac
}

npm_install() { # FROM TO
    local from=$1 to=$2 log
    command -v npm >/dev/null || return 0
    cmp -s "$from/package-lock.json" "$to/package-lock.json" && [[ -e $to/complete ]] && return
    echo "setup.sh: installing npm's packages for $from"
    mkdir -p "$to"
    rm -f "$to/complete"
    cp "$from/package.json" "$from/package-lock.json" "$to"
    log=$(mktemp)
    if (cd "$to" && npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1); then
        touch "$to/complete"
    else
        cat "$log" >&2
        echo "setup.sh: npm could not install what $from/package.json names: the tests that need" \
            "it will fail" >&2
    fi
    rm -f "$log"
}

if ((${#missing[@]} == 0)); then
    node_packages
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    echo "setup.sh: missing: ${missing[*]} (names of Debian's packages), and there is no apt-get" \
        "here: please install what they hold in your system's way" >&2
    exit 1
fi
as_root=()
if ((EUID != 0)); then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        echo "setup.sh: missing packages: ${missing[*]}" >&2
        echo "setup.sh: please run:  sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
fi

# nginx and hatop's haproxy are wanted as programs, not as services that take port 80.
policy=/usr/sbin/policy-rc.d
drop_policy() { "${as_root[@]}" rm -f "$policy"; }
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    trap drop_policy EXIT
    "${as_root[@]}" chmod 755 "$policy"
fi

echo "setup.sh: installing ${missing[*]}"
log=$(mktemp)
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"; }
install() { apt install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; }
if ! install; then # the package lists may be old or absent
    if ! { apt update >"$log" 2>&1 && install; }; then
        cat "$log" >&2
        rm -f "$log"
        echo "setup.sh: apt-get could not install: ${missing[*]}" >&2
        exit 1
    fi
fi
rm -f "$log"
node_packages
