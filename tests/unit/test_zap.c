/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/zap.h"

#include <criterion/criterion.h>
#include <czmq.h>
#include <signal.h>

#include "common/net/link.h"
#include "common/sys/signals.h"
#include "tests/unit/sockets.h"

/* Whom a CURVE server lets in, with our handler and without; and the three traps of the libraries that
 * are the reason for it. When one of those tests fails, a library has been mended: nothing is broken. */

TestSuite(zap, .timeout = 60, .init = sockets_start, .fini = sockets_end);
TestSuite(trap, .timeout = 60);

enum { ZAP_ENFORCE_DOMAIN = 93 };

static struct key_pair new_pair(void)
{
    struct key_pair pair;
    char public[41], secret[41];
    zmq_curve_keypair(public, secret);
    zmq_z85_decode(pair.public.octets, public);
    zmq_z85_decode(pair.secret.octets, secret);
    return pair;
}

/* A server socket and how it decides. */
struct rig {
    struct key_pair own;
    struct key admitted; /* to the domain "control" */
    struct key asked;    /* the last that was asked for */
    char address[64];
    struct zap *zap;
    void *router;
    char endpoint[ENDPOINT_TEXT_SIZE];
};

static bool decide(void *context, const struct zap_request *request)
{
    struct rig *rig = context;
    rig->asked = request->key;
    snprintf(rig->address, sizeof rig->address, "%s", request->address);
    return strcmp(request->domain, "control") == 0 && key_equal(&request->key, &rig->admitted);
}

static void open_router(struct rig *rig, const char *domain)
{
    rig->router = open_socket(NET_CONTROL_SERVER);
    net_serve_keys(rig->router, &rig->own, domain);
    cr_assert_eq(net_bind(rig->router, "tcp://127.0.0.1:*", NULL), ERR_NONE);
    net_bound(rig->router, rig->endpoint);
}

static void open_rig(struct rig *rig, const struct key_pair *client)
{
    *rig = (struct rig){.own = new_pair(), .admitted = client->public};
    cr_assert_eq(zap_new(&rig->zap, decide, rig, NULL), ERR_NONE);
    open_router(rig, "control");
}

static bool turn(struct rig *rig)
{
    if (rig->zap)
        zap_watch(rig->zap)->look = true;
    zap_turn(rig->zap);
    return true;
}

/* Connects, and returns the socket when the handshake has ended as it says. */
static void *knock(struct rig *rig, const struct key_pair *own, const struct key *server,
                   enum link_refusal refusal)
{
    struct link link;
    void *dealer = open_socket(NET_CONTROL_CLIENT);
    if (own)
        net_call_keys(dealer, own, server);
    cr_assert_eq(link_open(&link, dealer, NULL), ERR_NONE);
    cr_assert_eq(net_connect(dealer, rig->endpoint, NULL), ERR_NONE);
    eventually((turn(rig), link_turn(&link), link.up || link.refusal));
    cr_assert_eq(link.up, refusal == REFUSAL_NONE);
    /* Whoever finds first that the other has no keys closes, and that may come before its reason. */
    cr_assert(link.refusal == refusal ||
              (refusal == REFUSAL_MECHANISM && link.refusal == REFUSAL_SILENT));
    link_close(&link, dealer);
    return dealer;
}

static void refuse(struct rig *rig, const struct key_pair *own, const struct key *server,
                   enum link_refusal refusal)
{
    void *dealer = knock(rig, own, server, refusal);
    net_close(&dealer, 0);
}

static void close_rig(struct rig *rig)
{
    net_close(&rig->router, 0);
    zap_free(&rig->zap);
}

Test(zap, an_admitted_key_is_let_in_and_known_by_each_message)
{
    struct rig rig;
    struct net_sender sender;
    struct key_pair client = new_pair();
    open_rig(&rig, &client);
    void *dealer = knock(&rig, &client, &rig.own.public, REFUSAL_NONE);
    cr_assert_str_eq(rig.address, "127.0.0.1");
    send_text(dealer, "here");
    expect_text(receive_from(rig.router, &sender), "here");
    cr_assert(key_equal(&sender.key, &client.public));
    cr_assert_str_eq(sender.address, "127.0.0.1");
    net_close(&dealer, 0);
    close_rig(&rig);
}

Test(zap, a_key_that_is_not_admitted_is_refused)
{
    struct rig rig;
    struct key_pair client = new_pair(), stranger = new_pair();
    open_rig(&rig, &client);
    refuse(&rig, &stranger, &rig.own.public, REFUSAL_KEY);
    cr_assert(key_equal(&rig.asked, &stranger.public));
    close_rig(&rig);
}

Test(zap, a_key_of_another_domain_is_refused)
{
    struct rig rig;
    struct key_pair client = new_pair();
    open_rig(&rig, &client);
    net_close(&rig.router, 0);
    open_router(&rig, "lane:7");
    refuse(&rig, &client, &rig.own.public, REFUSAL_KEY);
    close_rig(&rig);
}

Test(zap, a_peer_without_keys_is_refused)
{
    struct rig rig;
    struct key_pair client = new_pair();
    open_rig(&rig, &client);
    refuse(&rig, NULL, NULL, REFUSAL_MECHANISM);
    close_rig(&rig);
}

Test(zap, a_caller_with_keys_does_not_talk_to_a_server_without)
{
    struct rig rig = {.own = new_pair()};
    struct key_pair client = new_pair();
    rig.router = bind_socket(NET_CONTROL_SERVER, rig.endpoint);
    refuse(&rig, &client, &rig.own.public, REFUSAL_MECHANISM);
    close_rig(&rig);
}

Test(zap, a_caller_does_not_talk_to_a_server_with_another_key)
{
    struct rig rig;
    struct key_pair client = new_pair(), other = new_pair();
    open_rig(&rig, &client);
    refuse(&rig, &client, &other.public, REFUSAL_SILENT);
    close_rig(&rig);
}

Test(zap, a_cut_connection_is_at_its_end)
{
    struct rig rig;
    struct link link;
    struct net_sender sender;
    struct key_pair client = new_pair();
    open_rig(&rig, &client);
    void *dealer = open_socket(NET_CONTROL_CLIENT);
    net_call_keys(dealer, &client, &rig.own.public);
    link_open(&link, dealer, NULL);
    net_connect(dealer, rig.endpoint, NULL);
    eventually((turn(&rig), link_turn(&link), link.up));
    send_text(dealer, "here");
    expect_text(receive_from(rig.router, &sender), "here");
    struct net_sender elsewhere = sender;
    snprintf(elsewhere.address, sizeof elsewhere.address, "192.0.2.1");
    net_cut(&elsewhere); /* not the connection that it was */
    send_text(dealer, "still here");
    expect_text(receive_from(rig.router, &sender), "still here");
    net_cut(&sender);
    eventually((link_turn(&link), link.failed > 0));
    link_close(&link, dealer);
    net_close(&dealer, 0);
    close_rig(&rig);
}

Test(zap, when_the_handler_is_gone_nobody_is_let_in)
{
    struct rig rig;
    struct key_pair client = new_pair();
    open_rig(&rig, &client);
    zap_free(&rig.zap);
    refuse(&rig, &client, &rig.own.public, REFUSAL_SILENT);
    refuse(&rig, &client, &rig.own.public, REFUSAL_SILENT);
    close_rig(&rig);
}

Test(zap, there_is_one_handler)
{
    struct rig rig;
    struct zap *second = NULL;
    struct key_pair client = new_pair();
    open_rig(&rig, &client);
    cr_assert_eq(zap_new(&second, decide, &rig, NULL), ERR_IN_USE);
    cr_assert_null(second);
    void *dealer = knock(&rig, &client, &rig.own.public, REFUSAL_NONE);
    net_close(&dealer, 0);
    close_rig(&rig);
}

/* ---- traps ---- */

/* Whether a stranger gets in at a server of czmq's. */
static bool gets_in(zsock_t *server, const char *endpoint)
{
    zcert_t *stranger = zcert_new();
    zsock_t *client = zsock_new(ZMQ_DEALER);
    zcert_apply(stranger, client);
    char *key = zsock_curve_publickey(server);
    zsock_set_curve_serverkey(client, key);
    zstr_free(&key);
    zsock_connect(client, "%s", endpoint);
    zstr_send(client, "stranger");
    zsock_set_rcvtimeo(server, 500);
    zmsg_t *message = zmsg_recv(server);
    bool in = message;
    zmsg_destroy(&message);
    zsock_destroy(&client);
    zcert_destroy(&stranger);
    return in;
}

static zsock_t *serve(char **endpoint, bool enforce)
{
    zcert_t *own = zcert_new();
    zsock_t *server = zsock_new(ZMQ_ROUTER);
    zcert_apply(own, server);
    zsock_set_curve_server(server, 1);
    zsock_set_zap_domain(server, "global");
    if (enforce)
        zsock_set_zap_enforce_domain(server, 1);
    zsock_bind(server, "tcp://127.0.0.1:*");
    *endpoint = strdup(zsock_endpoint(server));
    zcert_destroy(&own);
    return server;
}

Test(trap, curve_without_a_handler_lets_everybody_in)
{
    char *endpoint;
    zsys_handler_set(NULL);
    zsock_t *server = serve(&endpoint, false);
    cr_assert(gets_in(server, endpoint));
    free(endpoint);
    zsock_destroy(&server);
}

Test(trap, the_option_that_closes_it_is_a_no_op_in_czmq)
{
    int value = 0;
    size_t size = sizeof value;
    char *endpoint;
    zsys_handler_set(NULL);
    zsock_t *server = serve(&endpoint, true);
    cr_assert_eq(zmq_getsockopt(zsock_resolve(server), ZAP_ENFORCE_DOMAIN, &value, &size), 0);
    cr_assert_eq(value, 0);
    cr_assert(gets_in(server, endpoint));
    free(endpoint);
    zsock_destroy(&server);
}

Test(trap, zauth_ends_at_TERM_and_then_everybody_is_let_in)
{
    char *endpoint;
    zsys_init(); /* with czmq's own handling of signals, as by default */
    zactor_t *auth = zactor_new(zauth, NULL);
    zstr_sendx(auth, "CURVE", "/nonexistent", NULL);
    zsock_wait(auth);
    zsock_t *server = serve(&endpoint, false);
    cr_assert_not(gets_in(server, endpoint));
    raise(SIGTERM);
    eventually(gets_in(server, endpoint));
    free(endpoint);
    zsock_destroy(&server);
    zactor_destroy(&auth);
}

Test(trap, our_handler_goes_on_after_TERM)
{
    struct rig rig;
    struct signals signals;
    struct key_pair client = new_pair(), stranger = new_pair();
    cr_assert_eq(signals_open(&signals, 0, NULL), ERR_NONE);
    sockets_start();
    open_rig(&rig, &client);
    raise(SIGTERM);
    for (int i = 0; i < 3; i++)
        refuse(&rig, &stranger, &rig.own.public, REFUSAL_KEY);
    void *dealer = knock(&rig, &client, &rig.own.public, REFUSAL_NONE);
    net_close(&dealer, 0);
    close_rig(&rig);
    sockets_end();
}
