/*
 * Plays the files of a corpus directory through a fuzz target, where there is no fuzzer to do it:
 * so that what a fuzzer once found stays found in every test run.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *directory, const char *name)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return -1;
	}
	/* A block of the exact size, so that the address sanitizer sees a read past it. */
	uint8_t *data = NULL;
	size_t size = 0;
	if (fseek(file, 0, SEEK_END) == 0) {
		size = (size_t)ftell(file);
		rewind(file);
		data = malloc(size ? size : 1);
	}
	bool whole = data && fread(data, 1, size, file) == size;
	fclose(file);
	if (whole)
		LLVMFuzzerTestOneInput(data, size);
	free(data);
	return whole ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct dirent **files;
	int count = argc == 2 ? scandir(argv[1], &files, NULL, alphasort) : -1;
	if (count < 0) {
		fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
		return 2;
	}
	int replayed = 0, failed = 0;
	for (int i = 0; i < count; i++) {
		if (files[i]->d_name[0] != '.') {
			replayed++;
			failed |= replay(argv[1], files[i]->d_name);
		}
		free(files[i]);
	}
	free(files);
	printf("%d inputs\n", replayed);
	return failed || !replayed;
}
