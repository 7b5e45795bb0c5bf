#include "encode_expr.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>

/* Appends an expression to the rule; NULL when memory ran out. */
struct nftnl_expr *expr_add(struct encoder *encoder, const char *name)
{
	struct nftnl_expr *expr = encoder->failed ? NULL : nftnl_expr_alloc(name);
	if (expr)
		nftnl_rule_add_expr(encoder->rule, expr);
	else
		encoder->failed = true;
	return expr;
}

/* Every match loads register 1 and looks at it at once, as nft does. */

void expr_load_meta(struct encoder *encoder, enum nft_meta_keys key)
{
	struct nftnl_expr *expr = expr_add(encoder, "meta");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

void expr_load_payload(struct encoder *encoder, enum nft_payload_bases base, uint32_t offset, uint32_t len)
{
	struct nftnl_expr *expr = expr_add(encoder, "payload");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
}

/* Returns the expression for those who need a direction. */
struct nftnl_expr *expr_load_ct(struct encoder *encoder, enum nft_ct_keys key)
{
	struct nftnl_expr *expr = expr_add(encoder, "ct");
	if (expr) {
		nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, key);
		nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_DREG, NFT_REG_1);
	}
	return expr;
}

void expr_compare(struct encoder *encoder, enum nft_cmp_ops op, const void *data, uint32_t len)
{
	struct nftnl_expr *expr = expr_add(encoder, "cmp");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(expr, NFTNL_EXPR_CMP_DATA, data, len);
}

void expr_compare_u8(struct encoder *encoder, uint8_t value)
{
	expr_compare(encoder, NFT_CMP_EQ, &value, sizeof(value));
}

/* value in host order */
void expr_compare_u16(struct encoder *encoder, enum nft_cmp_ops op, uint16_t value)
{
	value = htons(value);
	expr_compare(encoder, op, &value, sizeof(value));
}

void expr_compare_u32(struct encoder *encoder, enum nft_cmp_ops op, uint32_t value)
{
	expr_compare(encoder, op, &value, sizeof(value));
}

static void mask(struct encoder *encoder, const void *bits, uint32_t len)
{
	static const uint32_t zero;
	struct nftnl_expr *expr = expr_add(encoder, "bitwise");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_LEN, len);
	nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_MASK, bits, len);
	nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_XOR, &zero, len);
}

void expr_mask_u32(struct encoder *encoder, uint32_t bits)
{
	mask(encoder, &bits, sizeof(bits));
}

/* bits in host order */
void expr_mask_u16(struct encoder *encoder, uint16_t bits)
{
	bits = htons(bits);
	mask(encoder, &bits, sizeof(bits));
}

void expr_lookup(struct encoder *encoder, enum ruleset_set set)
{
	struct nftnl_expr *expr = expr_add(encoder, "lookup");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	nftnl_expr_set_str(expr, NFTNL_EXPR_LOOKUP_SET, encoder->table->sets[set].name);
	/* Not inverted: said aloud, so that it reads as the kernel lists it. */
	nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS, 0);
}

void expr_verdict(struct encoder *encoder, uint32_t code)
{
	struct nftnl_expr *expr = expr_add(encoder, "immediate");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_VERDICT, code);
}
