/*
 * prove_report: what a proof found, for people (a table of path, expectation and what happened) and for
 * machines. It judges nothing.
 */
#ifndef MX_PROVE_REPORT_H
#define MX_PROVE_REPORT_H

#include <stdio.h>

#include "proof.h"

/* Paths that ended alike share a line, but those that leak. 0 or -ENOMEM. */
int prove_report_print(const struct proof *proof, FILE *to, unsigned width);
/* Every canary. 0 or -ENOMEM. */
int prove_report_json(const struct proof *proof, FILE *to);

#endif
