/* version.c - see version.h */
#include "lb/main/version.h"

#include "lb/io/io.h"
#include "lb/main/hardening.h"
#include "lb/net/tls.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <ares.h>
#include <errno.h>
#include <libconfig.h>
#include <liburing.h>
#include <nghttp2/nghttp2.h>
#include <openssl/crypto.h>
#include <pcre2.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Newer versions of liburing say which they are. */
#ifdef IO_URING_VERSION_MAJOR
#define URING_TEXT(major, minor) "liburing " URING_STR(major) "." URING_STR(minor)
#define URING_STR(x)             #x
#define LIBURING                 URING_TEXT(IO_URING_VERSION_MAJOR, IO_URING_VERSION_MINOR)
#else
#define LIBURING "liburing"
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZER " address+undefined sanitizers"
#elif defined(__SANITIZE_THREAD__)
#define SANITIZER " thread sanitizer"
#else
#define SANITIZER ""
#endif

void version_print(FILE *out)
{
    fprintf(out, "sluice %s\n", SLUICE_VERSION);
}

static const char *kernel_tls(void)
{
    int error = tls_kernel_probe();

    if (error == 0)
        return "in this kernel, for listeners with tls.kernel = true";
    return error == -ENOENT ? "not in this kernel" : strerror(-error);
}

static void print_engines(FILE *out)
{
    struct io_probe probe;
    struct utsname kernel;

    io_probe(&probe);
    if (uname(&kernel) == 0)
        fprintf(out, "kernel:    %s %s %s\n", kernel.sysname, kernel.release, kernel.machine);
    if (probe.uring)
        fprintf(out, "io_uring:  available (%s)\n", probe.features);
    else
        fprintf(out, "io_uring:  not available: %s\n", probe.why);
    fprintf(out, "epoll:     available\n");
    fprintf(out, "kTLS:      %s\n", kernel_tls());
    fprintf(out, "engine:    io = \"auto\" takes %s\n", probe.uring ? "io_uring" : "epoll");
}

/* Whether the library has a compiler for this processor; a hardened unit may forbid its use. */
static bool regex_jit(void)
{
    uint32_t jit = 0;

    return pcre2_config(PCRE2_CONFIG_JIT, &jit) == 0 && jit != 0;
}

void version_print_build(FILE *out)
{
    version_print(out);
    fprintf(out, "compiler:  %s%s\n", __VERSION__, SANITIZER);
    fprintf(out,
            "features:  tcp, http/1.1, http/2, tls, fastcgi, uwsgi, scgi, proxy-protocol v1 v2, "
            "splice, stats socket, dns, regex%s\n",
            regex_jit() ? " (compiled)" : "");
    fprintf(out,
            "libraries: " LIBURING ", libconfig %d.%d.%d, c-ares %s, pcre2 %d.%d, nghttp2 %s, %s\n",
            LIBCONFIG_VER_MAJOR, LIBCONFIG_VER_MINOR, LIBCONFIG_VER_REVISION, ares_version(NULL),
            PCRE2_MAJOR, PCRE2_MINOR, nghttp2_version(0)->version_str,
            OpenSSL_version(OPENSSL_VERSION));
    print_engines(out);
    hardening_print(out);
}
