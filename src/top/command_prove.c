#include <stdio.h>
#include <sys/prctl.h>

#include "columns.h"
#include "command.h"
#include "conf_file.h"
#include "privilege.h"
#include "prove_report.h"

static enum exit_code fail(enum exit_code code, const struct err *err)
{
	fprintf(stderr, "mxmirage: %s\n", err->text);
	return code;
}

enum exit_code command_prove(const struct command *command, const struct options *options)
{
	(void)command;
	struct err err;
	struct conf *conf = conf_file_load(options->conf_file, &err);
	if (!conf) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_CODE_CONFIGURATION;
	}
	/* So that status, and the log, name the canaries' sender for what it is. */
	prctl(PR_SET_NAME, "mxmirage prove");
	privilege_raise_files();
	struct proof proof;
	int code = proof_run(&proof, conf, &err);
	conf_unref(conf);
	if (code < 0)
		return fail(exit_code_of(code), &err);

	code = options->json ? prove_report_json(&proof, stdout)
			     : prove_report_print(&proof, stdout, columns_of_terminal());
	enum proof_verdict verdict = proof_verdict(&proof);
	proof_done(&proof);
	if (code < 0) {
		err_set(&err, code, "no memory for the report");
		return fail(EXIT_CODE_SOFTWARE, &err);
	}
	switch (verdict) {
	case PROOF_HOLDS:
		return EXIT_CODE_OK;
	case PROOF_LEAK:
		return EXIT_CODE_LEAK;
	case PROOF_FAILED:
		break;
	}
	return EXIT_CODE_FALSE;
}
