/*
 * encode_expr: the expressions that rules are made of, each appended to the rule at hand. Knows nothing of what a rule
 * is for. Every match loads register 1 and looks at it at once, as nft does.
 */
#ifndef MX_ENCODE_EXPR_H
#define MX_ENCODE_EXPR_H

#include <libnftnl/rule.h>
#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stdint.h>

#include <libnftnl/expr.h> /* needs a header from above */

#include "ruleset.h"

struct encoder {
	const struct ruleset_table *table;
	struct nftnl_rule *rule;
	bool failed;
};

/* Appends an expression to the rule; NULL when memory ran out. */
struct nftnl_expr *expr_add(struct encoder *encoder, const char *name);

void expr_load_meta(struct encoder *encoder, enum nft_meta_keys key);
void expr_load_payload(struct encoder *encoder, enum nft_payload_bases base, uint32_t offset, uint32_t len);
/* Returns the expression for those who need a direction. */
struct nftnl_expr *expr_load_ct(struct encoder *encoder, enum nft_ct_keys key);

/* data as it stands in the packet; of the numbers, u16 is in host order and compared in network order. */
void expr_compare(struct encoder *encoder, enum nft_cmp_ops op, const void *data, uint32_t len);
void expr_compare_u8(struct encoder *encoder, uint8_t value);
void expr_compare_u16(struct encoder *encoder, enum nft_cmp_ops op, uint16_t value);
void expr_compare_u32(struct encoder *encoder, enum nft_cmp_ops op, uint32_t value);

/* Keeps these bits of the register; u16 in host order, as above. */
void expr_mask_u32(struct encoder *encoder, uint32_t bits);
void expr_mask_u16(struct encoder *encoder, uint16_t bits);

void expr_lookup(struct encoder *encoder, enum ruleset_set set);
void expr_verdict(struct encoder *encoder, uint32_t code);

#endif
