# What an operator sees: whether all is well and what to do if not, how far
# Redis is behind, what was counted, and what sessions wait for.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wtcache::BadRedis;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new('main', url => $redis->url,
	conf => {
		'wtcache.connect_timeout' => '300ms',
		'wtcache.push_timeout' => '500ms',
		'wtcache.breaker_cooldown' => '500ms',
		'wtcache.heal_window' => '0',
		'max_prepared_transactions' => 5,
		'min_wal_size' => '32MB',
		'max_wal_size' => '64MB',
		'autovacuum' => 'off' });
my $session;

$node->safe_psql('postgres', q{
	CREATE TABLE plain (v text);
	CREATE TABLE items (id int PRIMARY KEY, v text);
	CREATE TABLE large (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('items');
	SELECT wtcache.attach('large')});
$session = $node->session;

# The advice becomes one that begins a line with this
sub advice
{
	my ($regexp, $name) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my $row = '';

	while (time < $deadline)
	{
		$row = $session->query_safe(
			q{SELECT healthy || '|' || coalesce(advice, '') FROM wtcache.status});
		last if $row =~ /^(?:true|false)\|(?:.*\n)*?$regexp/;
		sleep 0.05;
	}
	like($row, qr/^false\|(?:.*\n)*?$regexp/, "$name: the advice");
	return $row;
}

sub healthy
{
	my ($name) = @_;

	ok($node->poll_query_until('postgres',
			'SELECT healthy AND advice IS NULL FROM wtcache.status'),
		"$name: healthy")
	  or diag $node->status('advice');
	return;
}

sub update
{
	my ($n) = @_;

	$session->query_safe("UPDATE items SET v = v || 'x' WHERE id = 9") foreach 1 .. $n;
	return;
}

sub lag { return $session->query_safe('SELECT lag_seconds FROM wtcache.status'); }

sub wait_all
{
	my ($name) = @_;

	is($session->query_safe("SELECT wtcache.wait('3 minutes')"), 't', "$name: all pushed");
	return;
}

# What a session waits for; before PostgreSQL 17 wait events have no names.
sub waits
{
	my ($pid, $event, $name) = @_;

	$event = 'Extension' if $node->pg_version < 17;
	ok($node->poll_query_until('postgres', qq{
		SELECT wait_event_type = 'Extension' AND wait_event = '$event'
		  FROM pg_stat_activity WHERE pid = $pid}), "$name: $event");
	return;
}

# --- all is well ---------------------------------------------------------------

healthy('at first');
$session->query_safe(q{INSERT INTO items SELECT i, 'v' FROM generate_series(1, 10) i});
wait_all('at first');
is(lag(), '0', 'no lag');
is($node->status('mode'), 'write_through', 'mode');
is($session->query_safe(q{SET wtcache.mode = async; SELECT mode FROM wtcache.status}),
	'write_through', 'mode is not the session\'s');
$session->query_safe('RESET wtcache.mode');
is($node->status('redis_open'), 't', 'Redis is open');
is($node->status('retained_bytes = pg_current_wal_insert_lsn() - retained_from'), 't',
	'WAL retained in bytes');

# --- an outage -----------------------------------------------------------------

# The lag is the age of the first commit that failed: between those two clocks.
my $before = $session->query_safe('SELECT clock_timestamp()');
$redis->stop;
update(1);
my $after = $session->query_safe('SELECT clock_timestamp()');

sub lag_is_right
{
	my ($name) = @_;

	is($session->query_safe(qq{
		WITH a AS MATERIALIZED (SELECT clock_timestamp() AS at),
			s AS MATERIALIZED (SELECT a.at, lag_seconds FROM a, wtcache.status)
		SELECT make_interval(secs => lag_seconds) >= s.at - '$after'::timestamptz
			AND make_interval(secs => lag_seconds) <= clock_timestamp() - '$before'::timestamptz
		  FROM s}), 't', "$name: the lag is the age of the first change")
	  or diag lag();
	return;
}

lag_is_right('outage');
my $advice = advice(
	qr/The worker has not been able to use Redis at \S+ since [\d: +.-]+\w*: there is no such socket \(No such file or directory\)\. Start Redis, /,
	'no Redis');
my $lag = lag();
update(5);
advice(qr/The circuit breaker has been open since [\d: +.-]+\w*, after \d+ failures in a row, the last one: there is no such socket/,
	'breaker');
ok($node->poll_query_until('postgres', "SELECT lag_seconds > $lag + 2 FROM wtcache.status"),
	'the lag rises');
update(1);
lag_is_right('later');
# Whoever begins anew does not know better, but does not forget either
kill 'TERM', $node->worker_pid;
ok($node->logged(qr/background worker "wtcache worker" .* exited with exit code 1/, 0),
	'the worker ends');
$node->worker_pid;
lag_is_right('after a restart of the worker');
advice(qr/The worker has not been able to use Redis/, 'no Redis, another worker');

$redis->start;
wait_all('after the outage');
is(lag(), '0', 'no lag any more');
healthy('after the outage');

# Nothing was changed, so nothing is behind
$redis->stop;
advice(qr/The worker has not been able to use Redis/, 'an outage without changes');
is(lag(), '0', 'no lag');
$redis->start;
healthy('after it');

# It is there, but does not answer
$redis->pause;
advice(qr/The worker has not been able to use Redis .*: it does not answer in time\. See what/,
	'Redis hangs');
$redis->resume;
healthy('Redis goes on');

# It wants a password all of a sudden
$redis->cli('config', 'set', 'requirepass', 'secret');
$redis->cli('-a', 'secret', '--no-auth-warning', 'client', 'kill', 'type', 'normal');
advice(qr/The worker has not been able to use Redis .*: it does not accept the login \(NOAUTH [^)]*\)\. Correct /,
	'a password');
unlike($node->status('advice'), qr/secret/, 'which is not told');
$redis->restart;
healthy('no password');

# The worker does not see what commits see.
$node->pause_worker;
$redis->stop;
update(4);
like($node->status('advice'),
	qr/^The circuit breaker has been open since .*, after 3 failures in a row, the last one: [^\n]*$/,
	'only the breaker');
is($node->status('healthy'), 'f', '... is reason enough');
$redis->start;
$node->resume_worker;
healthy('breaker closed');

# --- no worker -----------------------------------------------------------------

# It is back after a second: try until it was seen to be away.
my $seen = '';
foreach my $try (1 .. 20)
{
	my $pid = $node->worker_pid;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	kill 'TERM', $pid;
	do
	{
		$seen = $session->query_safe(
			q{SELECT coalesce(worker_pid, 0) || '|' || worker_state || '|' || coalesce(advice, '') FROM wtcache.status});
	} while ($seen =~ /^$pid\|/ && time < $deadline);
	last if $seen =~ /^0/;
}
like($seen, qr/^0\|not running\|The worker is not running, so nothing is replayed\./,
	'no worker: the advice');
healthy('the worker is back');

# --- no url --------------------------------------------------------------------

$node->reconfigure('wtcache.url' => '');
$node->settle($session, 'wtcache.url' => '');
is($session->query_safe(q{SELECT healthy || '|' || advice FROM wtcache.status}),
	'false|"wtcache.url" is empty, so nothing is pushed. Set it to where Redis is, and reload the configuration.',
	'no url: the advice');
update(2);
ok(lag() > 0, 'no url: a lag');
$node->reconfigure('wtcache.url' => $redis->url, 'wtcache.mode' => 'async');
$node->settle($session, 'wtcache.url' => $redis->url);
healthy('an url again');
wait_all('an url again');
ok($node->poll_query_until('postgres', q{SELECT mode = 'async' FROM wtcache.status}),
	'the mode is another');
$node->reconfigure('wtcache.mode' => 'write_through');
$node->settle($session, 'wtcache.mode' => 'write_through');

# --- counters ------------------------------------------------------------------

# What a known workload adds up to
$session->query_safe($_) foreach (
	'DELETE FROM items',
	q{SELECT wtcache.wait('3 minutes')},
	'SELECT wtcache.stat_reset()',
	q{INSERT INTO items SELECT i, 'v' FROM generate_series(1, 10) i},
	q{UPDATE items SET v = 'w' WHERE id <= 4},
	'BEGIN',
	'DELETE FROM items WHERE id = 1',
	'SAVEPOINT s',
	'DELETE FROM items WHERE id IN (2, 3)',
	'ROLLBACK TO s',
	q{SELECT wtcache.invalidate_tags('a', 'b')},
	'COMMIT',
	'BEGIN',
	q{UPDATE items SET v = 'gone'},
	'ROLLBACK');
sub counters
{
	my ($columns) = @_;

	return $session->query_safe("SELECT concat_ws(' ', $columns) FROM wtcache.stat");
}

sub table
{
	my ($name) = @_;

	return $session->query_safe(qq{
		SELECT concat_ws(' ', sets, deletes, invalidations) FROM wtcache.stat_attachment
		 WHERE relation = '$name'::regclass});
}
is(counters('pushes_ok, pushes_failed, pushes_skipped, pushes_deferred'), '3 0 0 0', 'pushes');
is(counters('sets, deletes, invalidations, stored, overtaken, replayed'),
	'14 1 2 14 0 0', 'operations');
is(counters('rollbacks, discarded, spilled, spill_batches'), '1 11 0 0', 'rollbacks');
is(table('items'), '14 1 0', 'operations of the table');
is($session->query_safe(
		q{SELECT string_agg(outcome || ' ' || pushes, ', ' ORDER BY outcome DESC) FROM wtcache.stat_latency}),
	'ok 3, failed 0', 'latencies');
is($session->query_safe(
		q{SELECT bool_and(l.pushes = b.pushes AND p50_time <= max_time AND b.cumulative = l.pushes)
		  FROM wtcache.stat_latency l LEFT JOIN (SELECT outcome, sum(pushes) AS pushes,
			max(cumulative) AS cumulative FROM wtcache.stat_latency_buckets GROUP BY 1) b USING (outcome)
		 WHERE outcome = 'ok'}), 't', 'the buckets add up to them');

# Async, prepared, spilled: the worker pushes.  Committed or not makes the
# difference.
$session->query_safe($_) foreach (
	'SELECT wtcache.stat_reset()',
	'SET wtcache.mode = async',
	q{UPDATE items SET v = 'async' WHERE id = 2},
	q{SELECT wtcache.wait('3 minutes')},    # or one batch has both
	'RESET wtcache.mode',
	'BEGIN',
	q{UPDATE items SET v = 'prepared' WHERE id = 3},
	q{PREPARE TRANSACTION 'a'},
	'BEGIN',
	q{UPDATE items SET v = 'not committed' WHERE id = 4},
	q{PREPARE TRANSACTION 'b'},
	q{ROLLBACK PREPARED 'b'},
	q{COMMIT PREPARED 'a'},
	q{SELECT wtcache.wait('3 minutes')});
is(counters('pushes_ok, pushes_deferred, replayed, replay_batches, stored'), '0 3 2 2 2',
	'left to the worker');
is(table('items'), '2 0 0', 'left to the worker: operations of the table');
is(counters('rollbacks, discarded'), '1 1', 'rolled back when it was prepared');

# Prepared: counted when it is committed, by whatever session, and not when it
# is rolled back.
sub prepare
{
	my ($gid, @sql) = @_;

	$session->query_safe($_) foreach 'BEGIN', @sql, "PREPARE TRANSACTION '$gid'";
	return;
}

$session->query_safe('SELECT wtcache.stat_reset()');
prepare('a', 'UPDATE items SET v = 1 WHERE id IN (2, 3, 4)', 'SAVEPOINT s',
	'DELETE FROM items WHERE id = 4', 'ROLLBACK TO s', 'DELETE FROM items WHERE id = 10',
	q{SELECT wtcache.set('page', '1')});
prepare('b', q{SET LOCAL wtcache.batch_memory = '64kB'},
	q{INSERT INTO large SELECT i, repeat('x', 1000) FROM generate_series(1001, 1200) i}, 'SAVEPOINT s',
	q{INSERT INTO large SELECT i, repeat('x', 1000) FROM generate_series(1201, 1400) i}, 'ROLLBACK TO s');
prepare('c', 'DELETE FROM items WHERE id BETWEEN 6 AND 9', q{SELECT wtcache.delete('page')});
is(table('items') . ', ' . table('large'), '0 0 0, 0 0 0', 'prepared: not counted yet');
is(counters('rollbacks, discarded'), '0 201', '... but what savepoints rolled back is');
$node->safe_psql('postgres', q{COMMIT PREPARED 'a'});
is(table('items'), '3 1 0', 'committed by another session');
is($session->query_safe(q{
	SELECT last_change BETWEEN now() - interval '1 minute' AND clock_timestamp()
	  FROM wtcache.stat_attachment WHERE relation = 'items'::regclass}), 't', '... just now');
$session->query_safe(q{COMMIT PREPARED 'b'});
is(table('large'), '200 0 0', 'spilled and prepared');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'c'});
is(table('items'), '3 1 0', 'rolled back by another session');
is(counters('rollbacks, discarded, not_in_stat_attachment'), '1 206 0', '... counted as such');

# A gid is used again, and a reset between does not matter.
foreach my $i (1 .. 30)
{
	prepare('a', "UPDATE items SET v = $i WHERE id IN (2, 3)");
	$session->query_safe('SELECT wtcache.stat_reset()') if $i == 10;
	$session->query_safe($i % 3 == 0 ? q{ROLLBACK PREPARED 'a'} : q{COMMIT PREPARED 'a'});
}
is(table('items') . ' ' . counters('rollbacks, discarded, not_in_stat_attachment'), '28 0 0 7 14 0',
	'one gid again and again');

# It cannot be prepared in the end: what was written for it is rolled back.
$session->query_safe('SELECT wtcache.stat_reset()');
$session->query(q{BEGIN; UPDATE items SET v = 0 WHERE id IN (2, 3); CREATE TEMP TABLE t (); PREPARE TRANSACTION 't'});
like($session->{stderr}, qr/cannot PREPARE a transaction/, 'it cannot be prepared');
$session->{stderr} = '';
is(table('items') . ' ' . counters('rollbacks, discarded'), '0 0 0 1 2', '... and is counted as rolled back');

# More tables than are kept apart
$session->query_safe('SELECT wtcache.stat_reset()');
$session->query_safe(q{
	CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY LIST (id);
	SELECT wtcache.attach('parts')});
$session->query_safe("CREATE TABLE part_$_ PARTITION OF parts FOR VALUES IN ($_)") foreach 1 .. 20;
prepare('many', 'INSERT INTO parts SELECT generate_series(1, 20)');
$session->query_safe(q{COMMIT PREPARED 'many'});
is(table('parts') . ' ' . counters('not_in_stat_attachment'), '16 0 0 4', 'a prepared transaction with many tables');
$session->query_safe('DROP TABLE parts');

# What is prepared when the server crashes is not counted, but comes true.
prepare('crash', q{UPDATE items SET v = 'crash' WHERE id = 2});
prepare('undone', q{UPDATE items SET v = 'undone' WHERE id = 3});
$session->quit;
$node->crash;
$node->start;
$session = $node->session;
$session->query_safe($_) foreach q{COMMIT PREPARED 'crash'}, q{ROLLBACK PREPARED 'undone'};
wait_all('after a crash');
like($redis->cli('get', 'items:2'), qr/crash/, 'prepared before a crash: committed');
is(table('items') . ' ' . counters('rollbacks, not_in_stat_attachment'), '0 0 0 0 0', '... and not counted');
prepare('crash', 'UPDATE items SET v = 1 WHERE id = 2');
$session->query_safe(q{COMMIT PREPARED 'crash'});
is(table('items'), '1 0 0', '... the next one is');
$session->query_safe('DELETE FROM large');

$session->query_safe($_) foreach (
	'SELECT wtcache.stat_reset()',
	q{SET wtcache.batch_memory = '64kB'},
	'BEGIN',
	q{INSERT INTO large SELECT i, repeat('x', 1000) FROM generate_series(1, 200) i},
	'SAVEPOINT s',
	q{INSERT INTO large SELECT i, repeat('x', 1000) FROM generate_series(201, 400) i},
	'ROLLBACK TO s',
	'COMMIT',
	'BEGIN',
	q{UPDATE large SET v = repeat('y', 1000)},
	'ROLLBACK',
	'RESET wtcache.batch_memory',
	q{SELECT wtcache.wait('3 minutes')});
is(counters('pushes_ok, pushes_deferred, replayed, rollbacks, discarded'), '0 1 200 1 400',
	'spilled');
is(counters('spilled > 300, spill_batches > 5, spill_batches < spilled'), 't t t', '... in batches');
is(table('large'), '200 0 0', 'spilled: operations of the table');

# An outage
update(1);
$session->query_safe('SELECT wtcache.stat_reset()');
$node->pause_worker;
$redis->pause;
update(7);
is(counters('pushes_ok, pushes_failed, pushes_skipped'), '0 3 4', 'failures');
is($node->stat('fail_timeout'), 3, 'failures of the class');
is($session->query_safe(q{SELECT pushes || ' ' || (max_time >= 500) FROM wtcache.stat_latency WHERE outcome = 'failed'}),
	'3 true', 'their latencies');
$redis->resume;
$node->resume_worker;
wait_all('failures');
healthy('failures');
is(counters('replayed, replay_batches'), '1 1', 'replayed');
is(table('items'), '7 0 0', 'an outage: operations of the table');

# Several backends; they stay counted when they end, and a reset reaches all.
$session->query_safe('SELECT wtcache.stat_reset()');
my $other = $node->session;
foreach my $i (1 .. 5)
{
	$other->query_safe("UPDATE items SET v = 'other' WHERE id = 5");
	$node->safe_psql('postgres', "UPDATE items SET v = 'new' WHERE id = 6");
}
update(5);
is(counters('pushes_ok'), '15', 'several backends: pushes');
is($session->query_safe('SELECT sum(pushes) FROM wtcache.stat_latency'), '15', '... latencies');
is(table('items'), '15 0 0', '... the table');
$session->query_safe('SELECT wtcache.stat_reset()');
is(counters('pushes_ok') . ' ' . table('items') . ' '
	  . $session->query_safe(q{SELECT sum(pushes) || ' ' || coalesce(max(max_time), 0) FROM wtcache.stat_latency}),
	'0 0 0 0 0 0', 'reset');
$other->query_safe("UPDATE items SET v = 'again' WHERE id = 5");
is(counters('pushes_ok') . ' ' . table('items') . ' '
	  . $session->query_safe('SELECT sum(pushes) FROM wtcache.stat_latency'),
	'1 1 0 0 1', '... and on');
$other->quit;

# What takes long is seen to.
$session->query_safe(q{SET wtcache.push_timeout = '60s'});
$node->pause_worker;
update(1);
my $pid = $node->pid_of($session);
$redis->pause;
my $t0 = time;
$node->begin_query($session, q{UPDATE items SET v = 'slow' WHERE id = 7});
waits($pid, 'WtcachePush', 'a push');
sleep 0.01 while time - $t0 < 0.5;
$redis->resume;
$session->query_safe('RESET wtcache.push_timeout');
my $took = 1000 * (time - $t0);
is($session->query_safe(qq{
	SELECT max_time BETWEEN 250 AND $took AND p99_time <= max_time AND p99_time > mean_time
	  FROM wtcache.stat_latency WHERE outcome = 'ok'}), 't', 'the latency of a slow push')
  or diag $session->query_safe('SELECT * FROM wtcache.stat_latency');

# --- wait events ---------------------------------------------------------------

my $slow = $node->session;
$pid = $node->pid_of($slow);
$slow->query_safe(q{SET wtcache.push_timeout = '60s'; SET wtcache.connect_timeout = '60s'});
$redis->pause;
$node->begin_query($slow, q{UPDATE items SET v = 'connecting' WHERE id = 8});
waits($pid, 'WtcacheConnect', 'a connection');
$redis->resume;
$slow->query_safe(q{SET wtcache.batch_memory = '64kB'});
$node->begin_query($slow, q{UPDATE large SET v = repeat('z', 1000)});
waits($pid, 'WtcacheAwaitWorker', 'the worker');
$node->resume_worker;
$slow->query_safe('SELECT 1');
$slow->quit;
# The worker has no database and is not in pg_stat_activity.
is($node->safe_psql('postgres',
		q{SELECT string_agg(name, ' ' ORDER BY name) FROM pg_wait_events WHERE name LIKE 'Wtcache%'}),
	'WtcacheAwaitWorker WtcacheConnect WtcachePush WtcacheWorkerMain', 'all wait events')
  if $node->pg_version >= 17;

# --- WAL -----------------------------------------------------------------------

sub segments
{
	my ($n) = @_;

	$node->safe_psql('postgres', 'INSERT INTO plain VALUES (1); SELECT pg_switch_wal()')
	  foreach 1 .. $n;
	return;
}

healthy('before the retention');
$node->reconfigure('wtcache.max_wal_retained' => '64MB');
$redis->stop;
update(1);
unlike($node->status('advice'), qr/MB of WAL/, 'little WAL is no problem');
segments(4);
advice(qr/\d+ MB of WAL wait to be replayed, and at "wtcache\.max_wal_retained" \(64 MB\) the cache is emptied instead\./,
	'WAL');
segments(6);
ok($node->poll_query_until('postgres', q{
	SELECT pg_walfile_name(retained_from) > pg_walfile_name(watermark) FROM wtcache.status}),
	'the limit is reached');
$node->safe_psql('postgres', 'CHECKPOINT');
$redis->start;
$node->poll_query_until('postgres', 'SELECT cold_starts > 0 FROM wtcache.stat');
advice(qr/The cache was emptied at [\d: +.-]+\w*: WAL that had to be replayed is gone\. It fills as rows are written; CALL wtcache\.warm\(\) fills it at once, for each table\. This line goes when all tables attached in this database have been warmed or verified, when wtcache\.acknowledge\(\) is called, or at [\d: +.-]+\w*\.$/m,
	'emptied');
# For as long as what was there would have lived
$session->query_safe(q{SET wtcache.default_ttl = '1s'});
my $row = '';
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
$row = $session->query_safe(q{SELECT healthy, advice FROM wtcache.status})
  until $row eq 't|' || time > $deadline;
is($row, 't|', 'emptied: healthy when it does not matter any more');
$node->reconfigure('wtcache.default_ttl' => '1s');

# --- Redis is loading -----------------------------------------------------------

my $bad = Wtcache::BadRedis->new(upstream => $redis);
$node->reconfigure('wtcache.url' => $bad->url);
$node->settle($session, 'wtcache.url' => $bad->url);
ok($node->poll_query_until('postgres', 'SELECT healthy FROM wtcache.status'),
	'another way to Redis');
$session->query_safe(q{INSERT INTO items VALUES (5001, 'connected')});
$bad->mode('error', text => 'LOADING Redis is loading the dataset in memory', count => 1);
$session->query_safe(q{INSERT INTO items VALUES (5002, 'loading')});
is($node->status('last_failure'), 'loading', 'Redis is loading');
# not only when the failure is forgotten, after a minute
$node->poll_query_until('postgres', q{SELECT healthy OR last_failure_at < now() - interval '50 s'
	FROM wtcache.status});
is($node->status('healthy'), 't', '... healthy when it is done');
$node->reconfigure('wtcache.url' => $redis->url);
$node->settle($session, 'wtcache.url' => $redis->url);

# --- Redis is full -------------------------------------------------------------

$redis->cli('config', 'set', 'maxmemory', '1mb');
$session->query_safe(qq{INSERT INTO large VALUES (1000, repeat('x', 3000000))});
advice(qr/Redis refused a write at [\d: +.-]+\w*: it is at maxmemory(?: \(OOM .*\))?\. Raise maxmemory|The worker has not been able to use Redis .*: it is at maxmemory(?: \(OOM .*\))?\. Raise maxmemory/,
	'Redis is full');
$redis->cli('config', 'set', 'maxmemory', '0');

$session->quit;
$node->stop;

# --- no slot -------------------------------------------------------------------

$node = Wtcache::Node->start_new('minimal', url => $redis->url,
	conf => { 'wal_level' => 'minimal', 'max_wal_senders' => '0' });
$redis->restart;
$session = $node->session;
advice(qr/There is no replication slot "wtcache", so the server may remove WAL/, 'no slot');
is($node->status('retained_bytes IS NULL'), 't', 'no slot: nothing is retained');
$session->quit;
$node->stop;

done_testing();
