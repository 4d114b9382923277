/* fuzz_keeper.c - what the process that is helped may send to its keeper, had somebody taken it
 * over: records of any size and content, with and without a descriptor. A byte before each says
 * where it goes, whether a socket comes along, and how long it is (the rest is zeros). There is one
 * answer for each question, nothing that the configuration does not name is opened, and no
 * descriptor is left. */
#include "lb/base/assert.h"
#include "lb/config/conf.h"
#include "lb/main/keeper_priv.h"
#include "lb/main/privileges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TO_PROGRAMS 1
#define WITH_SOCKET 2
#define SHORT       4 /* not of a record's size */

/* No pool of it has a program, so that none is run. */
static const char text[] =
    "pools = ( { name = \"app\"; mode = \"tcp\"; backends = ( { name = \"b\"; address = "
    "\"127.0.0.1:1\"; } ); } );\n"
    "listeners = ( { name = \"l\"; mode = \"tcp\"; bind = \"127.0.0.1:8080\"; pool = \"app\"; } );";

static struct keeper_self *keeper(void)
{
    static const struct privileges nobody = {65534, 65534, NULL};
    struct strbuf errors = {0};
    struct conf *conf = conf_load_text("t", text, &errors);
    struct keeper_task task = {-1, -1, conf, NULL, &nobody, true};

    sl_assert(conf != NULL);
    struct keeper_self *self = keeper_self_new(&task);
    conf_free(&conf);
    strbuf_fini(&errors);
    return self;
}

/* Where a descriptor that is opened next goes: the same as before, when all are closed again. */
static int next_fd(void)
{
    int fd = dup(STDERR_FILENO);

    close(fd);
    return fd;
}

static void question(struct keeper_self *self, const int ends[2], const void *record, size_t size,
                     int pass)
{
    struct keeper_reply a;
    int got;

    if (keeper_send(ends[0], record, size, pass) < 0)
        return;
    sl_assert(keeper_serve_question(self, ends[1]));
    sl_assert(keeper_receive(ends[0], &a, sizeof(a), &got) == 0);
    sl_assert(got < 0 && memchr(a.text, '\0', sizeof(a.text)) != NULL);
    if (size != sizeof(struct keeper_request))
        sl_assert(a.rc == -EPROTO);
}

static void program(struct keeper_self *self, const int ends[2], const void *record, size_t size,
                    int pass)
{
    if (keeper_send(ends[0], record, size, pass) == 0)
        keeper_serve_program(self, ends[1]);
}

static size_t one(struct keeper_self *self, const int ends[2], const uint8_t *data, size_t size)
{
    static uint8_t record[sizeof(struct keeper_request)];
    bool to_programs = data[0] & TO_PROGRAMS;
    size_t whole = to_programs ? sizeof(struct keeper_run) : sizeof(struct keeper_request);
    size_t given = size - 1 < (size_t)(data[0] >> 3) * 16 ? size - 1 : (size_t)(data[0] >> 3) * 16;
    size_t len = data[0] & SHORT ? given : whole;
    int stream = data[0] & WITH_SOCKET ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;

    if (given > whole)
        given = whole;
    memset(record, 0, sizeof(record));
    memcpy(record, data + 1, given);
    if (len > 0) /* of none, the other end takes us for closed */
        (to_programs ? program : question)(self, ends, record, len, stream);
    if (stream >= 0)
        close(stream);
    return given + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keeper_self *self = keeper();
    int before = next_fd(), ends[2];

    sl_assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    while (size > 0) {
        size_t n = one(self, ends, data, size);
        data += n;
        size -= n;
    }
    close(ends[0]);
    sl_assert(!keeper_serve_question(self, ends[1]));
    close(ends[1]);
    sl_assert(next_fd() == before);
    keeper_self_free(&self);
    return 0;
}
