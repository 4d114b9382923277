/* syscalls.c - see syscalls.h
 *
 * Calls by name: those that this machine or this libseccomp does not have are left out. A call that
 * is missing here fails in production, so the lists are by what is done, not by what was seen. */
#include "lb/main/syscalls.h"

#include "lb/base/assert.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* clang-format off */
static const char *const allowed[] = {
    /* bytes */
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2",
    "pwritev2", "lseek", "splice", "tee", "sendfile", "sendfile64", "_llseek",
    /* descriptors */
    "close", "close_range", "fcntl", "fcntl64", "dup", "dup2", "dup3", "pipe", "pipe2", "eventfd2",
    "signalfd4", "timerfd_create", "timerfd_settime", "timerfd_gettime", "memfd_create",
    /* waiting */
    "poll", "ppoll", "ppoll_time64", "select", "pselect6", "pselect6_time64", "epoll_create1",
    "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "io_uring_enter", "io_uring_register",
    "futex", "futex_time64", "futex_waitv", "nanosleep", "clock_nanosleep",
    "clock_nanosleep_time64", "pause", "restart_syscall",
    /* sockets; socket() itself is below */
    "socketpair", "bind", "listen", "accept", "accept4", "connect", "getsockname", "getpeername",
    "getsockopt", "setsockopt", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg",
    "recvmmsg_time64", "shutdown",
    /* files: Landlock says which */
    "open", "openat", "openat2", "stat", "lstat", "fstat", "newfstatat", "fstatat64", "stat64",
    "lstat64", "fstat64", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2",
    "readlink", "readlinkat", "getdents64", "getcwd", "rename", "renameat", "renameat2", "unlink",
    "unlinkat", "link", "linkat", "fsync", "fdatasync", "ftruncate", "fallocate", "fadvise64",
    "fchmod", "fchmodat", "chmod", "umask", "flock",
    /* memory; executable too: regular expressions are compiled when they are loaded */
    "brk", "mmap", "mmap2", "munmap", "mremap", "mprotect", "madvise", "mincore", "membarrier",
    /* threads; clone() itself is below */
    "set_robust_list", "get_robust_list", "rseq", "sched_yield", "sched_getaffinity",
    "sched_setaffinity", "sched_getparam", "sched_getscheduler", "set_tid_address", "exit",
    "exit_group", "getcpu",
    /* signals */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend", "rt_sigpending",
    "rt_sigtimedwait", "rt_sigtimedwait_time64", "sigaltstack",
    /* the end of the keeper */
    "wait4", "waitid",
    /* time, and who and where we are */
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "gettimeofday",
    "time", "times", "getrandom", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid",
    "getegid", "getresuid", "getresgid", "getgroups", "uname", "sysinfo", "getrusage", "getrlimit",
    "ugetrlimit", "getpriority", "capget",
};

/* What is known and never done: the answer says that it is forbidden, not that there is none. */
static const char *const forbidden[] = {
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
    "kcmp", "pidfd_getfd", "pidfd_open", "pidfd_send_signal", "process_madvise", "kill", "tkill",
    "rt_sigqueueinfo", "rt_tgsigqueueinfo", "io_uring_setup", "userfaultfd", "bpf",
    "perf_event_open", "mount", "umount2", "pivot_root", "chroot", "unshare", "setns",
    "open_by_handle_at", "name_to_handle_at", "init_module", "finit_module", "delete_module",
    "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "keyctl", "add_key",
    "request_key", "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid",
    "setgroups", "setfsuid", "setfsgid", "capset", "chown", "fchown", "lchown", "fchownat", "mknod",
    "mknodat", "mkdir", "mkdirat", "rmdir", "symlink", "symlinkat", "truncate", "setxattr",
    "personality", "setrlimit", "sethostname", "setdomainname", "settimeofday", "clock_settime",
    "adjtimex", "clock_adjtime", "acct", "quotactl", "syslog", "ioperm", "iopl", "modify_ldt",
    "shmget", "shmat", "msgget", "semget", "mq_open", "fanotify_init", "inotify_init1",
    "memfd_secret", "pkey_mprotect", "vmsplice", "landlock_restrict_self",
};

/* The sanitizers look at all threads from a process of their own. */
static const char *const of_sanitizers[] = {
    "ptrace", "clone", "kill", "tgkill", "prctl", "ioctl", "arch_prctl", "setrlimit", "prlimit64",
    "getdents", "personality", "process_vm_readv", "pidfd_open", "sched_setscheduler", "fork",
    "vfork",
};

/* clang-format on */

static const unsigned long ioctls[] = {FIONREAD,   FIONBIO,      TCGETS,      TIOCGWINSZ, TIOCOUTQ,
                                       SIOCATMARK, SIOCGIFINDEX, SIOCGIFNAME, SIOCGIFCONF};
static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
static const int prctls[] = {PR_SET_NAME,         PR_GET_NAME,     PR_GET_DUMPABLE, PR_SET_VMA,
                             PR_GET_NO_NEW_PRIVS, PR_CAPBSET_READ, PR_GET_SECCOMP};

#define CACHESTAT 451 /* 6.5; the same on all machines */

struct filter {
    scmp_filter_ctx ctx;
    uint32_t n;
    int error; /* the first one */
};

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Negative where this machine has no such call. */
static int number_of(const char *name)
{
    return seccomp_syscall_resolve_name(name);
}

static void rule(struct filter *f, uint32_t action, const char *name, unsigned n,
                 struct scmp_arg_cmp arg)
{
    int number = number_of(name);

    if (number < 0 || f->error < 0)
        return;
    f->error = seccomp_rule_add_array(f->ctx, action, number, n, &arg);
    f->n += n == 0 && action == SCMP_ACT_ALLOW;
}

static void add_always(struct filter *f, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rule(f, SCMP_ACT_ALLOW, names[i], 0, SCMP_A0(SCMP_CMP_EQ, 0, 0));
}

static void add_forbidden(struct filter *f)
{
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
        if (!SANITIZED || !is_one_of(forbidden[i], of_sanitizers, ARRAY_LEN(of_sanitizers)))
            rule(f, SCMP_ACT_ERRNO(EPERM), forbidden[i], 0, SCMP_A0(SCMP_CMP_EQ, 0, 0));
}

/* Numbers of 32 bits are all that the kernel looks at: what stands above must not fool us. */
#define LOW(arg, value) SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)(value))

static void add_by_argument(struct filter *f)
{
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        rule(f, SCMP_ACT_ALLOW, "socket", 1, LOW(0, families[i]));
    f->n++;
    for (size_t i = 0; i < ARRAY_LEN(ioctls) && !SANITIZED; i++)
        rule(f, SCMP_ACT_ALLOW, "ioctl", 1, LOW(1, ioctls[i]));
    for (size_t i = 0; i < ARRAY_LEN(prctls) && !SANITIZED; i++)
        rule(f, SCMP_ACT_ALLOW, "prctl", 1, LOW(0, prctls[i]));
    /* Newer than the library's names: how much of a file is in memory (lb/io/file.c). */
    if (f->error >= 0)
        f->error = seccomp_rule_add_array(f->ctx, SCMP_ACT_ALLOW, CACHESTAT, 0, NULL);
    f->n++;
    if (SANITIZED)
        return;
    f->n += 5;
    rule(f, SCMP_ACT_ALLOW, "tgkill", 1, LOW(0, getpid())); /* abort() */
    rule(f, SCMP_ACT_ALLOW, "prlimit64", 1, SCMP_A2(SCMP_CMP_EQ, 0, 0));
    /* Threads, no processes. The flags of clone3() cannot be looked at: without it libc takes the
     * older one. */
    rule(f, SCMP_ACT_ALLOW, "clone", 1,
         SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM));
}

static int fill(struct filter *f)
{
    add_always(f, allowed, ARRAY_LEN(allowed));
    if (SANITIZED)
        add_always(f, of_sanitizers, ARRAY_LEN(of_sanitizers));
    add_forbidden(f);
    add_by_argument(f);
    return f->error;
}

int syscalls_available(void)
{
    uint32_t action = SCMP_ACT_ERRNO(0);

    return syscall(SYS_seccomp, 2 /* SECCOMP_GET_ACTION_AVAIL */, 0, &action) < 0 ? -errno : 0;
}

const char *syscalls_why(int error)
{
    switch (error) {
    case -ENOSYS:
    case -EINVAL:
        return "this kernel was built without it";
    case -EPERM:
    case -EACCES:
        return "forbidden here (a container's or unit's filter of system calls?)";
    default:
        return strerrordesc_np(-error);
    }
}

int syscalls_restrict(uint32_t *out_calls)
{
    struct filter f = {.ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS))};
    int rc = syscalls_available();

    if (f.ctx == NULL)
        return -ENOMEM;
    if (rc == 0)
        rc = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_NNP, 0); /* it is set */
    if (rc == 0)
        rc = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_TSYNC, 1); /* all threads, or none */
    if (rc == 0)
        rc = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* found in few steps */
    if (rc == 0)
        rc = fill(&f);
    if (rc == 0)
        rc = seccomp_load(f.ctx);
    seccomp_release(f.ctx);
    if (rc == 0)
        *out_calls = f.n;
    return rc;
}
