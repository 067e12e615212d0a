/*-------------------------------------------------------------------------
 *
 * status.h
 *	  How a conversation with Redis ended.
 *
 * Every function of this layer returns one of these by value; none raises an
 * error, allocates with palloc, or waits without a deadline, so all of them
 * may be called on either side of the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_REDIS_STATUS_H
#define WTC_REDIS_STATUS_H

/*
 * The order is that of the rows of wtcache.stat_failure; new members go to the
 * end.
 */
typedef enum WtcStatus
{
	WTC_OK = 0,
	WTC_FAIL_CONNECT,			/* no route, refused */
	WTC_FAIL_TIMEOUT,			/* the deadline passed */
	WTC_FAIL_CLOSED,			/* the peer closed or reset the connection */
	WTC_FAIL_PROTOCOL,			/* not RESP, or not the reply that was due */
	WTC_FAIL_AUTH,				/* NOAUTH, WRONGPASS */
	WTC_FAIL_OOM,				/* Redis is at maxmemory, or we are out of it */
	WTC_FAIL_READONLY,
	WTC_FAIL_LOADING,
	WTC_FAIL_MISCONF,
	WTC_FAIL_NOREPLICAS,
	WTC_FAIL_WRONGTYPE,
	WTC_FAIL_BUSY,
	WTC_FAIL_CLUSTER,			/* MOVED, ASK, TRYAGAIN, CLUSTERDOWN,
								 * MASTERDOWN, CROSSSLOT */
	WTC_FAIL_NOPERM,
	WTC_FAIL_CANCELLED,			/* the session was told to stop */
	WTC_FAIL_CONFIG,			/* wtcache.url or password_file is unusable */
	WTC_FAIL_OTHER,				/* any other error reply */
	WTC_FAIL_HOST,				/* the name of the host is not known */
	WTC_FAIL_SOCKET,			/* there is no such Unix socket */
	WTC_FAIL_SOCKET_PERMISSION, /* the server may not connect to it */
	WTC_FAIL_CLIENTS,			/* Redis is at maxclients */
	WTC_FAIL_COMMAND,			/* a command is unknown: a Sentinel, a proxy */
	WTC_STATUS_COUNT,

	/* never counted: the script is not cached, the caller sends it */
	WTC_NOSCRIPT
} WtcStatus;

/* A short lower-case name, such as "timeout"; static storage. */
extern const char *wtc_status_name(WtcStatus status);

/* The class of an error reply, from its first word. */
extern WtcStatus wtc_status_of_error(const char *text);

/*
 * Does an error reply object to one of the keys or values of a command, while
 * others would be taken?
 */
extern int	wtc_error_is_about_key(const char *text);

/*
 * Does this say that Redis cannot be talked to, as opposed to Redis having
 * refused what it was told?  Only the former opens the circuit breaker.
 */
extern int	wtc_status_is_outage(WtcStatus status);

#endif							/* WTC_REDIS_STATUS_H */
