/* links: dicom config
 * A healthy sender may cut its data into PDVs, PDUs and TCP segments as it likes: an image of 7 MB comes in whole, at full
 * speed, with small and large socket buffers. SPDX-License-Identifier: Apache-2.0 */
#include "tests/check.h"
#include "tests/scp_server.h"
#include <time.h>

enum { ROWS = 1830, COLUMNS = 2000, PATIENCE_S = 60 }; /* 7.3 MB; far less than a time-out's worth of stalls */

/* The bytes on the wire: C-STORE-RQ, then the data set in PDVs of `pdv` bytes packed into PDUs of up to `pdu`. */
static void put_store(maker *out, size_t pdv, size_t pdu)
{
    maker image = {0}, command = {.implicit = true}, body = {.big = true};
    put_image(&image, CR_CLASS, "1.2.3.4", EXPLICIT, ROWS, COLUMNS);
    put_text(&command, 0, 0x0002, "UI", CR_CLASS);
    put_us(&command, 0, 0x0100, 1);
    put_us(&command, 0, 0x0110, 7);
    put_us(&command, 0, 0x0700, 0);
    put_us(&command, 0, 0x0800, 1);
    put_text(&command, 0, 0x1000, "UI", "1.2.3.4");
    *out = (maker){.big = true};
    put_number(out, 0x0400, 2);
    put_number(out, command.n + 6, 4);
    put_number(out, command.n + 2, 4);
    put_number(out, 0x0303, 2);
    put_bytes(out, command.at, command.n);
    for (size_t at = 144u + image.at[140]; at < image.n;) {
        const size_t n = image.n - at < pdv ? image.n - at : pdv;
        put_number(&body, n + 2, 4);
        put_number(&body, n == image.n - at ? 0x0302 : 0x0300, 2);
        put_bytes(&body, image.at + at, n);
        at += n;
        if (at < image.n && body.n + pdv + 6 <= pdu) continue;
        put_number(out, 0x0400, 2);
        put_number(out, body.n, 4);
        put_bytes(out, body.at, body.n);
        body.n = 0;
    }
    maker_free(&image);
    maker_free(&command);
    maker_free(&body);
}

/* The status of storing; the first `single` bytes are written one by one. */
static unsigned store_in(const server *s, size_t pdv, size_t pdu, size_t single)
{
    char comment[65];
    maker wire;
    put_store(&wire, pdv, pdu);
    const time_t begun = time(NULL);
    const int fd = associate_with(s->port);
    for (size_t i = 0; i < single; i++) send_all(fd, wire.at + i, 1);
    send_all(fd, wire.at + single, wire.n - single);
    const unsigned status = store_status(fd, comment);
    CHECK(time(NULL) - begun < PATIENCE_S);
    send_all(fd, "\x05\0\0\0\0\x04\0\0\0\0", 10);
    unsigned char answer[10];
    CHECK_NUMBER(receive(fd, answer, 10), 10);
    CHECK_NUMBER(answer[0], 6);
    close(fd);
    maker_free(&wire);
    return status;
}

TEST(scp_takes_many_pdvs_in_large_pdus_whatever_the_socket_buffer)
{
    const int buffers[] = {0, 8192, 131072};
    for (size_t i = 0; i < 3; i++) {
        server s = {.receive_buffer = buffers[i], .options.dimse_timeout_s = 5};
        server_start(&s);
        const size_t pdvs[] = {10, 100, 1000, 30000};
        for (size_t k = i ? 1 : 0; k < 4; k++) CHECK_NUMBER(store_in(&s, pdvs[k], 65536, 0), 0);
        CHECK_NUMBER(store_in(&s, 131066, 131072, 0), 0);
        char *log = server_stop(&s);
        CHECK_NUMBER(count_files(&s, "stored-"), i ? 4 : 5);
        END_SERVER(s, log);
    }
}

TEST(scp_takes_small_pdus_and_single_bytes)
{
    server s = {.options.dimse_timeout_s = 5};
    server_start(&s);
    CHECK_NUMBER(store_in(&s, 10, 16, 0), 0);
    CHECK_NUMBER(store_in(&s, 100, 106, 0), 0);
    CHECK_NUMBER(store_in(&s, 500, 506, 0), 0);
    CHECK_NUMBER(store_in(&s, 30000, 65536, 1024), 0);
    char *log = server_stop(&s);
    CHECK_NUMBER(count_files(&s, "stored-"), 4);
    END_SERVER(s, log);
}

TEST(scp_takes_four_associations_at_once)
{
    server s[4] = {{.port = 0}};
    pid_t sender[4];
    for (int i = 0; i < 4; i++) server_start(&s[i]); /* each of these servers serves one at a time */
    fflush(NULL);
    for (int i = 0; i < 4; i++) {
        sender[i] = fork();
        if (sender[i] == 0) _exit(store_in(&s[i], 30000, 65536, 0) != 0);
    }
    for (int i = 0; i < 4; i++) {
        int how = -1;
        CHECK(waitpid(sender[i], &how, 0) == sender[i]);
        CHECK_NUMBER(how, 0);
        char *log = server_stop(&s[i]);
        CHECK_NUMBER(count_files(&s[i], "stored-"), 1);
        END_SERVER(s[i], log);
    }
}

CHECK_MAIN
