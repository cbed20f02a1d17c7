/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/credit.h"

#include "common/base/clock.h"

#define MARGIN_NS (100 * NS_PER_MS)  /* of work, beyond the round trip */
#define SHARE_NS NS_PER_MS           /* of work in an assignment */
#define SERVICE_MIN_NS UINT64_C(250) /* less cannot be told from nothing */
#define ROUND_TRIP_MAX_NS NS_PER_S   /* more is somebody's freeze */
#define SERVICE_WINDOW_NS NS_PER_S
#define ROUND_TRIP_WINDOW_NS (4 * NS_PER_S)

enum { WINDOW_PER_SLOT = 64 }; /* assignments after which a window ends, however short it was */

static uint64_t max_of(const uint64_t pair[2])
{
    return pair[0] > pair[1] ? pair[0] : pair[1];
}

void meter_round_trip(struct meter *m, uint64_t round_trip_ns, uint64_t now_ns)
{
    uint64_t *pair = m->round_trip_ns;
    if (now_ns - m->round_trip_at_ns >= ROUND_TRIP_WINDOW_NS) {
        pair[1] = pair[0];
        pair[0] = 0;
        m->round_trip_at_ns = now_ns;
    }
    if (!pair[0] || round_trip_ns < pair[0])
        pair[0] = round_trip_ns ? round_trip_ns : 1;
}

static uint64_t round_trip(const struct meter *m)
{
    const uint64_t *pair = m->round_trip_ns;
    uint64_t shortest = pair[0] && (!pair[1] || pair[0] < pair[1]) ? pair[0] : pair[1];
    return shortest < ROUND_TRIP_MAX_NS ? shortest : ROUND_TRIP_MAX_NS;
}

void meter_assignment(struct meter *m, unsigned slots, uint64_t count, uint64_t service_ns,
                      uint64_t whole_ns, uint64_t now_ns)
{
    if (count == 0)
        return;
    uint64_t service = service_ns / count > SERVICE_MIN_NS ? service_ns / count : SERVICE_MIN_NS;
    uint64_t whole = whole_ns / count > SERVICE_MIN_NS ? whole_ns / count : SERVICE_MIN_NS;
    if (now_ns - m->window_at_ns >= SERVICE_WINDOW_NS || m->measured >= WINDOW_PER_SLOT * slots) {
        m->longest_ns[1] = m->longest_ns[0];
        m->longest_ns[0] = 0;
        m->window_at_ns = now_ns;
        m->measured = 0;
    }
    m->measured++;
    if (service > m->longest_ns[0])
        m->longest_ns[0] = service;
    m->mean_ns = m->mean_ns ? m->mean_ns - m->mean_ns / 4 + whole / 4 : whole;
}

uint64_t meter_ahead(const struct meter *m, unsigned slots)
{
    uint64_t longest = max_of(m->longest_ns);
    if (!longest)
        return 0;
    uint64_t ahead = slots * (round_trip(m) + MARGIN_NS) / longest;
    uint64_t bridge = slots * 2 * round_trip(m) / m->mean_ns;
    ahead = ahead > bridge ? ahead : bridge;
    return ahead < CREDIT_TASKS_MAX ? ahead : CREDIT_TASKS_MAX;
}

uint32_t meter_share(struct meter *m, uint64_t unstarted, unsigned slots, uint32_t batch_max)
{
    uint64_t share = m->mean_ns ? SHARE_NS / m->mean_ns : 1;
    uint64_t fair = (unstarted + slots - 1) / slots;
    if (share > 2 * (uint64_t)m->size)
        share = 2 * (uint64_t)m->size;
    if (share > batch_max)
        share = batch_max;
    m->size = share ? (uint32_t)share : 1;
    return fair < m->size ? (uint32_t)fair : m->size;
}

/* Slots for which there is no task here. */
static uint64_t idle_slots(const struct holding *h)
{
    uint64_t have = h->busy + h->unstarted;
    return have < h->slots ? h->slots - have : 0;
}

static void at_least(uint64_t *total, uint64_t before)
{
    if (*total < before)
        *total = before;
}

struct credit credit_of(const struct meter *m, const struct holding *h, const struct credit *sent)
{
    uint64_t want = h->slots + meter_ahead(m, h->slots), have = h->busy + h->unstarted;
    uint64_t room = h->held_bytes < CREDIT_BYTES_MAX ? CREDIT_BYTES_MAX - h->held_bytes : 0;
    struct credit credit = {
        .tasks = h->received, .size_bytes = h->received_bytes, .reserve = h->received};
    if (h->ordinary) {
        credit.tasks += want > have ? want - have : 0;
        credit.size_bytes += room;
    }
    if (h->reserve)
        credit.reserve += idle_slots(h);
    at_least(&credit.tasks, sent->tasks);
    at_least(&credit.size_bytes, sent->size_bytes);
    at_least(&credit.reserve, sent->reserve);
    return credit;
}

/* What the ventilator may still send of what it was granted. */
static uint64_t unused(uint64_t granted, uint64_t received)
{
    return granted > received ? granted - received : 0;
}

bool credit_is_due(const struct credit *sent, const struct credit *wanted, const struct holding *h,
                   bool in_passing)
{
    uint64_t idle = idle_slots(h);
    uint64_t coming = unused(sent->tasks, h->received);
    uint64_t asked = unused(wanted->tasks, h->received);
    uint64_t reserved = unused(sent->reserve, h->received);
    uint64_t coming_bytes = unused(sent->size_bytes, h->received_bytes);
    uint64_t asked_bytes = unused(wanted->size_bytes, h->received_bytes);
    if (coming < idle &&
        (asked > coming || (reserved < idle && unused(wanted->reserve, h->received) > reserved)))
        return true;
    uint64_t left = coming + h->unstarted, all = asked + h->unstarted;
    if (asked > coming && (in_passing ? 4 * left < 3 * all : 3 * left < all))
        return true;
    return coming_bytes < CREDIT_BYTES_MAX / 2 && asked_bytes > coming_bytes + CREDIT_BYTES_MAX / 8;
}
