/* cpu_time: the CPU time that processes took so far, from /proc. */
#ifndef MX_CPU_TIME_H
#define MX_CPU_TIME_H

#include <sys/types.h>

/* Seconds, of this process; of all threads of another one, 0 where it cannot be read. */
double cpu_time_own(void);
double cpu_time_of(pid_t pid);

#endif
