/*
 * nft_take: what takes one object of a listing of nftables, as a callback for nlsock_request(). libnftnl parses; whose
 * the object is and what becomes of it is its caller's business.
 */
#ifndef MX_NFT_TAKE_H
#define MX_NFT_TAKE_H

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/set.h>

/*
 * Defines KIND_take() for one of libnftnl's kinds. The object goes to KIND_keep(data, object), which frees or keeps it.
 * What libnftnl cannot parse, since it is older than what made it, is unreadable(data)'s to judge: MNL_CB_OK, or
 * MNL_CB_ERROR with errno set.
 */
#define NFT_TAKE(kind, unreadable)                                     \
	static int kind##_take(const struct nlmsghdr *nlh, void *data) \
	{                                                              \
		struct nftnl_##kind *object = nftnl_##kind##_alloc();  \
		if (!object) {                                         \
			errno = ENOMEM;                                \
			return MNL_CB_ERROR;                           \
		}                                                      \
		if (nftnl_##kind##_nlmsg_parse(nlh, object) < 0) {     \
			nftnl_##kind##_free(object);                   \
			return unreadable(data);                       \
		}                                                      \
		kind##_keep(data, object);                             \
		return MNL_CB_OK;                                      \
	}

/* data: the set that the elements belong to. */
static inline int nft_take_elements(const struct nlmsghdr *nlh, void *data)
{
	if (nftnl_set_elems_nlmsg_parse(nlh, data) == 0)
		return MNL_CB_OK;
	errno = EBADMSG;
	return MNL_CB_ERROR;
}

#endif
