/*
 * netns: network namespaces for tests, which go with the process that made them. After
 * netns_fresh() nothing that a test does reaches the machine's own namespace.
 */
#ifndef TEST_NETNS_H
#define TEST_NETNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "suite.h"

/*
 * Moves the calling process into a fresh network namespace, loopback up; call it first in every
 * test that touches the network. The process ends by SIGALRM if the test lasts for longer than 60 s, times
 * TEST_SLOWNESS.
 */
void netns_fresh(void);

/*
 * A second namespace, loopback up, for as long as the caller lives: its process id, by which
 * `nsenter -t ID -n` and `ip link set … netns ID` find it.
 */
pid_t netns_peer(void);

/*
 * How many times slower than usual this processor is, by the environment's TEST_SLOWNESS: an emulated one is. For each
 * alarm(), too, of whatever child.
 */
unsigned test_slowness(void);

/* The clock that only goes forward. */
uint64_t now_ms(void);

/* Enters the namespace of a process; the calling process should be a child that ends soon. */
void netns_enter(pid_t process);

/* Runs a shell command; fails the test when the command does. */
void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Its exit status instead. */
int shell_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Its standard output, to be freed; its end is marked by a NUL. */
char *shell_output(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* `nft -s list table` of each of our tables, without what nft says about the table's owner, to be freed. */
char *nft_list(void);

/* A whole file, to be freed. */
char *file_read(const char *path);

/* Fails the test and says in which line the texts part. */
void assert_same_text(const char *found, const char *wanted);

#endif
