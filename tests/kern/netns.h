/*
 * netns: network namespaces for tests. A test runs in a forked child of its own in namespaces that
 * the child made, and they go with it; the machine's own namespace is never entered.
 */
#ifndef TEST_NETNS_H
#define TEST_NETNS_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Runs body in a child with a fresh network namespace, loopback up; the child is killed after 60 s.
 * Check's assertions work in it: the test fails with the child.
 */
void netns_run(void (*body)(void));

/*
 * A second namespace, loopback up, for as long as the caller lives: its process id, by which
 * `nsenter -t ID -n` and `ip link set … netns ID` find it.
 */
pid_t netns_peer(void);

/* Enters the namespace of a process; the calling process should be a child that ends soon. */
void netns_enter(pid_t process);

/* Runs a shell command; fails the test when the command does. */
void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Its exit status instead. */
int shell_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Its standard output, to be freed; its end is marked by a NUL. */
char *shell_output(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* `nft -s list table inet mxmirage` without what nft says about the table's owner, to be freed. */
char *nft_list(void);

/* A whole file, to be freed. */
char *file_read(const char *path);

/* Fails the test and says in which line the texts part. */
void assert_same_text(const char *found, const char *wanted);

#endif
