/* top_term.c - see top_term.h */
#include "lb/main/top_term.h"

#include "lb/main/top_view.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* The other screen, no cursor, no wrapping at the right edge; and back. */
#define ENTER "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
#define LEAVE "\x1b[?7h\x1b[?25h\x1b[0m\x1b[?1049l"

static const int faults[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

static struct {
    struct termios before;
    struct sigaction faults[ARRAY_LEN(faults)];
    volatile sig_atomic_t entered, resized, ended, continued;
} term;

static bool write_all(const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

int top_term_enter(void)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &term.before) < 0)
        return -errno;
    raw = term.before;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST | ONLCR;
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) < 0)
        return -errno;
    term.entered = 1;
    return write_all(ENTER, sizeof(ENTER) - 1) ? 0 : -EIO;
}

/* Calls only what a signal handler may call. */
void top_term_leave(void)
{
    if (!term.entered)
        return;
    term.entered = 0;
    (void)write_all(LEAVE, sizeof(LEAVE) - 1);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &term.before);
}

/* ---- signals ---- */

static void on_signal(int signo)
{
    if (signo == SIGWINCH)
        term.resized = 1;
    else if (signo == SIGCONT)
        term.continued = 1;
    else
        term.ended = 1;
}

/* A fault of our own: who reads its message needs a terminal. */
static void on_fault(int signo)
{
    top_term_leave();
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        sigaction(faults[i], &term.faults[i], NULL);
    raise(signo);
}

void top_term_catch(sigset_t *out_wait_mask)
{
    static const int noted[] = {SIGWINCH, SIGCONT, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction act = {.sa_handler = on_signal}, fault = {.sa_handler = on_fault};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(noted); i++) {
        sigaction(noted[i], &act, NULL);
        sigaddset(&set, noted[i]);
    }
    sigprocmask(SIG_BLOCK, &set, out_wait_mask);
    for (size_t i = 0; i < ARRAY_LEN(noted); i++)
        sigdelset(out_wait_mask, noted[i]);
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        sigaction(faults[i], &fault, &term.faults[i]);
    signal(SIGPIPE, SIG_IGN);
}

struct top_signals top_term_signals(void)
{
    struct top_signals s = {term.resized, term.ended, term.continued};

    term.resized = term.continued = 0;
    return s;
}

void top_term_suspend(void)
{
    top_term_leave();
    raise(SIGSTOP);
    if (top_term_enter() < 0)
        term.ended = 1;
}

/* ---- the screen ---- */

void top_term_size(uint32_t *out_width, uint32_t *out_height)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;

    *out_width = known ? size.ws_col : 80;
    *out_height = known ? size.ws_row : 24;
}

bool top_term_draw(struct str lines)
{
    struct strbuf screen = {0};

    strbuf_add_cstr(&screen, "\x1b[H");
    strbuf_add_str(&screen, lines);
    bool drawn = write_all(screen.p, screen.len);
    strbuf_fini(&screen);
    return drawn;
}

/* ---- keys ---- */

/* Behind ESC [ or ESC O: "A", "5~", "1;5A". */
static uint32_t sequence_key(struct str *in)
{
    uint32_t number = 0;
    bool first = true;
    char c = 0;

    while (in->len > 0) {
        c = in->p[0];
        in->p++;
        in->len--;
        if (c >= '0' && c <= '9' && first)
            number = number * 10 + (uint32_t)(c - '0');
        else if (c == ';')
            first = false;
        else if (c >= 0x40 && c <= 0x7e)
            break;
    }
    switch (c) {
    case 'A':
        return TOP_KEY_UP;
    case 'B':
        return TOP_KEY_DOWN;
    case 'C':
        return TOP_KEY_RIGHT;
    case 'D':
        return TOP_KEY_LEFT;
    case 'H':
        return TOP_KEY_HOME;
    case 'F':
        return TOP_KEY_END;
    case '~':
        return number == 5                  ? TOP_KEY_PAGE_UP
               : number == 6                ? TOP_KEY_PAGE_DOWN
               : number == 1 || number == 7 ? TOP_KEY_HOME
               : number == 4 || number == 8 ? TOP_KEY_END
                                            : TOP_KEY_NONE;
    default:
        return TOP_KEY_NONE;
    }
}

uint32_t top_term_key(struct str *in)
{
    unsigned char c = (unsigned char)in->p[0];

    in->p++;
    in->len--;
    if (c != TOP_KEY_ESC)
        return c < 0x80 ? c : TOP_KEY_NONE;
    if (in->len == 0 || (in->p[0] != '[' && in->p[0] != 'O'))
        return TOP_KEY_ESC;
    in->p++;
    in->len--;
    return sequence_key(in);
}
