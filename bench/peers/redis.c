/* SPDX-License-Identifier: MPL-2.0 */

/* A Redis list of tasks and one of results, by hiredis: the workers pop a task and push its result, one
 * at a time; the client pushes a thousand at a time. Nothing brings back what a worker had that died.
 * See peer.h. */
#include "peer.h"

#include <hiredis/hiredis.h>
#include <string.h>

static redisContext *join(const struct peer *peer)
{
    redisContext *redis = redisConnect("127.0.0.1", peer->port);
    if (!redis || redis->err)
        peer_die("redis: cannot connect");
    return redis;
}

static redisReply *checked(redisReply *reply, int type)
{
    if (!reply || reply->type != type)
        peer_die("redis: an unexpected answer");
    return reply;
}

/* Waits for an element of the list; the reply is the caller's. */
static redisReply *pop(redisContext *redis, const char *list)
{
    return checked(redisCommand(redis, "BRPOP %s 0", list), REDIS_REPLY_ARRAY);
}

static void work(const struct peer *peer)
{
    redisContext *redis = join(peer);
    for (;;) {
        redisReply *reply = pop(redis, "tasks");
        const char *result = peer_do(peer, reply->element[1]->str, reply->element[1]->len);
        freeReplyObject(reply);
        freeReplyObject(
            checked(redisCommand(redis, "LPUSH results %s", result), REDIS_REPLY_INTEGER));
    }
}

static void push_some(redisContext *redis, const struct peer *peer, size_t begin, size_t end)
{
    void *reply;
    for (size_t at = begin; at < end; at++)
        redisAppendCommand(redis, "LPUSH tasks %s", peer->tasks[at]);
    for (size_t at = begin; at < end; at++) {
        if (redisGetReply(redis, &reply))
            peer_die("redis: cannot push");
        freeReplyObject(checked(reply, REDIS_REPLY_INTEGER));
    }
}

int main(int argc, char **argv)
{
    struct peer peer = peer_new(argc, argv);
    redisContext *redis = join(&peer);
    double began_s = peer_start(&peer, work);
    for (size_t at = 0; at < peer.count;) {
        size_t end = at + PEER_AT_ONCE < peer.count ? at + PEER_AT_ONCE : peer.count;
        push_some(redis, &peer, at, end);
        for (; at < end; at++) {
            redisReply *reply = pop(redis, "results");
            peer_result(&peer, reply->element[1]->str, reply->element[1]->len);
            freeReplyObject(reply);
        }
    }
    int status = peer_end(&peer, began_s);
    redisFree(redis);
    return status;
}
