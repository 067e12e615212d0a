/*-------------------------------------------------------------------------
 *
 * url.c
 *	  Fuzz target: wtcache.url.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "redis/url.h"

unsigned long fuzz_accepted = 0;

static bool
terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

/* Does the host need no encoding, so that the description is a URL? */
static bool
plain(const char *host)
{
	return host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTU"
					   "VWXYZ0123456789.-_/:")] == '\0';
}

static void
check_endpoint(const WtcEndpoint *ep)
{
	char		text[512];
	char		tiny[8];
	WtcEndpoint again;

	CHECK(terminated(ep->host, sizeof(ep->host)));
	CHECK(terminated(ep->user, sizeof(ep->user)));
	CHECK(terminated(ep->password, sizeof(ep->password)));
	CHECK(ep->host[0] != '\0');
	CHECK(ep->database >= 0);
	if (ep->is_unix)
		CHECK(ep->port == 0 && strlen(ep->host) <= 107);
	else
		CHECK(ep->port >= 1 && ep->port <= 65535);

	wtc_endpoint_describe(ep, tiny, sizeof(tiny));
	CHECK(terminated(tiny, sizeof(tiny)));
	wtc_endpoint_describe(ep, text, sizeof(text));
	CHECK(terminated(text, sizeof(text)));
	if (!plain(ep->host) || (!ep->is_unix && strchr(ep->host, '/')))
		return;
	CHECK(wtc_url_parse(text, &again) == NULL);
	CHECK(again.is_unix == ep->is_unix && again.port == ep->port &&
		  again.database == ep->database &&
		  strcmp(again.host, ep->host) == 0 &&
		  again.user[0] == '\0' && again.password[0] == '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *url = malloc(size + 1);
	WtcEndpoint ep;

	if (url == NULL)
		abort();
	memcpy(url, data, size);
	url[size] = '\0';
	if (wtc_url_parse(url, &ep) == NULL)
	{
		fuzz_accepted++;
		check_endpoint(&ep);
	}
	free(url);
	return 0;
}
