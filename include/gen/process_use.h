/* process_use: what processes took so far of the machine, from /proc. */
#ifndef MX_PROCESS_USE_H
#define MX_PROCESS_USE_H

#include <stdint.h>
#include <sys/types.h>

/* CPU seconds, of this process; of all threads of another one, 0 where it cannot be read. */
double process_use_cpu_own(void);
double process_use_cpu(pid_t pid);

/* Octets of memory that are the process's alone and no file's; 0 where it cannot be read. */
uint64_t process_use_memory(pid_t pid);

#endif
