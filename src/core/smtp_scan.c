#include "smtp_scan.h"

#include <endian.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define BLOCK         64
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* Where in a block of 64 bytes the special ones are: bit i for byte i. */
struct marks {
	uint64_t cr, lf, dot, nul;
};

/* enum smtp_scan_state as bits, to be shifted in at the front of a block: each 0 or 1. */
struct carry {
	uint64_t line_start, cr, dot, dot_cr;
};

static struct carry carry_of(enum smtp_scan_state state)
{
	return (struct carry){
		.line_start = state == SMTP_SCAN_LINE_START,
		.cr = state == SMTP_SCAN_CR || state == SMTP_SCAN_DOT_CR,
		.dot = state == SMTP_SCAN_DOT,
		.dot_cr = state == SMTP_SCAN_DOT_CR,
	};
}

static enum smtp_scan_state state_of(struct carry carry)
{
	if (carry.line_start)
		return SMTP_SCAN_LINE_START;
	if (carry.dot)
		return SMTP_SCAN_DOT;
	if (carry.dot_cr)
		return SMTP_SCAN_DOT_CR;
	return carry.cr ? SMTP_SCAN_CR : SMTP_SCAN_TEXT;
}

/*
 * Goes over the first len (1 to 64) bytes of a block, all at once. Returns how many belong to the
 * body; *ended tells whether the last of these is its end.
 */
static ALWAYS_INLINE unsigned scan_block(
	struct marks marks, unsigned len, struct carry *carry, struct smtp_message *message, bool *ended)
{
	uint64_t behind_cr = marks.cr << 1 | carry->cr;
	uint64_t crlf = marks.lf & behind_cr;
	uint64_t dot = marks.dot & (crlf << 1 | carry->line_start);
	uint64_t dot_cr = marks.cr & (dot << 1 | carry->dot);
	uint64_t end = marks.lf & (dot_cr << 1 | carry->dot_cr);
	uint64_t valid = ~UINT64_C(0) >> (BLOCK - len);
	end &= valid;
	*ended = end;
	if (end) {
		len = (unsigned)__builtin_ctzll(end) + 1;
		valid = ~UINT64_C(0) >> (BLOCK - len);
		message->octets -= 2; /* the CRLF behind the last dot */
	}
	if (((marks.lf ^ behind_cr) | marks.nul) & valid) {
		if (marks.lf & ~behind_cr & valid)
			message->flags |= SMTP_FLAG_BARE_LF;
		if (behind_cr & ~marks.lf & valid)
			message->flags |= SMTP_FLAG_BARE_CR;
		if (marks.nul & valid)
			message->flags |= SMTP_FLAG_NUL;
	}
	if (dot & valid)
		message->octets -= (unsigned)__builtin_popcountll(dot & valid);
	message->octets += len;
	carry->line_start = crlf >> (len - 1) & 1;
	carry->cr = marks.cr >> (len - 1) & 1;
	carry->dot = dot >> (len - 1) & 1;
	carry->dot_cr = dot_cr >> (len - 1) & 1;
	return len;
}

/*
 * Nearly all of every body is plain: no byte of it needs a look of its own. That is asked of a whole stride at
 * once, with vectors that the compiler makes of whatever the machine has.
 */
#define STRIDE 256

typedef uint8_t vector16 __attribute__((vector_size(16)));
typedef uint8_t vector32 __attribute__((vector_size(32)));

/*
 * Defines a function that tells whether, in the STRIDE bytes at `at`, each LF stands behind a CR and each CR (from
 * at[-1] to the last but one) before an LF, and there is no NUL and no dot behind an LF.
 */
#define DEFINE_PLAIN(name, vector)                                              \
	static inline bool name(const char *at)                                 \
	{                                                                       \
		vector odd = {0};                                               \
		for (unsigned i = 0; i < STRIDE; i += sizeof(vector)) {         \
			vector here, before;                                    \
			memcpy(&here, at + i, sizeof(vector));                  \
			memcpy(&before, at + i - 1, sizeof(vector));            \
			odd |= (vector)((before == '\r') ^ (here == '\n'));     \
			odd |= (vector)((before == '\n') & (here == '.'));      \
			odd |= (vector)(here == '\0');                          \
		}                                                               \
		uint64_t words[sizeof(vector) / sizeof(uint64_t)], any = 0;     \
		memcpy(words, &odd, sizeof(words));                             \
		for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) \
			any |= words[i];                                        \
		return any == 0;                                                \
	}

/* How one machine looks at a block, and at a stride; inlined into a loop of its own. */
struct machine {
	struct marks (*look)(const char *block);
	bool (*plain)(const char *at);
};

static ALWAYS_INLINE size_t scan_with(
	struct machine machine, enum smtp_scan_state *state, struct span in, struct smtp_message *message)
{
	struct carry carry = carry_of(*state);
	struct smtp_message sum = {0};
	bool ended = false;
	size_t at = 0, careful_to = BLOCK; /* at[-1] is known from the second block on */
	while (!ended && in.len - at >= BLOCK) {
		if (at < careful_to || carry.dot | carry.dot_cr || in.len - at < STRIDE) {
			at += scan_block(machine.look(in.data + at), BLOCK, &carry, &sum, &ended);
			continue;
		}
		if (!machine.plain(in.data + at)) {
			careful_to = at + STRIDE;
			continue;
		}
		at += STRIDE;
		sum.octets += STRIDE;
		carry.cr = in.data[at - 1] == '\r';
		carry.line_start = in.data[at - 1] == '\n';
	}
	if (!ended && at < in.len) {
		char block[BLOCK] = {0};
		unsigned len = (unsigned)(in.len - at);
		memcpy(block, in.data + at, len);
		at += scan_block(machine.look(block), len, &carry, &sum, &ended);
	}
	message->octets += sum.octets;
	message->flags |= sum.flags;
	*state = ended ? SMTP_SCAN_END : state_of(carry);
	return at;
}

static bool usable_everywhere(void)
{
	return true;
}

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/* A word of eight bytes at a time: a bit for each that is equal, gathered by multiplying. */
static inline uint64_t equal_portable(const char *block, char c)
{
	const uint64_t low = EACH_BYTE(0x7f), want = EACH_BYTE((unsigned char)c);
	uint64_t mask = 0;
	for (unsigned i = 0; i < BLOCK / 8; i++) {
		uint64_t word;
		memcpy(&word, block + 8 * i, sizeof(word));
		uint64_t differs = le64toh(word) ^ want;
		uint64_t equal = ~(((differs & low) + low) | differs | low) >> 7;
		mask |= (equal * UINT64_C(0x0102040810204080) >> 56) << (8 * i);
	}
	return mask;
}

static inline struct marks marks_portable(const char *block)
{
	return (struct marks){
		.cr = equal_portable(block, '\r'),
		.lf = equal_portable(block, '\n'),
		.dot = equal_portable(block, '.'),
		.nul = equal_portable(block, '\0'),
	};
}

DEFINE_PLAIN(plain_portable, vector16)

static size_t scan_portable(enum smtp_scan_state *state, struct span in, struct smtp_message *message)
{
	return scan_with((struct machine){marks_portable, plain_portable}, state, in, message);
}

#if defined(__x86_64__)

static inline uint64_t equal_sse2(const __m128i v[4], char c)
{
	__m128i want = _mm_set1_epi8(c);
	uint64_t mask = 0;
	for (unsigned i = 0; i < 4; i++) {
		unsigned bits = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v[i], want));
		mask |= (uint64_t)bits << (16 * i);
	}
	return mask;
}

static inline struct marks marks_sse2(const char *block)
{
	__m128i v[4];
	for (unsigned i = 0; i < 4; i++)
		v[i] = _mm_loadu_si128((const __m128i *)block + i);
	return (struct marks){
		.cr = equal_sse2(v, '\r'),
		.lf = equal_sse2(v, '\n'),
		.dot = equal_sse2(v, '.'),
		.nul = equal_sse2(v, '\0'),
	};
}

static size_t scan_sse2(enum smtp_scan_state *state, struct span in, struct smtp_message *message)
{
	return scan_with((struct machine){marks_sse2, plain_portable}, state, in, message);
}

#define TARGET_AVX2 __attribute__((target("avx2")))

static bool usable_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

TARGET_AVX2 static inline uint64_t equal_avx2(__m256i a, __m256i b, char c)
{
	__m256i want = _mm256_set1_epi8(c);
	unsigned low = (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, want));
	unsigned high = (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, want));
	return (uint64_t)high << 32 | low;
}

TARGET_AVX2 static inline struct marks marks_avx2(const char *block)
{
	__m256i a = _mm256_loadu_si256((const __m256i *)block);
	__m256i b = _mm256_loadu_si256((const __m256i *)block + 1);
	return (struct marks){
		.cr = equal_avx2(a, b, '\r'),
		.lf = equal_avx2(a, b, '\n'),
		.dot = equal_avx2(a, b, '.'),
		.nul = equal_avx2(a, b, '\0'),
	};
}

TARGET_AVX2 DEFINE_PLAIN(plain_avx2, vector32)

TARGET_AVX2 static size_t scan_avx2(enum smtp_scan_state *state, struct span in, struct smtp_message *message)
{
	return scan_with((struct machine){marks_avx2, plain_avx2}, state, in, message);
}

/* The same with three operands an instruction, where that saves a tenth. */
#define TARGET_AVX512 __attribute__((target("avx512bw,avx512vl")))

static bool usable_avx512(void)
{
	return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

TARGET_AVX512 DEFINE_PLAIN(plain_avx512, vector32)

TARGET_AVX512 static size_t scan_avx512(
	enum smtp_scan_state *state, struct span in, struct smtp_message *message)
{
	return scan_with((struct machine){marks_avx2, plain_avx512}, state, in, message);
}

#endif

const struct smtp_scanner smtp_scanners[] = {
#if defined(__x86_64__)
	{"avx512", usable_avx512, scan_avx512},
	{"avx2", usable_avx2, scan_avx2},
	{"sse2", usable_everywhere, scan_sse2},
#endif
	{"portable", usable_everywhere, scan_portable},
	{NULL, NULL, NULL},
};

size_t smtp_scan(enum smtp_scan_state *state, struct span in, struct smtp_message *message)
{
	const struct smtp_scanner *scanner = smtp_scanners;
	while (!scanner->usable())
		scanner++;
	return scanner->scan(state, in, message);
}
