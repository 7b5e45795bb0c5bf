/*
 * responder: the process without privilege that talks to the network. Everything that it needs (the
 * configuration's text, listeners, the counts' file) comes from the warden over the channel.
 */
#ifndef MX_RESPONDER_H
#define MX_RESPONDER_H

/*
 * Runs until the warden closes the channel or SIGTERM comes, as so many processes (siblings.h), 1 to
 * CONF_WORKERS_MAX. Returns an exit code, in each of them.
 */
int responder_run(int channel, unsigned processes);

#endif
