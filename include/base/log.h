/*
 * log: what the daemon has to say to the person who runs it, one fact a line on standard error:
 * `level event key=value …`. Under journald (JOURNAL_STREAM is set) each line starts with the
 * priority that journald reads. Nothing is logged per message or per connection.
 */
#ifndef MX_LOG_H
#define MX_LOG_H

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
};

/*
 * A line for each line of the text (the mistakes of a file come several at once); the last newline is added,
 * other control characters are replaced by '?'.
 */
void log_at(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_at(LOG_LEVEL_INFO, __VA_ARGS__)

#endif
