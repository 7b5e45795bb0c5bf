#include "sock_diag.h"

#include <arpa/inet.h>
#include <check.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netns.h"
#include "suite.h"

/* A connection over loopback; its packet as the client sends it. */
static int connection(int *listener, struct packet *packet)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}, from;
	socklen_t len = sizeof(to);
	*listener = socket(AF_INET, SOCK_STREAM, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert(*listener >= 0 && client >= 0);
	ck_assert_int_eq(bind(*listener, (struct sockaddr *)&to, sizeof(to)), 0);
	ck_assert_int_eq(listen(*listener, 1), 0);
	ck_assert_int_eq(getsockname(*listener, (struct sockaddr *)&to, &len), 0);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
	ck_assert_int_eq(getsockname(client, (struct sockaddr *)&from, &len), 0);
	*packet = (struct packet){.family = AF_INET, .protocol = IPPROTO_TCP, .has_ports = true};
	memcpy(packet->source, &from.sin_addr, 4);
	memcpy(packet->destination, &to.sin_addr, 4);
	packet->source_port = ntohs(from.sin_port);
	packet->destination_port = ntohs(to.sin_port);
	return client;
}

static void assert_found(struct sock_diag *diag, const struct packet *packet, int fd)
{
	struct sock_diag_match match = {0};
	struct stat st;
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(sock_diag_tcp(diag, packet, &match), 1);
	ck_assert_uint_eq(match.inode, st.st_ino);
}

/* Asks for all sockets and leaves the answer where it is. */
static void ask_and_leave(struct sock_diag *diag)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 request;
	} message = {
		.head = {.nlmsg_len = sizeof(message),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			.nlmsg_seq = diag->seq},
		.request = {.sdiag_family = AF_INET,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = UINT32_MAX},
	};
	ck_assert_int_eq(mnl_socket_sendto(diag->socket, &message, sizeof(message)), sizeof(message));
}

START_TEST(test_finds_a_connection_behind_an_old_answer)
{
	struct sock_diag diag;
	struct packet packet;
	struct err err = {""};
	int listener;
	netns_fresh();
	ck_assert_msg(sock_diag_open(&diag, &err) == 0, "%s", err.text);
	int client = connection(&listener, &packet);
	assert_found(&diag, &packet, client);
	ask_and_leave(&diag);
	assert_found(&diag, &packet, client);
	assert_found(&diag, &packet, client);
	packet.source_port ^= 1;
	struct sock_diag_match match;
	ck_assert_uint_eq(sock_diag_tcp(&diag, &packet, &match), 0);
	sock_diag_close(&diag);
	close(client);
	close(listener);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sock_diag");
	TCase *cases = tcase_create("sock_diag");
	tcase_add_test(cases, test_finds_a_connection_behind_an_old_answer);
	suite_add_tcase(suite, cases);
	return suite_run(suite);
}
