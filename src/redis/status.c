/*-------------------------------------------------------------------------
 *
 * status.c
 *	  Names and classes of the ways a conversation with Redis can end.
 *
 * Pure functions; callable anywhere.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <string.h>

#include "redis/status.h"

static const char *const names[] = {
	[WTC_OK] = "ok",
	[WTC_FAIL_CONNECT] = "connect",
	[WTC_FAIL_TIMEOUT] = "timeout",
	[WTC_FAIL_CLOSED] = "closed",
	[WTC_FAIL_PROTOCOL] = "protocol",
	[WTC_FAIL_AUTH] = "auth",
	[WTC_FAIL_OOM] = "oom",
	[WTC_FAIL_READONLY] = "readonly",
	[WTC_FAIL_LOADING] = "loading",
	[WTC_FAIL_MISCONF] = "misconf",
	[WTC_FAIL_NOREPLICAS] = "noreplicas",
	[WTC_FAIL_WRONGTYPE] = "wrongtype",
	[WTC_FAIL_BUSY] = "busy",
	[WTC_FAIL_CLUSTER] = "cluster",
	[WTC_FAIL_NOPERM] = "noperm",
	[WTC_FAIL_CANCELLED] = "cancelled",
	[WTC_FAIL_CONFIG] = "config",
	[WTC_FAIL_OTHER] = "other",
	[WTC_FAIL_HOST] = "unknown_host",
	[WTC_FAIL_SOCKET] = "no_socket",
	[WTC_FAIL_SOCKET_PERMISSION] = "socket_permission",
	[WTC_FAIL_CLIENTS] = "maxclients",
	[WTC_FAIL_COMMAND] = "unknown_command",
};

static const struct
{
	const char *word;
	WtcStatus	status;
}			words[] = {
	{"NOSCRIPT", WTC_NOSCRIPT},
	{"NOAUTH", WTC_FAIL_AUTH},
	{"DENIED", WTC_FAIL_AUTH},
	{"WRONGPASS", WTC_FAIL_AUTH},
	{"NOPERM", WTC_FAIL_NOPERM},
	{"OOM", WTC_FAIL_OOM},
	{"READONLY", WTC_FAIL_READONLY},
	{"LOADING", WTC_FAIL_LOADING},
	{"MISCONF", WTC_FAIL_MISCONF},
	{"NOREPLICAS", WTC_FAIL_NOREPLICAS},
	{"WRONGTYPE", WTC_FAIL_WRONGTYPE},
	{"BUSY", WTC_FAIL_BUSY},
	{"MOVED", WTC_FAIL_CLUSTER},
	{"ASK", WTC_FAIL_CLUSTER},
	{"TRYAGAIN", WTC_FAIL_CLUSTER},
	{"CLUSTERDOWN", WTC_FAIL_CLUSTER},
	{"MASTERDOWN", WTC_FAIL_CLUSTER},
	{"CROSSSLOT", WTC_FAIL_CLUSTER},
};

const char *
wtc_status_name(WtcStatus status)
{
	if (status == WTC_NOSCRIPT)
		return "noscript";
	return (unsigned) status < WTC_STATUS_COUNT ? names[status] : "other";
}

WtcStatus
wtc_status_of_error(const char *text)
{
	static const char because[] = "EXECABORT Transaction discarded because of: ";
	size_t		len;

	/* what was allowed when it was queued, and is not when it is executed */
	if (strncmp(text, because, sizeof(because) - 1) == 0)
		text += sizeof(because) - 1;
	len = strcspn(text, " \r\n");
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		if (strlen(words[i].word) == len &&
			memcmp(words[i].word, text, len) == 0)
			return words[i].status;
	}

	/* a server that wants no password, or no such user, says so in prose */
	if (strncmp(text, "ERR AUTH", 8) == 0 ||
		strncmp(text, "ERR invalid password", 20) == 0)
		return WTC_FAIL_AUTH;
	/* the words for what a script may not do differ by version */
	if (strstr(text, "ACL failure") != NULL ||
		strstr(text, "can't run this command") != NULL ||
		strstr(text, "can't access at least one of the keys") != NULL)
		return WTC_FAIL_NOPERM;
	if (strncmp(text, "ERR max number of clients", 25) == 0)
		return WTC_FAIL_CLIENTS;
	if (strncmp(text, "ERR unknown command", 19) == 0)
		return WTC_FAIL_COMMAND;
	return WTC_FAIL_OTHER;
}

int
wtc_error_is_about_key(const char *text)
{
	/* not what is said about a command, or about a channel */
	return wtc_status_of_error(text) == WTC_FAIL_NOPERM &&
		strstr(text, "access") != NULL && strstr(text, "key") != NULL;
}

int
wtc_status_is_outage(WtcStatus status)
{
	switch (status)
	{
		case WTC_FAIL_CONNECT:
		case WTC_FAIL_TIMEOUT:
		case WTC_FAIL_CLOSED:
		case WTC_FAIL_PROTOCOL:
		case WTC_FAIL_AUTH:
		case WTC_FAIL_CONFIG:
		case WTC_FAIL_HOST:
		case WTC_FAIL_SOCKET:
		case WTC_FAIL_SOCKET_PERMISSION:
		case WTC_FAIL_CLIENTS:
			return 1;
		case WTC_OK:
		case WTC_FAIL_OOM:
		case WTC_FAIL_READONLY:
		case WTC_FAIL_LOADING:
		case WTC_FAIL_MISCONF:
		case WTC_FAIL_NOREPLICAS:
		case WTC_FAIL_WRONGTYPE:
		case WTC_FAIL_BUSY:
		case WTC_FAIL_CLUSTER:
		case WTC_FAIL_NOPERM:
		case WTC_FAIL_CANCELLED:
		case WTC_FAIL_OTHER:
		case WTC_FAIL_COMMAND:
		case WTC_STATUS_COUNT:
		case WTC_NOSCRIPT:
			break;
	}
	return 0;
}
