#include "policy_outcome.h"

#include "draw.h"

/* Set apart what is drawn for different purposes of the same things. */
enum purpose {
	FOR_RCPT = 1,
	FOR_REPLY,
	FOR_MAIL,
};

/* The kind that a draw falls on, by odds in parts per million; PROVIDER_KINDS for acceptance. */
static enum provider_kind kind_of(uint64_t draw, uint32_t bounce_ppm, uint32_t defer_ppm)
{
	if (draw_hits(draw, bounce_ppm))
		return PROVIDER_BOUNCE;
	return draw_hits(draw, bounce_ppm + defer_ppm) ? PROVIDER_DEFER : PROVIDER_KINDS;
}

/* Odds that are used up at MAIL, of those that a provider has in all. */
struct odds {
	uint32_t bounce, defer; /* parts per million */
};

static uint32_t part_at_mail(const struct provider *provider, enum provider_kind kind, uint32_t ppm)
{
	uint64_t early = 0;
	for (int phase = 0; phase <= SMTP_PHASE_MAIL; phase++)
		early += provider->weight_at[kind][phase];
	return early ? (uint32_t)(ppm * early / provider->weight[kind]) : 0;
}

static struct odds odds_at_mail(const struct provider *provider)
{
	return (struct odds){
		.bounce = part_at_mail(provider, PROVIDER_BOUNCE, provider->bounce_ppm),
		.defer = part_at_mail(provider, PROVIDER_DEFER, provider->defer_ppm),
	};
}

/* A reply of the kind that comes at one of these phases. */
static const struct provider_reply *draw_between(const struct provider *provider, enum provider_kind kind,
	enum smtp_phase first, enum smtp_phase last, uint64_t draw)
{
	uint64_t sum = 0;
	for (int phase = first; phase <= (int)last; phase++)
		sum += provider->weight_at[kind][phase];
	uint64_t at = draw_below(draw, sum);
	for (int phase = first; phase <= (int)last; phase++) {
		if (at < provider->weight_at[kind][phase])
			return provider_draw(provider, kind, phase, draw_number(draw, FOR_REPLY));
		at -= provider->weight_at[kind][phase];
	}
	return NULL;
}

const struct provider_reply *policy_outcome_mail(struct policy_session *session, uint64_t sender)
{
	/* By the destination alone: what a connection carried before must not matter. */
	const struct provider *provider = session->dialled;
	session->mail_drawn = provider != NULL;
	struct odds odds = provider ? odds_at_mail(provider) : (struct odds){0, 0};
	if (odds.bounce + odds.defer == 0)
		return NULL;
	uint64_t key = draw_number(sender, FOR_MAIL);
	uint64_t draw = draw_number(key, attempt_next(session->state->attempts, key));
	enum provider_kind kind = kind_of(draw, odds.bounce, odds.defer);
	if (kind == PROVIDER_KINDS)
		return NULL;
	return draw_between(
		provider, kind, SMTP_PHASE_CONNECT, SMTP_PHASE_MAIL, draw_number(draw, FOR_REPLY));
}

/* Of those who passed MAIL: so that over all, each kind has the odds that the profile gives. */
static uint32_t part_left(uint32_t ppm, uint32_t had, struct odds all_had)
{
	uint32_t passed = 1000000 - all_had.bounce - all_had.defer;
	return passed ? (uint32_t)((uint64_t)(ppm - had) * 1000000 / passed) : 0;
}

const struct provider_reply *policy_outcome_rcpt(
	const struct policy_session *session, const struct provider *provider, uint64_t key)
{
	uint32_t bounce = provider->bounce_ppm, defer = provider->defer_ppm;
	bool after_mail = session->mail_drawn && provider == session->dialled;
	if (after_mail) {
		struct odds had = odds_at_mail(provider);
		bounce = part_left(bounce, had.bounce, had);
		defer = part_left(defer, had.defer, had);
	}
	if (bounce + defer == 0)
		return NULL;
	uint64_t draw = draw_number(key, attempt_next(session->state->attempts, draw_number(key, FOR_RCPT)));
	enum provider_kind kind = kind_of(draw, bounce, defer);
	if (kind == PROVIDER_KINDS)
		return NULL;
	/* Who has odds and no words of its own says it in those of "default". */
	uint64_t among = draw_number(draw, FOR_REPLY);
	if (provider->weight[kind] == 0)
		return provider_draw(provider_at(session->policy->providers, 0), kind, -1, among);
	if (after_mail)
		return draw_between(provider, kind, SMTP_PHASE_RCPT, SMTP_PHASE_END_OF_DATA, among);
	return provider_draw(provider, kind, -1, among);
}
