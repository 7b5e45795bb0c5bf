/*
 * conf: the configuration as one immutable value. It is made whole from a file's tree or not at
 * all, shared by reference between threads, and replaced, never changed. This module reads no file:
 * the TOML reader (toml/toml_reader.h) gives it a tree of plain nodes.
 */
#ifndef MX_CONF_H
#define MX_CONF_H

#include <net/if.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "err.h"
#include "toml_node.h"

#define CONF_PATH_DEFAULT "/etc/mxmirage/mxmirage.toml"
#define CONF_PORTS_MAX    16
#define CONF_DEVICES_MAX  64
#define CONF_WORKERS_MAX  64 /* also of processes, since each has a worker */
/* Blocks after merging: loaded in some 20 ms, and more than a LAN has. */
#define CONF_EXCLUDE_MAX 10000
/* In the listeners' range: each port is a socket per worker. */
#define CONF_LISTEN_PORTS_MAX 64
/* Rows of a table of counts, per worker: enough to show something, and a bound on the memory. */
#define CONF_ROWS_MIN 16
#define CONF_ROWS_MAX 1048576

/* An address block; a plain address is a block of full length. */
struct conf_block {
	uint8_t family;      /* AF_INET or AF_INET6 */
	uint8_t prefix;      /* bits */
	uint8_t address[16]; /* network order, host bits zero; 4 bytes used for AF_INET */
};

enum conf_on_stop {
	CONF_ON_STOP_KEEP,
	CONF_ON_STOP_REMOVE,
};

enum conf_answer_mode {
	CONF_ANSWER_SMART, /* as the recipient's provider would */
	CONF_ANSWER_SINK,  /* accept everything */
};

enum conf_wording {
	CONF_WORDING_CURRENT,
	CONF_WORDING_OLD,
	CONF_WORDING_ALL,
};

enum conf_mx_mismatch {
	CONF_MX_MISMATCH_REJECT,
	CONF_MX_MISMATCH_ACCEPT,
};

struct conf {
	const char *file; /* as named by the user; "(defaults)" without a file */

	struct {
		uint16_t ports[CONF_PORTS_MAX]; /* ascending, no doubles */
		size_t port_count;
		struct conf_block *exclude; /* v4 before v6, ascending, merged: as few as can be */
		size_t exclude_count;
	} divert;
	struct {
		uint16_t port_first, port_last; /* inclusive */
		unsigned workers;               /* never 0: resolved when read */
		unsigned workers_written;       /* 0 = one for each CPU */
		unsigned processes;             /* that they are spread over; at most workers */
	} listen;
	struct {
		enum conf_on_stop on_stop;
		char devices[CONF_DEVICES_MAX][IFNAMSIZ]; /* guarded before they exist; the rest is zero */
		size_t device_count;
	} guard;
	struct {
		enum conf_answer_mode mode;
		uint64_t seed; /* at most INT64_MAX */
		const char *hostname;
		const char *responses; /* the smart sink's file; "" = none */
		const char *providers; /* a file of further profiles; "" = none */
		enum conf_wording wording;
		uint32_t forced; /* enum forced_family */
		enum conf_mx_mismatch mx_mismatch;
	} answer;
	struct {
		const char *servers; /* "" = those of resolv.conf */
	} dns;
	struct {
		const char *socket; /* path of the control socket */
	} admin;
	struct {
		const char *file; /* the shared mapping that outlives the processes */
		uint32_t domains; /* rows per worker, as are the next two */
		uint32_t destinations;
		uint32_t sources;
	} counts;
	struct {
		const char *user; /* the responder's; "" = mxmirage where that user exists, else
				     nobody */
	} responder;

	atomic_uint references; /* private */
};

/*
 * Makes a configuration of a tree, which it copies. `file` names it in errors, which hold file:line
 * and the remedy, a line for each mistake; NULL is "(defaults)". workers = 0 is resolved to `cpus`.
 * root may be NULL: all defaults. NULL on failure, err filled.
 */
struct conf *conf_new(const char *file, const struct toml_node *root, unsigned cpus, struct err *err);

/* Takes and gives up a share; the last one frees. Both may be called from any thread. NULL is fine.
 */
const struct conf *conf_ref(const struct conf *conf);
void conf_unref(const struct conf *conf);

/*
 * Names the first setting in which b differs from a that only a restart can change
 * ("listen.ports"), or NULL when all differences can be taken over at run time.
 */
const char *conf_needs_restart(const struct conf *a, const struct conf *b);

/* Prints every key with its value, its default and its meaning, as a commented TOML file. */
void conf_print(const struct conf *conf, FILE *to);

#endif
