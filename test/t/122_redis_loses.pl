# Redis forgets writes that it had acknowledged: restarted empty or with an old
# dump, flushed, failed over to a replica that lags, demoted and promoted
# again.  The watermark that it still has says where to begin (R21 to R23).

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

# The watermark that a Redis holds, as a pg_lsn
sub watermark
{
	my ($r) = @_;
	my ($lsn) = $r->cli('get', 'wtcache:watermark') =~ /^\d+ \d{8}(\d{19}) /
	  or return '0/0';

	return sprintf '%X/%X', $lsn >> 32, $lsn & 0xffffffff;
}

sub at_or_after
{
	my ($a, $b) = @_;

	return $node->safe_psql('postgres', "SELECT '$a'::pg_lsn >= '$b'::pg_lsn") eq 't';
}

# Wait until the watermark in Redis has come to what is written by now.
sub beat
{
	my $position = position();
	my $deadline = time + $timeout;

	until (at_or_after(watermark($redis), $position))
	{
		die 'no beat' if time > $deadline;
		sleep 0.1;
	}
	return $position;
}

# Where a replay began according to the log, and why
sub replays
{
	my ($offset) = @_;

	return map { [ split /\|/ ] } map { s/\n.*?DETAIL:  /|/sr }
	  $node->log_tail($offset) =~ /replay begins at ([\dA-F\/]+\n[^\n]*DETAIL:  [^\n]*)/g;
}

work();
settled('at first');

# --- restarts ----------------------------------------------------------------

{
	my $offset = $node->log_length;

	$redis->restart;
	settled('restarted empty');
	work();
	settled('restarted empty, and after that');
	my ($replay) = replays($offset);
	is($replay->[1], 'Redis knows no position.', 'restarted empty: and so the log says');
}

{
	my $name = 'an older dump';

	work();
	settled($name);
	my $position = beat();
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
	kill 'CONT', $worker;
	settled($name);
	my ($replay) = replays($offset);
	is($replay->[1], 'Redis has been restarted or failed over since.',
		"$name: known from the watermark");
	ok(at_or_after($replay->[0], $position),
		"$name: the replay begins at the watermark in the dump");
	unlink $redis->dir . '/dump.rdb';
	work();
	settled("$name, and after that");
}

# --- flushed while it runs ---------------------------------------------------

foreach my $case (
	[ 'FLUSHALL', 'flushall' ],
	[ 'the fence deleted', 'del', 'wtcache:fence:0', 'wtcache:fence:1' ])
{
	my ($name, @command) = @$case;
	my $unconfirmed = $node->stat('unconfirmed');

	beat();    # so that it is the push that notices
	$redis->cli(@command);
	$node->safe_psql('postgres', 'UPDATE items SET seq = seq + 1 WHERE id = 31');
	cmp_ok($node->stat('unconfirmed'), '>', $unconfirmed,
		"$name: the next push does not count");
	settled($name);
}

# Nothing is pushed: the worker finds out by itself.
$redis->cli('flushall');
settled('FLUSHALL and no push');
is($node->stat('cold_starts'), '0', 'never cold');

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
	my $position = beat();
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
	$node->reconfigure('wtcache.url' => $redis->url);
	settled($name);
	my ($replay) = replays($offset);
	is($replay->[1], 'Redis has been restarted or failed over since.',
		"$name: known from the watermark");
	ok(at_or_after($replay->[0], $position),
		"$name: the replay begins at the watermark in the replica");
	work();
	settled("$name, and after that");
}

# Demoted and promoted again, on the same connection
{
	my $name = 'demoted and promoted';

	work();
	beat();
	my $other = replica_of($redis);
	$other->cli('replicaof', 'no', 'one');
	work();
	$node->safe_psql('postgres', 'DELETE FROM items WHERE id BETWEEN 56 AND 58');
	settled("$name, before");
	my $offset = $node->log_length;
	my $clients = $redis->cli('client', 'list', 'type', 'normal');
	my ($worker) = $clients =~ /^id=(\d+) .*name=wtcache /m;
	$redis->cli('replicaof', '127.0.0.1', $other->port);
	ok($redis->poll_for('info replication', qr/master_link_status:up/),
		"$name: resynchronised");
	$redis->cli('replicaof', 'no', 'one');
	settled($name);
	my ($replay) = replays($offset);
	is($replay->[1], 'Redis has been restarted or failed over since.',
		"$name: noticed");
	like($redis->cli('client', 'list', 'type', 'normal'), qr/^id=$worker /m,
		"$name: ... on the same connection");
	work();
	settled("$name, and after that");
}

# A backend is still with the old primary while the worker is with the new one:
# what the old one acknowledges does not count (R23).
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
	my $unconfirmed = $node->stat('unconfirmed');
	$lock->query_safe('SELECT pg_advisory_unlock(1)');
	$s->query_safe('SELECT 1');
	$_->quit foreach $s, $lock;
	like($old->cli('get', 'items:35'), qr/9000035/,
		"$name: the old primary has acknowledged");
	cmp_ok($node->stat('unconfirmed'), '>=', $unconfirmed + 8,
		"$name: none of it counts");
	settled($name);
	like($redis->cli('get', 'items:35'), qr/9000035/, "$name: replayed");
}

is($node->stat('cold_starts'), '0', 'never cold');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');

done_testing;
