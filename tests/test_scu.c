/* links: dicom config
 * The sender against a scripted peer (peer_script) that answers, drops, hangs, aborts or rejects.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/check.h"
#include "tests/loopback.h"

/* ---- the sender against a scripted peer ---- */
enum { HANG = -1, DROP = -2, ABORT = -3, REJECT = -4, NO_CONTEXT = -5, NO_FIRST_CONTEXT = -6 };

/* Accepts every context (or none, or all but the first) with explicit little endian; keeps ids in order. */
static void send_acceptance(int fd, const unsigned char *rq, size_t n, int script)
{
    maker m = {.big = true};
    unsigned contexts = 0;
    put_number(&m, 0x0200, 2);
    put_number(&m, 0, 4);
    put_number(&m, 0x10000, 4);
    put_bytes(&m, rq + 4, 64);
    put_pdu_item(&m, 0x10, "1.2.840.10008.3.1.1.1", 21);
    for (size_t at = 68; at + 4 <= n; at += 4u + ((size_t)rq[at + 2] << 8 | rq[at + 3])) {
        if (rq[at] != 0x20) continue;
        const bool no = script == NO_CONTEXT || (script == NO_FIRST_CONTEXT && contexts == 0);
        maker c = {.big = true};
        put_number(&c, (uint64_t)rq[at + 4] << 24 | (no ? 3u << 8 : 0u), 4);
        put_pdu_item(&c, 0x40, EXPLICIT, strlen(EXPLICIT));
        put_pdu_item(&m, 0x21, c.at, c.n);
        maker_free(&c);
        contexts++;
    }
    put_user(&m, NULL, 0);
    request_end(&m);
    send_all(fd, m.at, m.n);
    maker_free(&m);
}
static void send_store_answer(int fd, unsigned context, unsigned message, unsigned status)
{
    maker m = {.implicit = true};
    put_us(&m, 0, 0x0100, 0x8001);
    put_us(&m, 0, 0x0120, message);
    put_us(&m, 0, 0x0800, 0x0101);
    put_us(&m, 0, 0x0900, status);
    send_pdv(fd, context, 3, m.at, m.n);
    maker_free(&m);
}
/* Serves one association: answers each object with the script's next status; a negative one acts instead. */
static void peer_script(int listener, const int *script)
{
    static unsigned char body[200000];
    size_t n = 0;
    unsigned message = 0;
    const int fd = accept(listener, NULL, NULL);
    if (receive_pdu(fd, body, sizeof body, &n) != 1) _exit(1);
    if (*script == REJECT) {
        send_all(fd, "\x03\0\0\0\0\x04\0\x02\x03\x02", 10);
        _exit(receive(fd, body, 1) != 0);
    }
    send_acceptance(fd, body, n, *script);
    if (*script == NO_CONTEXT || *script == NO_FIRST_CONTEXT) script++;
    for (;;) {
        const int type = receive_pdu(fd, body, sizeof body, &n);
        if (type == 5) send_all(fd, "\x06\0\0\0\0\x04\0\0\0\0", 10);
        if (type != 4) _exit(0);
        if (body[5] != 2) continue; /* until the last PDV of a data set */
        if (*script == HANG) _exit(receive(fd, body, sizeof body) == sizeof body);
        if (*script == DROP) _exit(0);
        if (*script == ABORT) {
            send_all(fd, "\x07\0\0\0\0\x04\0\0\0\0", 10);
            _exit(receive(fd, body, 1) != 0);
        }
        send_store_answer(fd, body[4], ++message, (unsigned)*script++);
    }
}
/* Sends n copies of an image to a peer that follows `script`. */
static cot_status send_to_script(const int *script, cot_scu_object *objects, size_t n, bool fallback, cot_error *err)
{
    char folder[] = "/tmp/cot-scu-XXXXXX", path[128], other[128];
    maker m = {0};
    unsigned port = 0;
    const int listener = listen_anywhere(&port);
    if (!mkdtemp(folder)) abort();
    make_image(folder, path, "a.dcm", "1.2.3.4", 10);
    snprintf(other, sizeof other, "%s/b.dcm", folder);
    put_image(&m, SC_CLASS, "1.2.3.5", EXPLICIT, 4, 4);
    maker_write(&m, other);
    maker_free(&m);
    for (size_t i = 0; i < n; i++)
        objects[i] = (cot_scu_object){.path = path, .path_fallback = fallback ? other : NULL};
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) peer_script(listener, script);
    close(listener);
    cot_scu_peer peer = peer_of(port);
    peer.timeout_s = 2;
    const cot_status status = cot_scu_send(&peer, objects, n, err);
    waitpid(pid, NULL, 0);
    folder_clean(folder);
    return status;
}

TEST(scu_sorts_every_status_into_delivered_retry_or_dead)
{
    const struct {
        int status;
        cot_sent sent;
        const char *text;
    } cases[] = {
        {0x0000, COT_SENT_DELIVERED, "accepted"},     {0xb000, COT_SENT_DELIVERED, "warning 0xB000"},
        {0xb007, COT_SENT_DELIVERED, "warning"},      {0x0111, COT_SENT_DELIVERED, "has it already"},
        {0xa700, COT_SENT_RETRY, "0xA700"},           {0xa7ff, COT_SENT_RETRY, "out of resources"},
        {0x0110, COT_SENT_RETRY, "0x0110"},           {0xa900, COT_SENT_DEAD, "does not match"},
        {0xc000, COT_SENT_DEAD, "cannot understand"}, {0xcfff, COT_SENT_DEAD, "0xCFFF"},
        {0x0122, COT_SENT_DEAD, "refused"},
    };
    enum { N = sizeof cases / sizeof *cases };
    int script[N];
    cot_scu_object objects[N];
    cot_error err = COT_ERROR_INIT;
    for (int i = 0; i < N; i++) script[i] = cases[i].status;
    CHECK_OK(send_to_script(script, objects, N, false, &err));
    for (int i = 0; i < N; i++) {
        CHECK_NUMBER(objects[i].sent, cases[i].sent);
        CHECK_NUMBER(objects[i].dimse, cases[i].status);
        CHECK_HAS(objects[i].text, cases[i].text);
    }
}

TEST(scu_retries_what_a_dropped_hung_or_aborted_association_left_open)
{
    const struct {
        int act;
        const char *text;
    } cases[] = {{DROP, "closed"}, {HANG, "no answer in time"}, {ABORT, "aborted"}};
    for (size_t i = 0; i < 3; i++) {
        const int script[] = {0, cases[i].act};
        cot_scu_object objects[3];
        cot_error err = COT_ERROR_INIT;
        CHECK_OK(send_to_script(script, objects, 3, false, &err));
        CHECK_NUMBER(objects[0].sent, COT_SENT_DELIVERED);
        CHECK_NUMBER(objects[1].sent, COT_SENT_RETRY);
        CHECK_HAS(objects[1].text, cases[i].text);
        CHECK_NUMBER(objects[2].sent, COT_SENT_NOT_TRIED);
    }
}

TEST(scu_takes_the_fallback_class_or_gives_up)
{
    cot_scu_object object;
    cot_error err = COT_ERROR_INIT;
    CHECK_OK(send_to_script((int[]){NO_FIRST_CONTEXT, 0}, &object, 1, true, &err));
    CHECK_NUMBER(object.sent, COT_SENT_DELIVERED);
    CHECK(!object.no_context);
    CHECK_HAS(object.text, "fallback");
    CHECK_OK(send_to_script((int[]){NO_FIRST_CONTEXT, 0}, &object, 1, false, &err));
    CHECK_NUMBER(object.sent, COT_SENT_DEAD);
    CHECK_OK(send_to_script((int[]){NO_CONTEXT, 0}, &object, 1, true, &err));
    CHECK_NUMBER(object.sent, COT_SENT_DEAD);
    CHECK(object.no_context); /* refused by class, not this object */
    CHECK_HAS(object.text, "no presentation context");
    CHECK_OK(send_to_script((int[]){0xa900}, &object, 1, true, &err));
    CHECK_NUMBER(object.sent, COT_SENT_DEAD);
    CHECK(!object.no_context);
}

TEST(scu_says_why_no_association_came_about)
{
    unsigned port = 0;
    cot_scu_object object;
    cot_error err = COT_ERROR_INIT;
    CHECK_FAILS(send_to_script((int[]){REJECT}, &object, 1, false, &err), COT_E_NETWORK, "limit of associations");
    CHECK_NUMBER(object.sent, COT_SENT_RETRY);
    CHECK_HAS(object.text, "transient");
    const int listener = listen_anywhere(&port);
    cot_scu_peer peer = peer_of(port);
    peer.timeout_s = 1;
    CHECK_FAILS(cot_scu_echo(&peer, &err), COT_E_NETWORK, "no answer in time"); /* connected, but nobody answers */
    close(listener);
    CHECK_FAILS(cot_scu_echo(&peer, &err), COT_E_NETWORK, "refused");
    CHECK_HAS(err.text, "127.0.0.1:");
    CHECK_HAS(err.text, "\"NODE\"");
    peer.host = "no-such-host.invalid";
    CHECK_FAILS(cot_scu_echo(&peer, &err), COT_E_NETWORK, "no IPv4 address");
}

CHECK_MAIN
