/*-------------------------------------------------------------------------
 *
 * load.c
 *	  The fault loop's load: writers, readers, and an oracle between them.
 *
 *	  load -f control -d conninfo -s redis-socket [-w writers] [-r readers]
 *		   [-S seed] [-A percent async] [-P percent prepared] [-B big every ms]
 *		   [-o (operators, too)] [-m (anything may be missing)]
 *
 * It runs until the control file says STOP or its parent is gone, prints
 * violations, and counts everything in the control file; see words.h.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "faultloop.h"
#include "shape.h"

#define MAX_THREADS	256

_Atomic uint64_t *control;
int			nwriters = 6;
int			nreaders = 3;
int			percent_async = 10;
int			percent_prepare = 2;
int			big_every_ms = 4000;
bool		may_miss = false;
static bool operators = false;
const char *redis_socket;
const char *conninfo;

static long seed = 1;
static __thread struct drand48_data dice;

void
die(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vfprintf(stdout, fmt, args);
	va_end(args);
	fputc('\n', stdout);
	exit(2);
}

double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

void
nap(int ms)
{
	usleep(ms * 1000);
}

void
seed_dice(int thread)
{
	srand48_r(seed * 1000 + thread, &dice);
}

long
roll(long n)
{
	double		x;

	drand48_r(&dice, &x);
	return (long) (x * n);
}

long
roll_own(void)
{
	return percent(50) ? roll(OWN_BUSY) : roll(OWN_ROWS);
}

bool
percent(int n)
{
	return roll(100) < n;
}

/* Also if nobody has buried it: in a container there may be nobody to. */
bool
process_gone(int pid)
{
	char		path[40];
	char		stat[256];
	const char *state;
	FILE	   *f;
	size_t		n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f == NULL)
		return true;
	n = fread(stat, 1, sizeof(stat) - 1, f);
	fclose(f);
	stat[n] = '\0';
	state = strrchr(stat, ')');
	return state == NULL || state[1] == '\0' || state[2] == 'Z';
}

static void
open_control(const char *path)
{
	int			fd = open(path, O_RDWR | O_CREAT, 0600);

	if (fd < 0 || ftruncate(fd, 4096) != 0)
		die("could not open \"%s\": %s", path, strerror(errno));
	control = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	close(fd);
}

static void
parse_options(int argc, char **argv)
{
	int			opt;

	while ((opt = getopt(argc, argv, "f:d:s:w:r:S:A:P:B:om")) != -1)
		switch (opt)
		{
			case 'f':
				open_control(optarg);
				break;
			case 'd':
				conninfo = optarg;
				break;
			case 's':
				redis_socket = optarg;
				break;
			case 'w':
				nwriters = atoi(optarg);
				break;
			case 'r':
				nreaders = atoi(optarg);
				break;
			case 'S':
				seed = atol(optarg);
				break;
			case 'A':
				percent_async = atoi(optarg);
				break;
			case 'P':
				percent_prepare = atoi(optarg);
				break;
			case 'B':
				big_every_ms = atoi(optarg);
				break;
			case 'o':
				operators = true;
				break;
			case 'm':
				may_miss = true;
				break;
			default:
				die("usage: see load.c");
		}
	if (control == NULL || conninfo == NULL || redis_socket == NULL ||
		nwriters < 1 || nreaders < 0 || nwriters + nreaders > MAX_THREADS - 16)
		die("usage: see load.c");
}

/* Of those for the two tables of shape.c one has an odd number, one an even. */
static int
start_operators(pthread_t *threads, int n)
{
	void	   *(*const mains[]) (void *) = {
		shaper_main, shaper_main, shape_writer_main, shape_writer_main,
		shape_reader_main, verifier_main, warmer_main, planter_main
	};

	atomic_store(&control[W_OPERATORS], 7);	/* readers are not counted */
	for (size_t i = 0; i < sizeof(mains) / sizeof(mains[0]); i++, n++)
		pthread_create(&threads[n], NULL, mains[i], (void *) (intptr_t) n);
	return n;
}

int
main(int argc, char **argv)
{
	pthread_t	threads[MAX_THREADS];
	int			n = 0;
	pid_t		parent = getppid();

	parse_options(argc, argv);
	oracle_init();
	shape_init();

	/* threads are numbered through: writers first */
	for (int i = 0; i < nwriters; i++, n++)
		pthread_create(&threads[n], NULL, writer_main, (void *) (intptr_t) n);
	if (big_every_ms > 0)
	{
		pthread_create(&threads[n], NULL, big_main, (void *) (intptr_t) n);
		n++;
	}
	pthread_create(&threads[n], NULL, finisher_main, (void *) (intptr_t) n);
	n++;
	pthread_create(&threads[n], NULL, comparer_main, (void *) (intptr_t) n);
	n++;
	for (int i = 0; i < nreaders; i++, n++)
		pthread_create(&threads[n], NULL, reader_main, (void *) (intptr_t) n);
	if (operators)
		n = start_operators(threads, n);
	atomic_store(&control[W_READY], 1);

	while (!LOOK(STOP))
	{
		nap(50);
		if (getppid() != parent)
			exit(2);
	}
	while (n > 0)
		pthread_join(threads[--n], NULL);
	return 0;
}
