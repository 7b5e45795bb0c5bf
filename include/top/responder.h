/*
 * responder: the process without privilege that talks to the network. Everything that it needs (the
 * configuration's text, listeners, the counts' file) comes from the warden over the channel.
 */
#ifndef MX_RESPONDER_H
#define MX_RESPONDER_H

/* Runs until the warden closes the channel or SIGTERM comes. Returns an exit code. */
int responder_run(int channel);

#endif
