#include "generator.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "campaign.h"
#include "gen_driver.h"
#include "gen_report.h"
#include "process_use.h"

#define SECOND_NS        UINT64_C(1000000000)
#define IDLE_WITHIN_NS   (120 * SECOND_NS) /* for the idle connections to stand */
#define DESCRIPTORS_KEPT 64                /* for all but connections */

/* Where a measured stretch begins or ends. */
struct mark {
	uint64_t at_ns, sent;
	double cpu_s, cpu_of_s;
};

struct generator {
	const struct gen_options *options;
	const struct gen_driver *driver;
	struct campaign campaign;
	void **threads;
	size_t thread_count;
	int finished, signals; /* descriptors: see gen_share; Ctrl-C */
	struct mark begin, end;
	uint64_t memory_before, idle_memory; /* see struct generator_result */
	bool begun, ended;                   /* the marks are set */
	enum generator_end reason;
	struct gen_report_progress progress;
};

void gen_share_tell(const struct gen_share *share)
{
	const uint64_t one = 1;
	/* An eventfd takes far more than there are threads. */
	(void)!write(share->finished, &one, sizeof(one));
}

/* Every connection is a descriptor. Says so where the limit does not let as many as were asked for. */
static void fit_connections(struct gen_options *options)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	uint64_t kept = DESCRIPTORS_KEPT + 8 * options->threads;
	uint64_t room = limit.rlim_max > kept + 1 ? limit.rlim_max - kept : 1;
	if (options->idle >= room)
		options->idle = room - 1;
	room -= options->idle;
	if (options->concurrency <= room)
		return;
	fprintf(stderr,
		"mxmirage gen: %llu connections in place of %llu: raise the limit of open files (ulimit "
		"-n)\n",
		(unsigned long long)room, (unsigned long long)options->concurrency);
	options->concurrency = room;
}

static uint64_t sum(const struct generator *generator, enum tally_counter counter)
{
	uint64_t total = 0;
	for (size_t i = 0; i < generator->thread_count; i++)
		total += tally_get(generator->driver->tally(generator->threads[i]), counter);
	return total;
}

static bool all_finished(const struct generator *generator)
{
	for (size_t i = 0; i < generator->thread_count; i++)
		if (!generator->driver->is_finished(generator->threads[i]))
			return false;
	return true;
}

static void poke_all(const struct generator *generator)
{
	for (size_t i = 0; i < generator->thread_count; i++)
		generator->driver->poke(generator->threads[i]);
}

static struct mark mark_now(const struct generator *generator)
{
	uint64_t pid = generator->options->cpu_of;
	return (struct mark){
		.at_ns = campaign_clock(),
		.sent = sum(generator, TALLY_SENT),
		.cpu_s = process_use_cpu_own(),
		.cpu_of_s = pid ? process_use_cpu((pid_t)pid) : 0,
	};
}

/* No message begins from here on. */
static void end_run(struct generator *generator, enum generator_end reason)
{
	if (generator->ended)
		return;
	if (!generator->begun)
		generator->begin = mark_now(generator);
	generator->end = mark_now(generator);
	generator->begun = generator->ended = true;
	generator->reason = reason;
	atomic_store(&generator->campaign.stopping, true);
	poke_all(generator);
}

static void take_signal(struct generator *generator)
{
	struct signalfd_siginfo info;
	if (read(generator->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (!generator->ended) {
		end_run(generator, GENERATOR_INTERRUPTED);
		return;
	}
	atomic_store(&generator->campaign.aborting, true);
	poke_all(generator);
}

/* Sleeps until a thread has something to tell, a signal comes, or this time. */
static void wait_until(struct generator *generator, uint64_t ns)
{
	uint64_t now = campaign_clock(), count;
	struct timespec wait = {0};
	struct pollfd fds[] = {{generator->signals, POLLIN, 0}, {generator->finished, POLLIN, 0}};
	if (ns > now)
		wait = (struct timespec){(time_t)((ns - now) / SECOND_NS), (long)((ns - now) % SECOND_NS)};
	if (ppoll(fds, 2, &wait, NULL) <= 0)
		return;
	if (fds[0].revents)
		take_signal(generator);
	if (fds[1].revents)
		(void)!read(generator->finished, &count, sizeof(count));
}

static void await_idle(struct generator *generator)
{
	uint64_t deadline = campaign_clock() + IDLE_WITHIN_NS;
	pid_t pid = (pid_t)generator->options->cpu_of;
	while (sum(generator, TALLY_HOLDING) < generator->options->idle && !generator->ended &&
		campaign_clock() < deadline)
		wait_until(generator, campaign_clock() + SECOND_NS / 50);
	uint64_t holding = sum(generator, TALLY_HOLDING);
	if (pid && generator->options->idle) {
		uint64_t memory = process_use_memory(pid);
		generator->idle_memory =
			memory > generator->memory_before ? memory - generator->memory_before : 0;
	}
	if (holding < generator->options->idle)
		fprintf(stderr, "mxmirage gen: %llu of %llu idle connections stand\n",
			(unsigned long long)holding, (unsigned long long)generator->options->idle);
}

static void supervise(struct generator *generator)
{
	const struct gen_options *options = generator->options;
	await_idle(generator);
	uint64_t start = campaign_clock();
	uint64_t measure_at = start + options->warm_up_ms * 1000000;
	uint64_t end_at = measure_at + options->duration_ms * 1000000, second_at = start + SECOND_NS;
	atomic_store(&generator->campaign.measure_from_ns, measure_at);
	atomic_store(&generator->campaign.started, true);
	poke_all(generator);

	while (!all_finished(generator)) {
		uint64_t now = campaign_clock();
		if (!generator->begun && now >= measure_at) {
			generator->begin = mark_now(generator);
			generator->begun = true;
		}
		/* Connections that never came as far as a message are not waited for. */
		if (campaign_is_complete(&generator->campaign))
			end_run(generator, GENERATOR_ALL_SENT);
		else if (now >= end_at)
			end_run(generator, GENERATOR_DEADLINE);
		if (now >= second_at) {
			gen_report_progress(&generator->progress, now, sum(generator, TALLY_SENT),
				sum(generator, TALLY_CLIENTS));
			second_at += SECOND_NS;
		}
		uint64_t next = second_at;
		if (!generator->begun && measure_at < next)
			next = measure_at;
		if (!generator->ended && end_at < next)
			next = end_at;
		wait_until(generator, next);
	}
	bool complete = campaign_is_complete(&generator->campaign);
	end_run(generator, complete ? GENERATOR_ALL_SENT : GENERATOR_STOPPED);
	/* What was under way at the deadline may have been the rest. */
	if (complete)
		generator->reason = GENERATOR_ALL_SENT;
}

static uint64_t share_of(uint64_t total, uint64_t parts, uint64_t index)
{
	return total / parts + (index < total % parts);
}

static int start_threads(struct generator *generator, struct err *err)
{
	const struct gen_options *options = generator->options;
	const struct rate *rate = &options->throttle;
	generator->threads = calloc(options->threads, sizeof(void *));
	if (!generator->threads)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint64_t i = 0; i < options->threads; i++) {
		const struct gen_share share = {
			.campaign = &generator->campaign,
			.index = (unsigned)i,
			.connections = share_of(options->concurrency, options->threads, i),
			.idle = share_of(options->idle, options->threads, i),
			.per_second =
				rate->count ? (double)rate->count / rate->period_s / (double)options->threads
					    : 0,
			.finished = generator->finished,
		};
		void *thread = generator->driver->start(&share, err);
		if (!thread)
			return -ENOMEM;
		generator->threads[generator->thread_count++] = thread;
	}
	return 0;
}

static int open_descriptors(struct generator *generator, struct err *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	/* They come by the descriptor. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	generator->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	generator->finished = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (generator->signals < 0 || generator->finished < 0)
		return err_set(err, -errno, "no descriptors: %s", strerror(errno));
	return 0;
}

static int collect(struct generator *generator, struct generator_result **result, struct err *err)
{
	struct generator_result *made = calloc(1, sizeof(*made));
	if (!made)
		return err_set(err, -ENOMEM, "out of memory");
	made->end = generator->reason;
	made->messages = generator->end.sent - generator->begin.sent;
	made->seconds = (double)(generator->end.at_ns - generator->begin.at_ns) / 1e9;
	made->cpu_s = generator->end.cpu_s - generator->begin.cpu_s;
	made->cpu_of_s = generator->end.cpu_of_s - generator->begin.cpu_of_s;
	made->idle_memory = generator->idle_memory;
	made->threads = (unsigned)generator->thread_count;
	for (size_t i = 0; i < generator->thread_count; i++)
		tally_merge(&made->tally, generator->driver->tally(generator->threads[i]));
	*result = made;
	return 0;
}

int generator_run(
	const struct gen_options *asked, FILE *progress, struct generator_result **result, struct err *err)
{
	struct gen_options options = *asked;
	struct generator generator = {.options = &options, .finished = -1, .signals = -1};

	if (options.cpu_of && kill((pid_t)options.cpu_of, 0) < 0 && errno == ESRCH)
		return err_set(
			err, -EINVAL, "--cpu-of %" PRIu64 ": there is no such process", options.cpu_of);
	fit_connections(&options);
	generator.driver = options.http ? &injector_driver : &sender_driver;
	gen_report_begin(&generator.progress, &options, progress, campaign_clock());
	int code = campaign_init(&generator.campaign, &options, err);
	if (code < 0)
		return code;
	code = open_descriptors(&generator, err);
	if (options.cpu_of && options.idle)
		generator.memory_before = process_use_memory((pid_t)options.cpu_of);
	if (code == 0)
		code = start_threads(&generator, err);
	if (code == 0)
		supervise(&generator);
	else
		end_run(&generator, GENERATOR_STOPPED);
	for (size_t i = 0; i < generator.thread_count; i++)
		generator.driver->join(generator.threads[i]);
	if (code == 0)
		code = collect(&generator, result, err);
	for (size_t i = 0; i < generator.thread_count; i++)
		generator.driver->free(generator.threads[i]);
	free(generator.threads);
	campaign_done(&generator.campaign);
	if (generator.signals >= 0)
		close(generator.signals);
	if (generator.finished >= 0)
		close(generator.finished);
	return code;
}
