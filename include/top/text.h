/*
 * text: numbers as people read them.
 */
#ifndef MX_TEXT_H
#define MX_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
	char chars[48];
};

/* 1,234,567 */
struct text text_number(uint64_t n);
/* once, 2 times */
struct text text_times(uint64_t n);
/* 1.2 MB; decimal units */
struct text text_bytes(uint64_t n);
/* 2 d 3 h, 3 h 5 min, 5 min 7 s, 7 s */
struct text text_duration(uint64_t seconds);
/* 2026-11-22 14:03:07, local time */
struct text text_time(uint64_t seconds);

/*
 * Copies s so that a terminal can show it: every byte that is not printable ASCII becomes '?'. `to` holds size
 * bytes; what does not fit is cut.
 */
void text_safe(const char *s, char *to, size_t size);

#endif
