/*-------------------------------------------------------------------------
 *
 * common.h
 *	  What the programs of the benchmarks share: giving up, time, sorting.
 *
 * Each program is one file that one command compiles: hence functions in a
 * header, and there is no object to link with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BENCH_COMMON_H
#define WTC_BENCH_COMMON_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline void
die(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static inline double
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}

/* for qsort */
static inline int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

#endif							/* WTC_BENCH_COMMON_H */
