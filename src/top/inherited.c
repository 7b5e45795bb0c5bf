#include "inherited.h"

#include <sys/socket.h>
#include <systemd/sd-daemon.h>

int inherited_netlink(void)
{
	int count = sd_listen_fds(0);
	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; fd++)
		if (sd_is_socket(fd, AF_NETLINK, 0, -1) > 0)
			return fd;
	return -1;
}
