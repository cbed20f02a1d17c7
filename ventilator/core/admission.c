/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/admission.h"

#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"

bool admission_has(const struct dispatcher *d, const struct key *key, enum key_role role)
{
    return !d->options.admitted || (admitted_roles(d->options.admitted, key) & role);
}

bool admission_allows(struct dispatcher *d, const struct origin *from, enum wire_role role,
                      uint64_t now_ns)
{
    bool is_worker = role == ROLE_WORKER;
    struct why why;
    if (admission_has(d, &from->key, is_worker ? KEY_WORKER : KEY_SINK))
        return true;
    d->protests.dropped++;
    dispatcher_refuse(d, from->connection, REFUSE_KEY,
                      is_worker ? "its key is not admitted as a worker's: is it the sink's?"
                                : "its key is not admitted as a sink's: is it a worker's?");
    if (refusals_say(&d->admission.refusals, &from->key, is_worker ? "a worker" : "a sink",
                     from->address, now_ns, &why))
        dispatcher_say(d, "%s", why.text);
    return false;
}

void admission_tell_sink(struct dispatcher *d)
{
    if (!d->options.admitted || !d->sink.connection)
        return;
    struct buf to = {0};
    wire_begin(&to, KIND_ADMITTED, dispatcher_head(d, KIND_ADMITTED, d->sink.session));
    admitted_put(&to, d->options.admitted);
    dispatcher_send(d, d->sink.connection, &to);
}
