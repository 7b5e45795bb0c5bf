#include "worker_scene.h"

#include <arpa/inet.h>
#include <check.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"

static const struct stats_layout layout = {.blocks = 1, .rows = {64, 64, 64, 64}};

struct worker_scene served;

int served_find_listener(int fd, struct sockaddr_storage *original)
{
	socklen_t len = sizeof(*original);
	return getsockname(fd, (struct sockaddr *)original, &len);
}

uint16_t served_port_of(int fd)
{
	struct sockaddr_storage bound;
	ck_assert_int_eq(served_find_listener(fd, &bound), 0);
	return ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
						 : ((struct sockaddr_in *)&bound)->sin_port);
}

const struct policy *served_policy(void)
{
	struct err err;
	struct conf *conf = conf_new("test", NULL, 1, &err);
	ck_assert_ptr_nonnull(conf);
	struct policy *policy = policy_new(conf, NULL, 1, &err);
	conf_unref(conf);
	ck_assert_ptr_nonnull(policy);
	return policy;
}

void served_start(const struct policy *policy, const struct origdst_finder *finders, const char *dns_servers)
{
	struct err err = {""};
	void *memory =
		mmap(NULL, stats_size(&layout), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	stats_format(&served.stats, memory, &layout, 0);
	ck_assert_int_eq(policy_state_init(&served.state, &err), 0);
	int listener = listener_open(0, &err);
	ck_assert_msg(listener >= 0, "%s", err.text);
	served.port = served_port_of(listener);
	const struct worker_setup setup = {
		.listeners = &listener,
		.listener_count = 1,
		.policy = policy,
		.finders = finders,
		.block = stats_block(&served.stats, 0),
		.state = &served.state,
		.resolve = dns_servers != NULL,
		.dns_servers = dns_servers,
	};
	served.worker = worker_start(&setup, &err);
	policy_unref(policy);
	ck_assert_msg(served.worker != NULL, "%s", err.text);
}

void served_stop(void)
{
	worker_stop(served.worker);
	policy_state_done(&served.state);
	munmap(served.stats.memory, stats_size(&layout));
}

int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(served.port)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

void put(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

bool comes_to(enum stats_counter counter, uint64_t value)
{
	for (int i = 0; i < 500 && stats_sum(&served.stats, counter) != value; i++)
		usleep(10000);
	return stats_sum(&served.stats, counter) == value;
}
