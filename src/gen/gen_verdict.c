#include "gen_verdict.h"

const char *const gen_phase_names[GEN_PHASES] = {
	[GEN_PHASE_CONNECT] = "connect",
	[GEN_PHASE_BANNER] = "banner",
	[GEN_PHASE_EHLO] = "ehlo",
	[GEN_PHASE_STARTTLS] = "starttls",
	[GEN_PHASE_HANDSHAKE] = "tls_handshake",
	[GEN_PHASE_MAIL] = "mail",
	[GEN_PHASE_RCPT] = "rcpt",
	[GEN_PHASE_DATA] = "data",
	[GEN_PHASE_END_OF_DATA] = "end_of_data",
	[GEN_PHASE_RSET] = "rset",
	[GEN_PHASE_QUIT] = "quit",
	[GEN_PHASE_IDLE] = "idle",
	[GEN_PHASE_HTTP] = "http",
};

struct gen_verdict gen_verdict_of(enum gen_phase phase, uint16_t code, struct span text)
{
	struct gen_verdict verdict = {.phase = phase, .code = code};
	verdict.text_len = (uint8_t)(text.len < sizeof(verdict.text) ? text.len : sizeof(verdict.text));
	memcpy(verdict.text, text.data, verdict.text_len);
	return verdict;
}
