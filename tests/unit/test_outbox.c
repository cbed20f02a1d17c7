/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/outbox.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/net/net.h"
#include "tests/unit/sockets.h"

TestSuite(outbox, .timeout = 60, .init = sockets_start, .fini = sockets_end);

static struct block *numbered(uint32_t number, size_t size)
{
    struct buf content = {0};
    memset(buf_reserve(&content, size), 0, size);
    memcpy(content.data, &number, sizeof number);
    content.size = size;
    return block_new(&content);
}

Test(outbox, what_the_socket_does_not_take_waits_and_arrives_in_order)
{
    enum { MESSAGES = 400, SIZE = 65536 };
    char endpoint[ENDPOINT_TEXT_SIZE];
    struct outbox outbox;
    void *pull, *push;
    net_open(&pull, NET_RESULTS_RECEIVER, NULL);
    net_open(&push, NET_RESULTS_SENDER, NULL);
    cr_assert_eq(net_bind(pull, "tcp://127.0.0.1:*", NULL), ERR_NONE);
    net_bound(pull, endpoint);
    net_connect(push, endpoint, NULL);
    outbox_init(&outbox, push, (size_t)MESSAGES * SIZE);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        struct block *message = numbered(i, SIZE);
        cr_assert_eq(outbox_put(&outbox, &message), ERR_NONE);
        cr_assert_null(message);
    }
    cr_assert_eq(outbox_flush(&outbox), ERR_NONE);
    cr_assert(outbox_pending(&outbox), "the receiver's mark must hold the sender back");
    for (uint32_t i = 0; i < MESSAGES; i++) {
        struct block *message;
        uint32_t number;
        eventually((outbox_flush(&outbox), message = net_receive(pull)));
        memcpy(&number, block_bytes(message).data, sizeof number);
        cr_assert_eq(number, i);
        block_release(&message);
    }
    cr_assert_not(outbox_pending(&outbox));
    cr_assert_eq(outbox.size_bytes, 0);
    outbox_free(&outbox);
    net_close(&push, 0);
    net_close(&pull, 0);
}

Test(outbox, says_when_more_would_wait_than_may)
{
    struct outbox outbox;
    void *push;
    net_open(&push, NET_RESULTS_SENDER, NULL);
    outbox_init(&outbox, push, 100);
    struct block *large = numbered(1, 5000), *more = numbered(2, 10);
    cr_assert_eq(outbox_put(&outbox, &large), ERR_NONE, "the first is always taken");
    cr_assert_eq(outbox_put(&outbox, &more), ERR_LIMIT);
    cr_assert_not_null(more, "what was not taken stays the caller's");
    cr_assert_eq(outbox_flush(&outbox), ERR_NONE);
    cr_assert(outbox_pending(&outbox), "a socket without a connection takes nothing");
    block_release(&more);
    outbox_free(&outbox);
    net_close(&push, 0);
}

Test(outbox, tells_that_the_peer_is_gone_and_empties_itself)
{
    struct outbox outbox;
    void *router;
    net_open(&router, NET_CONTROL_SERVER, NULL);
    cr_assert_eq(net_bind(router, "tcp://127.0.0.1:*", NULL), ERR_NONE);
    outbox_init_peer(&outbox, router, 12345, 1000);
    struct block *message = numbered(1, 10);
    outbox_put(&outbox, &message);
    cr_assert_eq(outbox_flush(&outbox), ERR_CLOSED);
    cr_assert_not(outbox_pending(&outbox));
    outbox_free(&outbox);
    net_close(&router, 0);
}
