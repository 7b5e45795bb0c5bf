/* Any first bytes of a packet that was stopped: what is said of it is of one piece. The first one chooses the start. */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet packet;
	if (size == 0)
		return 0;
	enum packet_start start = data[0] & 1 ? PACKET_FRAME : PACKET_IP;
	if (!packet_parse(&packet, start, data + 1, size - 1))
		return 0;
	bool ports = packet.protocol == IPPROTO_TCP || packet.protocol == IPPROTO_UDP;
	if ((packet.family != AF_INET && packet.family != AF_INET6) || packet.vlan > 4095 ||
		(packet.has_ports && !ports))
		abort();
	return 0;
}
