# Redis forgets writes that it had acknowledged: restarted empty or with an old
# dump, flushed, failed over to a replica that lags, demoted and promoted
# again.  The position that it still has says where to begin; one that has none
# begins anew.  And its token is somebody else's, or gone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wtcache::Compare;
use Wtcache::Node;
use Wtcache::Redis;

my $timeout = $PostgreSQL::Test::Utils::timeout_default;
my $redis = Wtcache::Redis->new(tcp => 1);
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'wtcache.push_timeout' => '2s',
		'wtcache.connect_timeout' => '1s',
		'wtcache.breaker_failures' => 0,
		'autovacuum' => 'off'
	});

$node->safe_psql('postgres', q{
	CREATE TABLE items (id int PRIMARY KEY, seq int, cat text);
	SELECT wtcache.attach('items', tags => ARRAY['cat:{cat}'])});

# --- what is written, and what has to be there -------------------------------

my $n = 0;

# Some transactions of each kind, in which rows go as well.
sub work
{
	$n++;
	$node->safe_psql('postgres', qq{
		INSERT INTO items SELECT i, $n, 'c' || i % 3 FROM generate_series(1, 60) i
			ON CONFLICT (id) DO UPDATE SET seq = excluded.seq;
		DELETE FROM items WHERE id % 10 = $n % 10;
		UPDATE items SET cat = 'm' || $n % 4 WHERE id % 7 = $n % 7;
		DO \$\$ BEGIN FOR i IN 1 .. 30 LOOP
			UPDATE items SET seq = $n * 100 + i WHERE id = 31 + i % 10;
			COMMIT;
		END LOOP; END \$\$});
	return;
}

sub all_differences
{
	return (
		Wtcache::Compare::differences($node, $redis, 'items', 'id'),
		Wtcache::Compare::tag_differences($node, $redis,
			q{SELECT 'cat:' || cat, 'items:' || id FROM items}));
}

sub settled
{
	my ($name) = @_;

	is(join("\n", Wtcache::Compare::settle(\&all_differences)),
		'', "$name: Redis is as the table");
	return;
}

# They were different; otherwise there is nothing to heal.
sub damaged
{
	my ($name) = @_;
	my @differences = all_differences();

	cmp_ok(scalar(@differences), '>', 0, "$name: something is missing at first");
	return;
}

sub position
{
	return $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
}

# The position that a Redis holds, as a pg_lsn
sub stored
{
	my ($r) = @_;
	my $lsn = $r->position;

	return sprintf '%X/%X', $lsn >> 32, $lsn & 0xffffffff;
}

sub at_or_after
{
	my ($a, $b) = @_;

	return $node->safe_psql('postgres', "SELECT '$a'::pg_lsn >= '$b'::pg_lsn") eq 't';
}

# Where replays began according to the log, and whether Redis knew a position
sub replays
{
	my ($offset) = @_;
	my $pid = $node->worker_pid;

	return map { [ /([\dA-F]+\/[\dA-F]+)/, /DETAIL:  Redis knows no position/ ? 0 : 1 ] }
	  $node->log_tail($offset) =~
	  /(replay begins at [\dA-F\/]+\n(?:[^\n]*\[$pid\][^\n]*DETAIL:[^\n]*\n)?)/g;
}

# What Redis has need not be all, but is as the table.
sub nothing_wrong
{
	my ($name) = @_;
	my @wrong = Wtcache::Compare::settle(
		sub { grep { !/Redis nothing$|only in the table$/ } all_differences() });

	is(join("\n", @wrong), '', "$name: Redis shows nothing that is not so");
	return;
}

sub idle
{
	$node->poll_query_until('postgres', q{
		SELECT worker_state LIKE 'idle%' AND replay_from IS NULL FROM wtcache.status})
	  or die 'the worker is not idle';
	return;
}

# All rows are written once more, so that Redis has them.
sub refill
{
	my ($name) = @_;

	$node->safe_psql('postgres', 'UPDATE items SET seq = seq + 1');
	settled("$name, all rows written");
	return;
}

work();
settled('at first');

# --- restarts ----------------------------------------------------------------

# What had been pushed is gone by somebody's choice.
{
	my $name = 'restarted empty';

	$redis->wait_for_beat($node);
	idle();
	my $offset = $node->log_length;
	$redis->restart;
	ok($node->logged(qr/replay begins at/, $offset), "$name: noticed");
	my ($replay) = replays($offset);
	is($replay->[1], 0, "$name: and so the log says");
	idle();
	is($redis->cli('keys', 'items:*'), '', "$name: not filled again");
	work();
	nothing_wrong("$name, and after that");
	like($redis->cli('get', 'items:' . (31 + $_)), qr/"seq":$n/,
		"$name: what is written then is there")
	  foreach grep { (31 + $_) % 10 != $n % 10 } 0 .. 2;
	refill($name);
}

# What had not been pushed is pushed, whatever Redis is when it comes back.
{
	my $name = 'back from an outage without data';

	$redis->wait_for_beat($node);
	idle();
	$redis->kill9;
	$node->safe_psql('postgres', q{
		INSERT INTO items SELECT i, 0, 'out' FROM generate_series(70, 79) i;
		DELETE FROM items WHERE id = 70});
	$redis->start;
	ok($redis->poll_for('get items:79', qr/"out"/), "$name: pushed");
	idle();
	is( scalar(split /\n/, $redis->cli('keys', 'items:7?')), 9,
		"$name: all of it");
	nothing_wrong($name);
	$node->safe_psql('postgres', 'DELETE FROM items WHERE id >= 70');
	refill($name);
}

{
	my $name = 'an older dump';

	work();
	settled($name);
	my $position = $redis->wait_for_beat($node);
	$redis->cli('save');
	work();
	work();
	$node->safe_psql('postgres', 'DELETE FROM items WHERE id BETWEEN 41 AND 50');
	settled("$name, later");
	my $offset = $node->log_length;
	my $worker = $node->worker_pid;
	kill 'STOP', $worker;    # or it would be too quick for us
	$redis->kill9;
	$redis->start;
	damaged($name);
	my $stored = stored($redis);
	kill 'CONT', $worker;
	settled($name);
	my ($replay) = replays($offset);
	is_deeply($replay, [ $stored, 1 ],
		"$name: the replay begins at the position in the dump");
	ok(at_or_after($stored, $position), "$name: ... which is that of the beat before");
	unlink $redis->dir . '/dump.rdb';
	work();
	settled("$name, and after that");
}
is($node->stat('cold_starts'), '0', 'never cold');

# --- flushed while it runs ---------------------------------------------------

# Redis as it is found: the token gone, or another server's.  The next push is
# refused, waits until the worker has taken Redis, and succeeds.
my ($system, $timeline, $started) =
  $redis->cli('get', 'wtcache:token') =~ /^(\d+) (\d+) (\d+) \d+$/;

ok(defined $started, 'the token is as documented');
foreach my $case (
	[ 'FLUSHALL', 'flushall' ],
	[ 'the token deleted', 'del', 'wtcache:token' ],
	[ 'the token overwritten', 'set', 'wtcache:token', 'x' ],
	[
		'the token of an earlier start', 'set',
		'wtcache:token', "$system $timeline " . ($started - 1000) . ' 1'
	],
	[ 'the token of a server that began earlier', 'set', 'wtcache:token', '4711 9 1 1' ],
	[ 'the token made a hash', 'eval',
		q{redis.call('del', KEYS[1]); return redis.call('hset', KEYS[1], 'a', 1)},
		1, 'wtcache:token' ])
{
	my ($name, @command) = @$case;
	my $s = $node->session;

	$s->query_safe(q{INSERT INTO items VALUES (31, 1, 'c') ON CONFLICT (id) DO
		UPDATE SET seq = items.seq + 1});
	$redis->wait_for_beat($node);    # so that it is the push that notices
	idle();
	my $failed = $node->stat('pushes_failed + pushes_skipped');
	my $good = $node->stat('pushes_ok');
	$redis->cli(@command);
	$s->query_safe(q{UPDATE items SET seq = 77, cat = 'own' WHERE id = 31});
	like($redis->cli('get', 'items:31'), qr/"seq":77/,
		"$name: the next commit is in Redis when it returns");
	is($node->stat('pushes_ok') - $good, 1, "$name: counted");
	is($node->stat('pushes_failed + pushes_skipped') - $failed, 0,
		"$name: ... and not as a failure");
	like($redis->cli('get', 'wtcache:token'), qr/^$system $timeline $started \d+$/,
		"$name: the token is ours");
	$s->quit;
	if ($command[0] eq 'flushall')
	{
		nothing_wrong($name);
		refill($name);
	}
	settled($name);
}

# A server that began later has taken Redis on purpose.
{
	my $name = 'the token of a server that began later';
	my $offset = $node->log_length;
	my $skipped = $node->stat('pushes_skipped');
	my $token = '4711 1 ' . ($started + 86400000) . ' 1';

	$node->safe_psql('postgres', q{INSERT INTO items VALUES (31, 1, 's'), (32, 1, 's')
		ON CONFLICT (id) DO UPDATE SET seq = 1});
	$redis->cli('set', 'wtcache:token', $token);
	$node->safe_psql('postgres', 'UPDATE items SET seq = seq + 1 WHERE id = 31');
	ok($node->logged(qr/WARNING:  wtcache: another PostgreSQL server has taken Redis over/,
			$offset), "$name: noticed");
	like($node->status('worker_state'), qr/^standing back: /, "$name: worker_state");
	like($node->status('advice'), qr/wtcache\.take_over\(\)/, "$name: advice");
	$node->safe_psql('postgres', 'UPDATE items SET seq = seq + 1 WHERE id IN (31, 32)');
	cmp_ok($node->stat('pushes_skipped'), '>', $skipped, "$name: commits are skipped");
	damaged($name);
	is($redis->cli('get', 'wtcache:token'), $token, "$name: its token stays");
	is($node->safe_psql('postgres', 'SELECT wtcache.take_over()'), 't',
		"$name: told to take over");
	settled("$name, taken over");
	is($node->safe_psql('postgres', 'SELECT wtcache.take_over()'), 'f',
		"$name: there is nothing to take over any more");
	work();
	settled("$name, and after that");
}

# Nothing is pushed: the worker finds out by itself.
{
	my $name = 'FLUSHALL and no push';

	$redis->cli('flushall');
	ok($redis->poll_for('exists wtcache:token wtcache:position', '2'),
		"$name: noticed");
	idle();
	is($redis->cli('keys', 'items:*'), '', "$name: not filled again");
	refill($name);
}

# Connections that were idle when it was flushed, and then write side by side.
# No time has to pass for that: nothing compares clocks.
{
	my $name = 'FLUSHALL, then many';
	my @sessions = map { $node->session } 1 .. 4;

	$node->safe_psql('postgres', q{
		CREATE TABLE many (id int PRIMARY KEY, round int, cat text);
		SELECT wtcache.attach('many', tags => ARRAY['many:{cat}']);
		INSERT INTO many SELECT i, 0, 'c' || i % 5 FROM generate_series(0, 199) i});
	$_->query_safe('UPDATE many SET round = 0 WHERE id = 0') foreach @sessions;
	my $reader = $node->session;
	my $failed = $node->stat('pushes_failed + pushes_skipped');
	foreach my $round (1 .. 3)
	{
		$reader->query_safe(q{SELECT wtcache.get('many:1')});
		$redis->wait_for_beat($node);
		idle();
		$redis->cli($round == 2 ? 'flushall' : 'flushdb');
		foreach my $i (0 .. 3)
		{
			my $rows = "BETWEEN @{[ 50 * $i ]} AND @{[ 50 * $i + 49 ]}";

			$node->begin_query($sessions[$i],
				$round == 2
				? "DO \$\$ BEGIN FOR i IN @{[ 50 * $i ]} .. @{[ 50 * $i + 49 ]} LOOP"
				  . " UPDATE many SET round = $round WHERE id = i; COMMIT; END LOOP; END \$\$"
				: "UPDATE many SET round = $round WHERE id $rows");
		}
		$_->query_safe('SELECT 1') foreach @sessions;
		is($reader->query_safe(q{SELECT wtcache.wait('60s')}), 't',
			"$name: round $round, wait()");
		is( $node->safe_psql('postgres', q{
				SELECT checked || ' ' || missing || ' ' || differing
				FROM wtcache.verify_summary('many')}),
			'200 0 0', "$name: round $round, nothing is missing or wrong");
	}
	is($node->stat('pushes_failed + pushes_skipped') - $failed, 0, "$name: no failure");
	is(join("\n", Wtcache::Compare::differences($node, $redis, 'many', 'id')),
		'', "$name: Redis is as the table");
	$_->quit foreach @sessions, $reader;
	$node->safe_psql('postgres', 'DROP TABLE many');
	refill($name);
}
is($node->stat('cold_starts'), '0', 'never cold');

# --- what an earlier release has left ------------------------------------------

{
	my $name = 'keys of the first format';
	my $offset = $node->log_length;

	$redis->wait_for_beat($node);
	idle();
	$node->stop;
	$redis->cli('del', 'wtcache:token', 'wtcache:position');
	$redis->cli('hset', 'wtcache:fence:0', 'items:1', '1');
	$redis->cli('hset', 'wtcache:fence:1', 'items:2', '1');
	$redis->cli('set', 'wtcache:watermark', "$system 000000010000000000000000001 x");
	$redis->cli('rpush', 'wtcache:positions', 'x');
	$redis->cli('set', 'items:9999', '"stale"', 'ex', 3600);
	$redis->cli('set', 'foreign', 'kept');
	$node->start;
	ok($node->poll_query_until('postgres', 'SELECT cold_starts = 1 FROM wtcache.stat'),
		"$name: the cache is emptied");
	is($node->status('cold_reason'), 'Redis was written by an earlier release of wtcache',
		"$name: the reason");
	idle();
	is($redis->cli('exists', map { "wtcache:$_" } qw(fence:0 fence:1 watermark positions)),
		0, "$name: they are removed");
	is($redis->cli('keys', 'items:*'), '', "$name: empty");
	is($redis->cli('get', 'foreign'), 'kept', "$name: a key of somebody else's stays");
	refill($name);
	$node->restart;
	idle();
	is($node->stat('cold_starts'), '0', "$name: once");
	settled($name);
}

# --- replicas ----------------------------------------------------------------

# A replica that has all that the server has
sub replica_of
{
	my ($primary) = @_;
	my $replica = Wtcache::Redis->new(tcp => 1, 'repl-diskless-sync-delay' => 0);

	$primary->cli(qw(config set repl-diskless-sync-delay 0));
	$replica->cli('replicaof', '127.0.0.1', $primary->port);
	$primary->cli('set', 'marker', ++$n);
	$replica->poll_for('get marker', $n) or die 'the replica does not follow';
	return $replica;
}

# Fail-over to a replica that lags
{
	my $name = 'a replica that lags';
	my $old = $redis;

	work();
	my $replica = replica_of($redis);
	my $position = $redis->wait_for_beat($node);
	$redis->cli('set', 'marker', 'beat');
	$replica->poll_for('get marker', 'beat');
	# From now on it gets nothing.
	$replica->cli('replicaof', '127.0.0.1', Wtcache::Redis::free_port());
	work();
	$node->safe_psql('postgres', 'DELETE FROM items WHERE id BETWEEN 51 AND 55');
	work();
	settled("$name, the primary");
	$redis->kill9;
	$replica->cli('replicaof', 'no', 'one');
	$redis = $replica;
	damaged($name);
	my $offset = $node->log_length;
	my $stored = stored($redis);
	ok(at_or_after($stored, $position), "$name: the replica has a position");
	$node->reconfigure('wtcache.url' => $redis->url);
	settled($name);
	my ($replay) = replays($offset);
	is_deeply($replay, [ $stored, 1 ], "$name: the replay begins there");
	work();
	settled("$name, and after that");
}

# Demoted and promoted again, on the same connection
{
	my $name = 'demoted and promoted';

	work();
	$redis->wait_for_beat($node);
	my $other = replica_of($redis);
	$other->cli('replicaof', 'no', 'one');
	work();
	$node->safe_psql('postgres', 'DELETE FROM items WHERE id BETWEEN 56 AND 58');
	settled("$name, before");
	my $offset = $node->log_length;
	my $clients = $redis->cli('client', 'list', 'type', 'normal');
	my ($worker) = $clients =~ /^id=(\d+) .*name=wtcache-worker /m;
	$redis->cli('replicaof', '127.0.0.1', $other->port);
	ok($redis->poll_for('info replication', qr/master_link_status:up/),
		"$name: resynchronised");
	$redis->cli('replicaof', 'no', 'one');
	settled($name);
	my ($replay) = replays($offset);
	is($replay->[1], 1, "$name: noticed");
	like($redis->cli('client', 'list', 'type', 'normal'), qr/^id=$worker /m,
		"$name: ... on the same connection");
	work();
	settled("$name, and after that");
}

# A backend is still with the old primary while the worker is with the new one.
# That Redis does not get the token any more, so nothing is written to it; and
# nobody waits until the backend has noticed.
{
	my $name = 'split brain';
	my $s = $node->session;
	my $lock = $node->session;
	my $new = replica_of($redis);
	my $old = $redis;

	$s->query_safe(q{INSERT INTO items SELECT i, 1, 's' FROM generate_series(31, 39) i
		ON CONFLICT (id) DO UPDATE SET seq = items.seq + 1});
	$lock->query_safe('SELECT pg_advisory_lock(1)');
	# It does not look at the configuration before it is through.
	$node->begin_query($s, q{DO $$ BEGIN
		FOR i IN 31 .. 39 LOOP
			PERFORM pg_advisory_xact_lock(1);
			UPDATE items SET seq = 9000000 + i WHERE id = i;
			COMMIT;
		END LOOP; END $$});
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted})
	  or die 'it does not come to the lock';
	$new->cli('replicaof', 'no', 'one');
	$redis = $new;
	my $offset = $node->log_length;
	$node->reconfigure('wtcache.url' => $redis->url);
	ok($node->logged(qr/replay begins at/, $offset), "$name: the worker has moved");
	settled("$name, before");
	my $bad = $node->stat('pushes_failed + pushes_skipped');
	my $begun = time;
	$lock->query_safe('SELECT pg_advisory_unlock(1)');
	$s->query_safe('SELECT 1');
	# Each of them alone would wait until push_timeout.
	cmp_ok(time - $begun, '<', 9, "$name: it does not wait again and again");
	$_->quit foreach $s, $lock;
	unlike($old->cli('get', 'items:35'), qr/9000035/,
		"$name: the old primary has got nothing");
	is($node->stat('pushes_failed + pushes_skipped') - $bad, 9,
		"$name: none of it counts");
	settled($name);
	like($redis->cli('get', 'items:35'), qr/9000035/, "$name: replayed");
}

# The same, but it is another server that answers by the same name, while idle
# connections to the old one stay.
{
	my $name = 'another server by the same name';
	my $old = $redis;
	my $link = $node->basedir . '/redis.sock';
	my $s;

	symlink $old->socket, $link or die;
	$node->reconfigure('wtcache.url' => "unix://$link");
	$s = $node->session;
	$s->query_safe(q{INSERT INTO items VALUES (31, 1, 's'), (32, 1, 's')
		ON CONFLICT (id) DO UPDATE SET seq = 1});
	$redis->wait_for_beat($node);
	idle();
	my $new = replica_of($old);
	$new->cli('replicaof', 'no', 'one');
	unlink $link;
	symlink $new->socket, $link or die;
	$redis = $new;
	my $offset = $node->log_length;
	my ($worker) = $old->cli('client', 'list') =~ /^id=(\d+) .*name=wtcache-worker /m;
	$old->cli('client', 'kill', 'id', $worker);
	ok($node->logged(qr/replay begins at/, $offset), "$name: the worker has moved");
	idle();
	my $begun = time;
	$s->query_safe('UPDATE items SET seq = 2 WHERE id = 31');
	cmp_ok(time - $begun, '<', 2, "$name: a commit does not wait for nothing");
	$s->query_safe('UPDATE items SET seq = 3 WHERE id = 32');
	like($redis->cli('get', 'items:32'), qr/"seq":3/,
		"$name: the session is with the new one then");
	unlike($old->cli('get', 'items:31'), qr/"seq":2/,
		"$name: nothing is written to the old one");
	settled($name);
	$s->quit;
}

is($node->stat('cold_starts'), '0', 'never cold');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');

done_testing;
