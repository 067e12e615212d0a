/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *	  What the harnesses share.
 *
 * A harness is a file with LLVMFuzzerTestOneInput(): it hands arbitrary bytes
 * to code of ours and checks what comes back.  It is linked with the real
 * sources, with server.c, which stands in for the few functions of the server
 * that they need, with the server's own libpgcommon (StringInfo) and, where
 * there is no libFuzzer, with driver.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_FUZZ_H
#define WTC_FUZZ_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* the inputs that the code under test took for good */
extern unsigned long fuzz_accepted;

/* Where ereport(ERROR) goes, when it is expected; otherwise NULL. */
extern jmp_buf *fuzz_on_error;

/* Frees everything that has been palloc'd. */
extern void fuzz_free_all(void);

/* Not Assert(), which is only there where the server was built with it. */
#define CHECK(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: check failed: %s\n", \
					__FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

#endif							/* WTC_FUZZ_H */
