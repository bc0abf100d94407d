/* links: dicom config
 * The receiver in a child process on the loopback interface, driven by our own sender, by DCMTK's echoscu and storescu, and
 * by raw bytes. SPDX-License-Identifier: Apache-2.0 */
#include "tests/check.h"
#include "tests/scp_server.h"
#include <sys/resource.h>

/* ---- receiver: what it accepts ---- */
TEST(scp_stores_what_our_own_sender_sends)
{
    server s = {0};
    cot_error err = COT_ERROR_INIT;
    char a[128], b[128];
    server_start(&s);
    make_image(s.folder, a, "a.dcm", "1.2.3.4.1", 16);
    make_image(s.folder, b, "b.dcm", "1.2.3.4.2", 32);
    cot_scu_object objects[] = {{.path = a}, {.path = b}};
    const cot_scu_peer peer = peer_of(s.port);
    CHECK_OK(cot_scu_echo(&peer, &err));
    CHECK_OK(cot_scu_send(&peer, objects, 2, &err));
    for (int i = 0; i < 2; i++) {
        CHECK(objects[i].sent == COT_SENT_DELIVERED && objects[i].dimse == 0);
        if (objects[i].sent != COT_SENT_DELIVERED) fprintf(stderr, "%s\n", objects[i].text);
    }
    char *log = server_stop(&s);
    CHECK_NUMBER(count_files(&s, "stored-"), 2);
    CHECK_NUMBER(count_files(&s, "incoming-"), 0);
    CHECK_HAS(log, "reason=released");
    CHECK_HAS(log, "stored=2 refused=0");
    END_SERVER(s, log);
}

TEST(scp_serves_echoscu_and_storescu)
{
    server s = {0};
    char path[128], port[16];
    server_start(&s);
    make_image(s.folder, path, "a.dcm", "1.2.3.4.1", 2000);
    snprintf(port, sizeof port, "%u", s.port);
    char *echo[] = {"echoscu", "-aec", "NODE", "127.0.0.1", port, NULL};
    char *store[] = {"storescu", "-aec", "NODE", "127.0.0.1", port, path, NULL};
    char *wrong[] = {"echoscu", "-aec", "ELSE", "127.0.0.1", port, NULL};
    CHECK_NUMBER(run_tool(echo), 0);
    CHECK_NUMBER(run_tool(store), 0);
    CHECK(run_tool(wrong) != 0);
    char *log = server_stop(&s);
    CHECK_NUMBER(count_files(&s, "stored-"), 1);
    CHECK_HAS(log, "reason=called-ae");
    END_SERVER(s, log);
}

TEST(scp_received_file_has_the_bytes_that_were_sent)
{
    server s = {0};
    cot_error err = COT_ERROR_INIT;
    char path[128], stored[400] = "";
    cot_dicom_head sent, got;
    server_start(&s);
    make_image(s.folder, path, "a.dcm", "1.2.3.4.1", 700);
    cot_scu_object object = {.path = path};
    const cot_scu_peer peer = peer_of(s.port);
    CHECK_OK(cot_scu_send(&peer, &object, 1, &err));
    char *log = server_stop(&s);
    DIR *d = opendir(s.folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (!strncmp(e->d_name, "stored-", 7)) snprintf(stored, sizeof stored, "%s/%s", s.folder, e->d_name);
    closedir(d);
    CHECK_OK(cot_dicom_guard(&sent, path, NULL, &err));
    CHECK_OK(cot_dicom_guard(&got, stored, NULL, &err));
    CHECK_TEXT(got.dataset_sha256, sent.dataset_sha256);
    CHECK_TEXT(got.transfer_syntax, EXPLICIT);
    END_SERVER(s, log);
}

/* ---- receiver: what it refuses ---- */
/* Sends raw bytes, returns the type of the PDU that comes back (0: closed), its last four bytes in word. */
static int knock(const server *s, const void *bytes, size_t n, unsigned char word[4])
{
    unsigned char body[70000];
    size_t size = 0;
    const int fd = connect_to(s->port);
    send_all(fd, bytes, n);
    const int type = receive_pdu(fd, body, sizeof body, &size);
    memset(word, 0, 4);
    if (size == 4) memcpy(word, body, 4);
    close(fd);
    return type;
}

TEST(scp_rejects_wrong_titles_with_the_standards_reasons)
{
    server s = {0};
    unsigned char word[4];
    maker m;
    server_start(&s);
    put_request(&m, "ELSE", "SENDER");
    CHECK_NUMBER(knock(&s, m.at, m.n, word), 3);
    CHECK(word[1] == 1 && word[2] == 1 && word[3] == 7);
    maker_free(&m);
    put_request(&m, "NODE", "STRANGER");
    CHECK_NUMBER(knock(&s, m.at, m.n, word), 3);
    CHECK(word[1] == 1 && word[2] == 1 && word[3] == 3);
    m.at[7] = 2; /* protocol version without bit 0 */
    CHECK_NUMBER(knock(&s, m.at, m.n, word), 3);
    CHECK(word[1] == 1 && word[2] == 2 && word[3] == 2);
    maker_free(&m);
    char *log = server_stop(&s);
    CHECK_HAS(log, "reason=called-ae");
    CHECK_HAS(log, "reason=calling-ae-or-host");
    CHECK_HAS(log, "event=association.reject");
    END_SERVER(s, log);
}

TEST(scp_names_tls_http_and_garbage_and_aborts)
{
    static const unsigned char hello[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03};
    static const char get[] = "GET / HTTP/1.1\r\nHost: node\r\n\r\n";
    server s = {0};
    unsigned char word[4];
    server_start(&s);
    CHECK_NUMBER(knock(&s, hello, sizeof hello, word), 7);
    CHECK_NUMBER(knock(&s, get, sizeof get - 1, word), 7);
    CHECK_NUMBER(knock(&s, "\x01\x00\xff\xff\xff\xff garbage", 14, word), 7);
    CHECK_NUMBER(knock(&s, "\x04\x00\x00\x00\x00\x00", 6, word), 7);
    char *log = server_stop(&s);
    CHECK_HAS(log, "TLS bytes on the DICOM port");
    CHECK_HAS(log, "HTTP bytes on the DICOM port");
    CHECK_HAS(log, "64 KiB are the most");
    CHECK_HAS(log, "first byte on the DICOM port is 0x04");
    END_SERVER(s, log);
}

TEST(scp_gives_up_on_a_silent_or_slow_peer)
{
    server s = {.options.acse_timeout_s = 1};
    unsigned char word[4];
    maker m;
    server_start(&s);
    CHECK_NUMBER(knock(&s, "", 0, word), 0);
    put_request(&m, "NODE", "SENDER");
    CHECK_NUMBER(knock(&s, m.at, m.n - 1, word), 7); /* all but the last byte */
    maker_free(&m);
    const int fd = connect_to(s.port); /* gone again at once */
    close(fd);
    char *log = server_stop(&s);
    CHECK_HAS(log, "reason=timeout");
    CHECK_HAS(log, "reason=closed");
    CHECK_HAS(log, "the association request is not complete");
    END_SERVER(s, log);
}

static int associate(const server *s)
{
    const int fd = associate_with(s->port);
    if (fd < 0) CHECK_FAIL_("association was not accepted");
    return fd;
}
static unsigned store_dataset(int fd, const char *sop_class, const char *instance, const maker *file, char comment[65])
{
    size_t start = 132 + 12; /* behind the meta group */
    start += (size_t)file->at[140] | (size_t)file->at[141] << 8;
    send_store_command(fd, 3, sop_class, instance);
    for (size_t at = start; at < file->n; at += 10000) {
        const size_t left = file->n - at, n = left < 10000 ? left : 10000;
        send_pdv(fd, 3, n == left ? 2 : 0, file->at + at, n);
    }
    return store_status(fd, comment);
}

TEST(scp_answers_each_refusal_with_its_status_and_keeps_the_association)
{
    server s = {0};
    char comment[65];
    maker good = {0}, nested = {0}, cut = {0};
    server_start(&s);
    put_image(&good, CR_CLASS, "1.2.3.4", EXPLICIT, 20, 20);
    put_meta(&nested, CR_CLASS, "1.2.3.4", EXPLICIT);
    put_head(&nested, CR_CLASS, "1.2.3.4", 20, 20);
    for (int i = 0; i < 100000; i++) {
        put_header(&nested, 0x0040, 0xa730, "SQ", UNDEFINED_LENGTH);
        put_item(&nested, UNDEFINED_LENGTH);
    }
    put_bytes(&cut, good.at, good.n - 100);
    const int fd = associate(&s);
    CHECK_NUMBER(store_dataset(fd, CR_CLASS, "1.2.3.4", &nested, comment), 0xc000);
    CHECK_HAS(comment, "(0040,a730)");
    CHECK_NUMBER(store_dataset(fd, CR_CLASS, "1.2.3.4", &cut, comment), 0xc000);
    CHECK_HAS(comment, "(7fe0,0010)");
    CHECK_NUMBER(store_dataset(fd, CR_CLASS, "1.2.3.5", &good, comment), 0xc000);
    CHECK_HAS(comment, "SOP Instance UID");
    CHECK_NUMBER(store_dataset(fd, SC_CLASS, "1.2.3.4", &good, comment), 0x0122);
    CHECK_NUMBER(store_dataset(fd, CR_CLASS, "../../etc/passwd", &good, comment), 0xc000);
    CHECK_NUMBER(store_dataset(fd, CR_CLASS, "1.2.3.4", &good, comment), 0);
    close(fd);
    char *log = server_stop(&s);
    CHECK_NUMBER(count_files(&s, "stored-"), 1);
    CHECK_NUMBER(count_files(&s, "incoming-"), 0);
    CHECK_HAS(log, "test.refused");
    CHECK_HAS(log, "there=1");
    CHECK_HAS(log, "stored=1 refused=5");
    maker_free(&good);
    maker_free(&nested);
    maker_free(&cut);
    END_SERVER(s, log);
}

TEST(scp_without_space_answers_a700_before_and_after_receiving)
{
    const struct {
        cot_status place, store;
        unsigned status;
        const char *comment;
    } cases[] = {
        {COT_E_LIMIT, COT_OK, 0xa700, "watermark"},       {COT_E_IO, COT_OK, 0x0110, "watermark"},
        {COT_OK, COT_E_LIMIT, 0xa700, "store says no"},   {COT_OK, COT_E_INPUT, 0xc000, "store says no"},
        {COT_OK, COT_E_REFUSED, 0xc000, "store says no"}, {COT_OK, COT_E_IO, 0x0110, "store says no"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        server s = {.place = cases[i].place, .store = cases[i].store};
        char comment[65];
        maker good = {0};
        server_start(&s);
        put_image(&good, CR_CLASS, "1.2.3.4", EXPLICIT, 200, 200);
        const int fd = associate(&s);
        for (int twice = 0; twice < 2; twice++) { /* the association goes on */
            CHECK_NUMBER(store_dataset(fd, CR_CLASS, "1.2.3.4", &good, comment), cases[i].status);
            CHECK_HAS(comment, cases[i].comment);
        }
        close(fd);
        char *log = server_stop(&s);
        CHECK_NUMBER(count_files(&s, "incoming-"), 0);
        maker_free(&good);
        END_SERVER(s, log);
    }
}

TEST(scp_cuts_an_endless_object_for_good)
{
    server s = {0};
    static unsigned char block[60000];
    char comment[65];
    unsigned status = 0xffff;
    s.options.limits = (cot_guard_limits)COT_GUARD_LIMITS_INIT;
    s.options.limits.max_bytes = 1 << 20;
    server_start(&s);
    const int fd = associate(&s);
    send_store_command(fd, 3, CR_CLASS, "1.2.3.4");
    for (int i = 0; i < 8000; i++) { /* 480 MB would come */
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 0) > 0) break;
        send_pdv(fd, 3, 0, block, sizeof block);
    }
    status = store_status(fd, comment);
    CHECK(status == 0xc000 || status == 0xffff); /* the answer may be lost in the reset that follows */
    close(fd);
    char *log = server_stop(&s);
    CHECK_HAS(log, "event=object.refused job=- status=0xC000");
    CHECK_HAS(log, "larger than the limit (max-object-mib)");
    CHECK_NUMBER(count_files(&s, "incoming-"), 0);
    END_SERVER(s, log);
}

TEST(scp_refuses_what_no_file_here_can_hold_for_good)
{
    server s = {0};
    char comment[65];
    maker image = {0};
    put_image(&image, CR_CLASS, "1.2.3.4", EXPLICIT, 400, 400);
    struct rlimit before, low;
    getrlimit(RLIMIT_FSIZE, &before);
    low = (struct rlimit){100000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &low); /* the server inherits it */
    server_start(&s);
    setrlimit(RLIMIT_FSIZE, &before);
    const int fd = associate(&s);
    CHECK_NUMBER(store_dataset(fd, CR_CLASS, "1.2.3.4", &image, comment), 0xc000);
    CHECK_HAS(comment, "larger than a file may be here");
    close(fd);
    char *log = server_stop(&s);
    CHECK_NUMBER(count_files(&s, "incoming-"), 0);
    maker_free(&image);
    END_SERVER(s, log);
}

TEST(scp_ends_itself_when_the_store_hangs)
{
    server s = {.hang = true, .options.dimse_timeout_s = 1};
    maker image = {0};
    unsigned char rest[16];
    s.options.limits = (cot_guard_limits)COT_GUARD_LIMITS_INIT;
    s.options.limits.max_bytes = 1 << 20;
    server_start(&s);
    put_image(&image, CR_CLASS, "1.2.3.4", EXPLICIT, 20, 20);
    const size_t start = 144u + image.at[140];
    const int fd = associate(&s);
    send_store_command(fd, 3, CR_CLASS, "1.2.3.4");
    send_pdv(fd, 3, 2, image.at + start, image.n - start);
    CHECK_NUMBER(receive(fd, rest, sizeof rest), 0); /* closed without an answer: the sender sends again */
    close(fd);
    char *log = server_stop(&s);
    CHECK_HAS(log, "event=test.hung");
    maker_free(&image);
    END_SERVER(s, log);
}

TEST(scp_survives_whatever_comes_after_the_association)
{
    static const unsigned char p_data[][32] = {
        {4, 0, 0, 0, 0, 0},                               /* no PDV at all */
        {4, 0, 0, 0, 0, 6, 0, 0, 0, 0, 1, 3},             /* PDV of length 0 */
        {4, 0, 0, 0, 0, 6, 0, 0, 0, 1, 1, 3},             /* of length 1 */
        {4, 0, 0, 0, 0, 6, 0x7f, 0xff, 0xff, 0xff, 1, 3}, /* of length 2^31 - 1 */
        {4, 0, 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 1, 3}, /* of length 2^32 - 1 */
        {4, 0, 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xfc, 1, 3}, /* wraps around to 0 */
        {4, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 3}, /* PDU of length 2^32 - 1 */
        {4, 0, 0, 0, 0, 20, 0, 0, 0, 16, 1, 3, 9,
         9, 9, 9, 9, 9, 9,  9, 9, 9, 9,  9, 9, 9}, /* command set of group 0909 */
        {4, 0, 0, 0, 0, 20, 0, 0, 0, 16, 1, 2, 9,
         9, 9, 9, 9, 9, 9,  9, 9, 9, 9,  9, 9, 9}, /* a data set without command */
        {1, 0, 0, 0, 0, 20},                       /* a second request */
        {99, 0, 0, 0, 0, 20},                      /* no such PDU */
        {5, 0, 0, 0, 0, 200},                      /* release request, too long */
        {7, 0, 0, 0, 0, 4, 0, 0, 0, 0},            /* abort */
        {5, 0, 0},                                 /* half a header */
    };
    server s = {.options.dimse_timeout_s = 1};
    server_start(&s);
    for (size_t i = 0; i < sizeof p_data / sizeof *p_data; i++) {
        const int fd = associate(&s);
        send_all(fd, p_data[i], i == sizeof p_data / sizeof *p_data - 1 ? 3 : sizeof *p_data);
        if (i % 2) shutdown(fd, SHUT_WR);
        unsigned char rest[4096];
        receive(fd, rest, sizeof rest);
        close(fd);
    }
    char *log = server_stop(&s);
    CHECK_HAS(log, "association.end");
    END_SERVER(s, log);
}

TEST(scp_takes_several_pdvs_in_one_pdu_and_ends_a_trickle)
{
    server s = {.options.dimse_timeout_s = 1};
    char comment[65];
    maker good = {0}, pdu = {.big = true};
    server_start(&s);
    put_image(&good, CR_CLASS, "1.2.3.4", EXPLICIT, 20, 20);
    const size_t start = 144u + good.at[140], n = good.n - start;
    put_number(&pdu, 0x0400, 2);
    put_number(&pdu, n + 12, 4);
    for (int half = 0; half < 2; half++) {
        const size_t from = half ? n / 2 : 0, size = half ? n - n / 2 : n / 2;
        put_number(&pdu, size + 2, 4);
        put_number(&pdu, half ? 0x0302 : 0x0300, 2);
        put_bytes(&pdu, good.at + start + from, size);
    }
    int fd = associate(&s);
    send_store_command(fd, 3, CR_CLASS, "1.2.3.4");
    send_all(fd, pdu.at, pdu.n);
    CHECK_NUMBER(store_status(fd, comment), 0);
    send_all(fd, "\x04\0\0\0\x80\0\0\0\x7f\xfc\x03\x03", 12);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int bytes = 0; /* one every 100 ms: the whole PDU would take an hour */
    while (bytes < 100 && poll(&p, 1, 100) == 0) send_all(fd, "", 1), bytes++;
    CHECK(bytes >= 5 && bytes < 40);
    close(fd);
    char *log = server_stop(&s);
    CHECK_HAS(log, "stored=1");
    maker_free(&good);
    maker_free(&pdu);
    END_SERVER(s, log);
}

TEST(scp_removes_the_file_when_the_connection_drops_or_falls_silent)
{
    server s = {.options.dimse_timeout_s = 1};
    server_start(&s);
    for (int silent = 0; silent < 2; silent++) {
        unsigned char rest[16];
        const int fd = associate(&s);
        send_store_command(fd, 3, CR_CLASS, "1.2.3.4");
        send_pdv(fd, 3, 0, "half an object", 14);
        if (silent) receive(fd, rest, sizeof rest); /* until the abort */
        close(fd);
    }
    char *log = server_stop(&s);
    CHECK_NUMBER(count_files(&s, "incoming-"), 0);
    CHECK_HAS(log, "reason=timeout");
    CHECK_HAS(log, "event=store.incomplete");
    CHECK_HAS(log, "reason=closed");
    END_SERVER(s, log);
}

TEST(scp_told_to_stop_finishes_the_object_in_hand_and_aborts)
{
    unsigned port = 0;
    unsigned char body[256];
    size_t size = 0;
    char comment[65];
    server s = {.options = {"NODE", accept_by_title, NULL, 16384, 10, 10, COT_GUARD_LIMITS_INIT}};
    const cot_scp_handler handler = {&s, place_object, store_object, refuse_object};
    maker good = {0};
    snprintf(s.folder, sizeof s.folder, "/tmp/cot-network-XXXXXX");
    REQUIRE(mkdtemp(s.folder));
    const int listener = listen_anywhere(&port);
    fflush(NULL);
    s.pid = fork();
    if (s.pid == 0)
        _exit(cot_scp_serve(accept(listener, NULL, NULL), "127.0.0.1", &s.options, &handler, NULL) != COT_OK);
    s.port = port;
    const int fd = associate(&s);
    put_image(&good, CR_CLASS, "1.2.3.4", EXPLICIT, 2, 2);
    const size_t start = 144u + good.at[140];
    send_store_command(fd, 3, CR_CLASS, "1.2.3.4");
    send_pdv(fd, 3, 0, good.at + start, 20);
    while (count_files(&s, "incoming-") == 0) usleep(1000); /* the object is in hand */
    kill(s.pid, SIGTERM);
    send_pdv(fd, 3, 2, good.at + start + 20, good.n - start - 20);
    CHECK_NUMBER(store_status(fd, comment), 0);
    CHECK_NUMBER(receive_pdu(fd, body, sizeof body, &size), 7);
    int how = 0;
    waitpid(s.pid, &how, 0);
    CHECK(WIFSIGNALED(how) && WTERMSIG(how) == SIGTERM); /* delivered when serve had returned */
    CHECK_NUMBER(count_files(&s, "stored-"), 1);
    close(fd);
    close(listener);
    maker_free(&good);
    folder_clean(s.folder);
}

CHECK_MAIN
