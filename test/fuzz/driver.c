/*-------------------------------------------------------------------------
 *
 * driver.c
 *	  A main program for the harnesses where there is no libFuzzer.
 *
 *	driver -check FILE...			each file once; says which are accepted
 *	driver SEED COUNT FILE...		the files, and COUNT inputs made from them
 *
 * It mutates blindly, without looking at what the code does with an input, but
 * the same seed makes the same inputs.  An input that ends the program is
 * written to "crash" in the current directory.
 *
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#define MAX_INPUT	4096
#define MAX_SEEDS	256

typedef struct Input
{
	uint8_t		data[MAX_INPUT];
	size_t		len;
} Input;

static Input seeds[MAX_SEEDS];
static int	nseeds = 0;
static const uint8_t *current = NULL;
static size_t current_len = 0;
static uint64_t state;

static void
die(const char *what)
{
	perror(what);
	exit(2);
}

static void
keep_crash(int signo)
{
	int			fd = open("crash", O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd >= 0 && write(fd, current, current_len) >= 0)
		close(fd);
	signal(signo, SIG_DFL);
	raise(signo);
}

static void
load(const char *path)
{
	FILE	   *file = fopen(path, "rb");
	Input	   *seed = &seeds[nseeds++];

	if (file == NULL || nseeds > MAX_SEEDS)
		die(path);
	seed->len = fread(seed->data, 1, MAX_INPUT, file);
	fclose(file);
}

/* xorshift64* */
static uint32_t
roll(uint32_t n)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t) ((state * UINT64_C(2685821657736338717)) >> 32) % n;
}

static void
cut(Input *in, size_t at, size_t len)
{
	memmove(in->data + at, in->data + at + len, in->len - at - len);
	in->len -= len;
}

static void
insert(Input *in, size_t at, const uint8_t *from, size_t len)
{
	if (in->len + len > MAX_INPUT)
		return;
	memmove(in->data + at + len, in->data + at, in->len - at);
	memcpy(in->data + at, from, len);
	in->len += len;
}

static void
mutate(Input *in)
{
	static const uint8_t bytes[] = {
		0, 1, 2, 0x7f, 0x80, 0xff, 'd', 's', 'h', 't', '{', '}', '%', ':', '/'
	};
	static const uint8_t huge[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f
	};
	uint32_t	at = in->len > 0 ? roll(in->len) : 0;
	uint32_t	rest = in->len - at;
	const Input *other = &seeds[roll(nseeds)];
	uint8_t		piece[64];
	uint32_t	len;

	if (in->len == 0)
		return insert(in, 0, other->data, other->len);
	switch (roll(9))
	{
		case 0:
			in->data[at] ^= 1 << roll(8);
			break;
		case 1:
			in->data[at] = roll(256);
			break;
		case 2:
			in->data[at] = bytes[roll(sizeof(bytes))];
			break;
		case 3:
			in->data[at] += roll(2) ? 1 : -1;
			break;
		case 4:
			cut(in, at, 1 + roll(rest < 16 ? rest : 16));
			break;
		case 5:
			in->len = at;
			break;
		case 6:
			len = 1 + roll(rest < sizeof(piece) ? rest : sizeof(piece));
			memcpy(piece, in->data + at, len);
			insert(in, roll(in->len), piece, len);
			break;
		case 7:
			len = 1 + roll(sizeof(huge));
			insert(in, at, huge + sizeof(huge) - len, len);
			break;
		case 8:
			if (other->len > 0)
			{
				uint32_t	from = roll(other->len);

				in->len = at;
				insert(in, at, other->data + from, other->len - from);
			}
			break;
	}
}

/* A copy of its own size: to look past its end is an error. */
static void
run(const Input *in)
{
	uint8_t    *copy = malloc(in->len > 0 ? in->len : 1);

	if (copy == NULL)
		die("malloc");
	memcpy(copy, in->data, in->len);
	current = copy;
	current_len = in->len;
	LLVMFuzzerTestOneInput(copy, in->len);
	current_len = 0;
	free(copy);
}

int
main(int argc, char **argv)
{
	bool		check = argc > 2 && strcmp(argv[1], "-check") == 0;
	unsigned long count = 0;

	signal(SIGABRT, keep_crash);
	for (int i = check ? 2 : 3; i < argc; i++)
	{
		unsigned long before = fuzz_accepted;

		load(argv[i]);
		run(&seeds[nseeds - 1]);
		if (check)
			printf("%s %s\n", fuzz_accepted > before ? "accepted" : "refused",
				   argv[i]);
	}
	if (check)
		return 0;
	if (nseeds == 0)
	{
		fprintf(stderr, "usage: driver -check FILE... | SEED COUNT FILE...\n");
		return 2;
	}

	state = strtoull(argv[1], NULL, 10) * 2 + 1;
	for (count = strtoul(argv[2], NULL, 10); count > 0; count--)
	{
		Input		in = seeds[roll(nseeds)];

		for (uint32_t n = 1 + roll(6); n > 0; n--)
			mutate(&in);
		run(&in);
	}
	printf("%s inputs, %lu accepted\n", argv[2], fuzz_accepted);
	return 0;
}
