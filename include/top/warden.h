/*
 * warden: the process with CAP_NET_ADMIN. It binds the listeners, loads the rules and keeps them true,
 * reads the kernel's counters, starts the responder and starts it again when it dies. It parses nothing
 * that comes from the network.
 */
#ifndef MX_WARDEN_H
#define MX_WARDEN_H

#include <stdbool.h>

struct warden_options {
	const char *conf_file;
	bool no_divert;      /* a plain sink on the listener ports; needs no privilege */
	bool disarm_on_exit; /* an orderly stop takes the rules down, whatever guard.on_stop says */
};

/* Runs until SIGTERM or SIGINT. Returns an exit code, after having said on standard error why. */
int warden_run(const struct warden_options *options);

#endif
