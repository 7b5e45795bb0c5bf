#include "process_use.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

double process_use_cpu_own(void)
{
	struct timespec used;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* Thread by thread: schedstat counts nanoseconds, where stat counts ticks. */
double process_use_cpu(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	uint64_t sum = 0;
	if (!tasks)
		return 0;
	for (const struct dirent *task; (task = readdir(tasks));) {
		char name[sizeof(path) + sizeof(task->d_name) + 16];
		uint64_t ns;
		snprintf(name, sizeof(name), "%s/%s/schedstat", path, task->d_name);
		FILE *file = task->d_name[0] == '.' ? NULL : fopen(name, "r");
		if (!file)
			continue;
		if (fscanf(file, "%" SCNu64, &ns) == 1)
			sum += ns;
		fclose(file);
	}
	closedir(tasks);
	return (double)sum / 1e9;
}

uint64_t process_use_memory(pid_t pid)
{
	char path[64], line[128];
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	FILE *file = fopen(path, "r");
	uint64_t kib = 0;
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Anonymous: %" SCNu64, &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib * 1024;
}
