/*
 * smtp_param: the parameters behind the path of MAIL and RCPT: SIZE, BODY, SMTPUTF8 and those of
 * DSN. It notes what the engine needs and checks the rest for form alone. Part of the engine behind
 * smtp.h; nobody else includes this.
 */
#ifndef MX_SMTP_PARAM_H
#define MX_SMTP_PARAM_H

#include "smtp.h"
#include "span.h"

/*
 * Takes what stands behind a path. Returns the refusal, or NULL where all is well: then SIZE is in
 * smtp->declared_size, BODY and SMTPUTF8 are in smtp->message.flags.
 */
const struct smtp_reply *smtp_param_take_mail(struct smtp *smtp, struct span rest);
const struct smtp_reply *smtp_param_take_rcpt(struct smtp *smtp, struct span rest);

#endif
