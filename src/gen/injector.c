/*
 * The HTTP threads of the generator: each has its share of requests under way at the same time, on connections
 * that libcurl keeps open.
 */
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gen_driver.h"
#include "injection_request.h"
#include "throttle.h"

#define SECOND_NS      UINT64_C(1000000000)
#define PATIENCE_S     60l /* for a request, as traffic-gen has it */
#define WAIT_MS        100 /* at most, without a look at the campaign */
#define PAUSE_NS       (SECOND_NS / 10)
#define PAUSE_DOUBLING 6
#define RESPONSE_MAX   (1 << 20)

#define URL_PATH "/api/inject/v1"

struct request {
	CURL *easy;
	bool active, stopped;
	char *body, *response;
	size_t response_len;
	uint64_t count, began_ns; /* recipients; when it was sent */
	uint64_t resume_ns;       /* not before then */
	unsigned pauses;          /* in a row */
};

struct injector {
	struct gen_share share;
	struct campaign *campaign;
	CURLM *multi;
	struct curl_slist *fields;
	struct request *requests;
	char *url;
	struct throttle throttle;
	struct injection_options options;
	_Atomic bool finished;
	pthread_t thread;
	struct tally tally;
};

static size_t take_response(char *data, size_t size, size_t n, void *arg)
{
	struct request *request = arg;
	size_t len = size * n;
	char *grown = request->response_len + len > RESPONSE_MAX
			      ? NULL
			      : realloc(request->response, request->response_len + len + 1);
	if (!grown)
		return 0; /* an error of the request */
	request->response = grown;
	memcpy(grown + request->response_len, data, len);
	request->response_len += len;
	return len;
}

static void stop(struct injector *injector, struct request *request)
{
	request->stopped = true;
	tally_add(&injector->tally, TALLY_CLIENTS, (uint64_t)-1);
}

static void release(struct request *request)
{
	free(request->body);
	free(request->response);
	request->body = request->response = NULL;
	request->response_len = 0;
	request->active = false;
}

static void begin(struct injector *injector, struct request *request, uint64_t now_ns)
{
	struct campaign *campaign = injector->campaign;
	struct mail_item item;
	uint64_t number, count = campaign_take(campaign, campaign->options->http_batch_size, &number);
	if (count == 0) {
		stop(injector, request);
		return;
	}
	struct mail_date date = mail_date_of(time(NULL));
	mail_pick(&campaign->mail, number, &item);
	request->body = injection_request_make(
		&campaign->mail, &item, count, (struct span){date.chars, date.len}, &injector->options);
	if (!request->body) {
		const struct gen_verdict verdict =
			gen_verdict_of(GEN_PHASE_HTTP, 0, span_of("no memory, or a text that is not UTF-8"));
		tally_add(&injector->tally, TALLY_FAILED, count);
		tally_failure(&injector->tally, &verdict, count, 0);
		campaign_give_back(campaign, count);
		stop(injector, request);
		return;
	}
	size_t len = strlen(request->body);
	curl_easy_setopt(request->easy, CURLOPT_POSTFIELDS, request->body);
	curl_easy_setopt(request->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	tally_add(&injector->tally, TALLY_OCTETS, len);
	request->count = count;
	request->began_ns = now_ns;
	request->active = true;
	curl_multi_add_handle(injector->multi, request->easy);
}

/* Begins what may begin. How long nothing can change by time alone, in nanoseconds. */
static uint64_t begin_all(struct injector *injector)
{
	uint64_t now_ns = campaign_clock(), wait_ns = WAIT_MS * SECOND_NS / 1000;
	bool stopping = atomic_load(&injector->campaign->stopping);
	for (uint64_t i = 0; i < injector->share.connections; i++) {
		struct request *request = &injector->requests[i];
		if (request->active || request->stopped)
			continue;
		if (stopping) {
			stop(injector, request);
			continue;
		}
		uint64_t later = request->resume_ns > now_ns
					 ? request->resume_ns - now_ns
					 : throttle_take(&injector->throttle,
						   injector->campaign->options->http_batch_size, now_ns);
		if (later == 0)
			begin(injector, request, now_ns);
		else if (later < wait_ns)
			wait_ns = later;
	}
	return wait_ns;
}

/* A request that was answered, or was not. */
static void finish(struct injector *injector, struct request *request, CURLcode result)
{
	struct tally *tally = &injector->tally;
	struct gen_verdict verdict = gen_verdict_of(GEN_PHASE_HTTP, 0, span_of(curl_easy_strerror(result)));
	uint64_t now_ns = campaign_clock(), failed = request->count;
	long status = 0, connects = 0;

	curl_easy_getinfo(request->easy, CURLINFO_NUM_CONNECTS, &connects);
	tally_add(tally, TALLY_CONNECTIONS, (uint64_t)connects);
	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	if (result == CURLE_OK)
		failed = injection_response_read(status,
			(struct span){request->response, request->response_len}, request->count, &verdict);
	tally_add(tally, TALLY_SENT, request->count - failed);
	if (campaign_sent(injector->campaign, request->count - failed))
		gen_share_tell(&injector->share);
	if (failed == 0) {
		if (request->began_ns >= atomic_load(&injector->campaign->measure_from_ns))
			histogram_add(&tally->latency, (now_ns - request->began_ns) / 1000);
	} else {
		tally_add(tally, TALLY_FAILED, failed);
		tally_failure(tally, &verdict, failed, 0);
		campaign_give_back(injector->campaign, failed);
	}
	if (result != CURLE_OK) {
		unsigned doubled = request->pauses < PAUSE_DOUBLING ? request->pauses++ : PAUSE_DOUBLING;
		request->resume_ns = now_ns + (PAUSE_NS << doubled);
	} else {
		request->pauses = 0;
		request->resume_ns = 0;
	}
	release(request);
	if (failed && !injector->campaign->options->keep_going)
		stop(injector, request);
}

static void finish_all(struct injector *injector)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(injector->multi, &left))) {
		struct request *request;
		CURLcode result = message->data.result;
		CURL *easy = message->easy_handle;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &request);
		curl_multi_remove_handle(injector->multi, easy);
		finish(injector, request, result);
	}
}

static void abort_all(struct injector *injector)
{
	for (uint64_t i = 0; i < injector->share.connections; i++) {
		struct request *request = &injector->requests[i];
		if (!request->active)
			continue;
		curl_multi_remove_handle(injector->multi, request->easy);
		finish(injector, request, CURLE_ABORTED_BY_CALLBACK);
		if (!request->stopped)
			stop(injector, request);
	}
}

static void *injector_main(void *arg)
{
	struct injector *injector = arg;
	while (!atomic_load(&injector->campaign->started) && !atomic_load(&injector->campaign->stopping))
		curl_multi_poll(injector->multi, NULL, 0, WAIT_MS, NULL);
	while (tally_get(&injector->tally, TALLY_CLIENTS) > 0) {
		int running;
		uint64_t wait_ns = begin_all(injector);
		curl_multi_perform(injector->multi, &running);
		finish_all(injector);
		if (atomic_load(&injector->campaign->aborting))
			abort_all(injector);
		if (tally_get(&injector->tally, TALLY_CLIENTS) > 0)
			curl_multi_poll(injector->multi, NULL, 0, (int)(wait_ns / 1000000) + 1, NULL);
	}
	atomic_store(&injector->finished, true);
	gen_share_tell(&injector->share);
	return NULL;
}

static void injector_free(void *thread)
{
	struct injector *injector = thread;
	for (uint64_t i = 0; injector->requests && i < injector->share.connections; i++) {
		release(&injector->requests[i]);
		if (injector->requests[i].easy)
			curl_easy_cleanup(injector->requests[i].easy);
	}
	if (injector->multi)
		curl_multi_cleanup(injector->multi);
	curl_slist_free_all(injector->fields);
	curl_global_cleanup();
	free(injector->requests);
	free(injector->url);
	free(injector);
}

static bool make_request(struct injector *injector, struct request *request, uint64_t nth)
{
	const struct gen_list *sources = &injector->campaign->options->sources;
	CURL *easy = curl_easy_init();
	request->easy = easy;
	if (!easy)
		return false;
	curl_easy_setopt(easy, CURLOPT_URL, injector->url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	/* To the target and nowhere else, whatever the environment says. */
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1l);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, PATIENCE_S);
	/* As with STARTTLS: a test's target. */
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0l);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0l);
	curl_easy_setopt(easy, CURLOPT_POST, 1l);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, injector->fields);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_response);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
	if (sources->count) {
		char interface[128];
		snprintf(interface, sizeof(interface), "host!%s", sources->texts[nth % sources->count]);
		curl_easy_setopt(easy, CURLOPT_INTERFACE, interface);
	}
	return true;
}

static bool make_url(struct injector *injector)
{
	const char *target = injector->campaign->options->target;
	size_t len = strlen(target);
	while (len && target[len - 1] == '/')
		len--;
	return asprintf(&injector->url, "%s%.*s" URL_PATH, strstr(target, "://") ? "" : "http://", (int)len,
		       target) > 0;
}

static bool make_all(struct injector *injector)
{
	/* Without "Expect", which would wait for an answer before each body. */
	static const char *const fields[] = {"Content-Type: application/json", "Expect:"};
	injector->multi = curl_multi_init();
	injector->requests = calloc(injector->share.connections, sizeof(struct request));
	if (!injector->multi || !injector->requests || !make_url(injector))
		return false;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct curl_slist *longer = curl_slist_append(injector->fields, fields[i]);
		if (!longer)
			return false;
		injector->fields = longer;
	}
	curl_multi_setopt(injector->multi, CURLMOPT_MAXCONNECTS, (long)injector->share.connections);
	for (uint64_t i = 0; i < injector->share.connections; i++)
		if (!make_request(injector, &injector->requests[i], i + injector->share.index))
			return false;
	return true;
}

static void *injector_start(const struct gen_share *share, struct err *err)
{
	struct injector *injector = calloc(1, sizeof(*injector));
	if (!injector) {
		err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	injector->share = *share;
	injector->campaign = share->campaign;
	injector->options = (struct injection_options){
		share->campaign->options->http_defer_spool, share->campaign->options->http_defer_generation};
	throttle_init(&injector->throttle, share->per_second);
	tally_add(&injector->tally, TALLY_CLIENTS, share->connections);
	if (!make_all(injector)) {
		err_set(err, -ENOMEM, "out of memory");
		goto fail;
	}
	/* Signals are for the thread that waits for them. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int code = pthread_create(&injector->thread, NULL, injector_main, injector);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code == 0)
		return injector;
	err_set(err, -code, "no thread: %s", strerror(code));
fail:
	injector_free(injector);
	return NULL;
}

static void injector_poke(void *thread)
{
	curl_multi_wakeup(((struct injector *)thread)->multi);
}

static const struct tally *injector_tally(const void *thread)
{
	return &((const struct injector *)thread)->tally;
}

static bool injector_is_finished(const void *thread)
{
	return atomic_load(&((const struct injector *)thread)->finished);
}

static void injector_join(void *thread)
{
	pthread_join(((struct injector *)thread)->thread, NULL);
}

const struct gen_driver injector_driver = {
	.start = injector_start,
	.poke = injector_poke,
	.tally = injector_tally,
	.is_finished = injector_is_finished,
	.join = injector_join,
	.free = injector_free,
};
