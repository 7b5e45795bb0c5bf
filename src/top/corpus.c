#include "corpus.h"

#include <errno.h>

#include "toml_reader.h"

int corpus_load(struct provider_set *set, const char *wordings, struct err *err)
{
	for (const struct corpus_file *file = corpus_files; file->name; file++) {
		struct toml_node *root = toml_read(file->name, file->text, file->len, err);
		if (!root)
			return -EINVAL;
		int rc = provider_set_add(set, file->name, root, wordings, err);
		toml_free(root);
		if (rc < 0)
			return rc;
	}
	return 0;
}
