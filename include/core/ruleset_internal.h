/*
 * ruleset_internal: what ruleset.c, ruleset_egress.c and ruleset_observe.c share. Nobody else includes it.
 */
#ifndef MX_RULESET_INTERNAL_H
#define MX_RULESET_INTERNAL_H

#include "ruleset.h"

/* "dev_" and a device's name, of which a character that nft takes in no name becomes three. */
#define RULESET_DEVICE_CHAIN_MAX (sizeof("dev_") + 3 * IFNAMSIZ)

struct ruleset_device {
	char name[IFNAMSIZ];
	char chain[RULESET_DEVICE_CHAIN_MAX];
	unsigned since; /* 0: that it is there is not known */
};

/* Each copies what it is given to the table's end; false when memory ran out. */
bool ruleset_add_chain(struct ruleset_table *table, const struct ruleset_chain_spec *chain);
bool ruleset_add_rule(struct ruleset_table *table, const struct ruleset_rule *rule);

/*
 * The devices that get a chain, each once, sorted: those given, if any, and those of conf's guard.devices.
 * An array of the caller's to free; false when memory ran out.
 */
bool ruleset_name_devices(struct ruleset_device **out, size_t *count, const struct ruleset_devices *devices,
	const struct conf *conf);

/* The rules for frames, and a chain at each device, which point into devices. False when memory ran out. */
bool ruleset_fill_egress(
	struct ruleset_table *table, int32_t priority, const struct ruleset_device *devices, size_t count);

/* The rules for frames again, for what any bridge of the host sends. False when memory ran out. */
bool ruleset_fill_bridge(struct ruleset_table *table, int32_t priority);

#endif
