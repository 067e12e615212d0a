# WAL is kept for the replay, but not for ever: when what has to be replayed is
# gone the cache is emptied, once, and works on.

use strict;
use warnings;

use File::Basename;
use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Compare;
use Wtcache::Node;
use Wtcache::Redis;

my %conf = (
	'wtcache.heal_window' => '0',
	'wtcache.connect_timeout' => '300ms',
	'wtcache.push_timeout' => '500ms',
	'wtcache.breaker_cooldown' => '500ms',
	'min_wal_size' => '32MB',
	'max_wal_size' => '64MB',
	'wal_keep_size' => '0',
	'max_prepared_transactions' => 5,
	'autovacuum' => 'off');
my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new('main', url => $redis->url, conf => \%conf);

sub make_table
{
	my ($n) = @_;

	$n->safe_psql('postgres', q{
		CREATE TABLE plain (v text);
		CREATE TABLE items (id int PRIMARY KEY, seq int, v text);
		SELECT wtcache.attach('items');
		INSERT INTO items SELECT i, 1, 'first' FROM generate_series(1, 30) i});
	return;
}

sub settled
{
	my ($name) = @_;

	is( join("\n", Wtcache::Compare::settle(
				sub { Wtcache::Compare::differences($node, $redis, 'items', 'id') })),
		'',
		"$name: Redis is as the table");
	return;
}

sub position
{
	return $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
}

# A lot of WAL: so many segments, little of which is written
sub segments
{
	my ($n) = @_;

	$node->safe_psql('postgres', 'INSERT INTO plain VALUES (1); SELECT pg_switch_wal()')
	  foreach 1 .. $n;
	return;
}

# Redis goes, and what it has then is out of date when it comes back.
my $stale = 0;
sub redis_goes
{
	$redis->wait_for_beat($node);
	$redis->cli('save') eq 'OK' or die 'could not save';
	$redis->kill9;
	$stale++;
	$node->safe_psql('postgres', qq{
		UPDATE items SET seq = seq + 1, v = 'unseen $stale' WHERE id <= 10;
		DELETE FROM items WHERE id = 10 + $stale});
	return;
}

# What a reader must not see any more
sub redis_returns
{
	$redis->start;
	unlink $redis->dir . '/dump.rdb';
	return;
}

sub cold
{
	my ($name, $before, $offset) = @_;

	ok($node->poll_query_until('postgres',
			"SELECT cold_starts = $before + 1 FROM wtcache.stat"),
		"$name: cold");
	is($node->status('cold_reason'), 'WAL that had to be replayed is gone',
		"$name: the reason");
	ok($node->poll_query_until('postgres', q{
		SELECT worker_state LIKE 'idle%' AND replay_from IS NULL FROM wtcache.status}),
		"$name: the worker is idle");
	is($redis->cli('keys', 'items:*'), '', "$name: empty");
	is($redis->cli('get', 'foreign'), 'kept', "$name: a key of somebody else's stays");
	$node->safe_psql('postgres', 'UPDATE items SET seq = seq + 1');
	settled("$name, and after that");
	$redis->wait_for_beat($node);
	is($node->stat('cold_starts'), $before + 1, "$name: once");
	is(scalar(() = $node->log_tail($offset) =~ /the cache was emptied/g),
		1, "$name: logged once");
	return;
}

$redis->cli('set', 'foreign', 'kept');
make_table($node);
settled('at first');
is($node->safe_psql('postgres', q{
	SELECT slot_type || ' ' || active FROM pg_replication_slots WHERE slot_name = 'wtcache'}),
	'physical true', 'there is a slot');

# --- all is well: WAL goes ---------------------------------------------------

{
	my $position = position();

	segments(3);
	ok($node->poll_query_until('postgres',
			"SELECT retained_from > '$position' FROM wtcache.status"),
		'WAL that is not needed is let go');
}

# A worker that has not lived for heal_window goes by the age of the segments.
{
	my $name = 'heal_window';

	$node->reconfigure('wtcache.heal_window' => '1h');
	$node->restart;
	my $position = position();
	segments(3);
	$node->restart;
	$redis->wait_for_beat($node) foreach 1, 2;
	is($node->safe_psql('postgres', "SELECT retained_from <= '$position' FROM wtcache.status"),
		't', "$name: WAL is kept");
	my $now = $node->safe_psql('postgres', 'SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
	$node->stop;
	utime time - 7200, time - 7200, $_
	  foreach grep { m{/[0-9A-F]{24}$} && basename($_) lt $now }
	  glob($node->data_dir . '/pg_wal/*');
	$node->start;
	ok($node->poll_query_until('postgres',
			"SELECT retained_from > '$position' FROM wtcache.status"),
		"$name: until it is old enough");
	$node->reconfigure('wtcache.heal_window' => '0');
}

# --- the cap -----------------------------------------------------------------

{
	my $name = 'max_wal_retained';
	my $offset = $node->log_length;

	$node->reconfigure('wtcache.max_wal_retained' => '32MB');
	redis_goes();
	my $position = position();
	segments(2);
	# within the cap
	$node->safe_psql('postgres', 'CHECKPOINT');
	is($node->safe_psql('postgres', "SELECT retained_from <= '$position' FROM wtcache.status"),
		't', "$name: WAL is kept");
	segments(5);
	ok($node->logged(qr/giving up WAL that has not been replayed/, $offset),
		"$name: reached");
	ok($node->poll_query_until('postgres',
			"SELECT retained_from > '$position' FROM wtcache.status"),
		"$name: WAL is let go");
	$node->safe_psql('postgres', 'CHECKPOINT');
	# more of it, and more beats
	segments(5);
	ok($node->poll_query_until('postgres', q{
		SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), retained_from) <= 48 * 1024 * 1024
		FROM wtcache.status}), "$name: and again");
	$node->safe_psql('postgres', 'CHECKPOINT');
	redis_returns();
	cold($name, 0, $offset);
	is(scalar(() = $node->log_tail($offset) =~ /giving up WAL/g),
		1, "$name: giving up is logged once");
	$node->reconfigure('wtcache.max_wal_retained' => '4GB');
}

# --- the slot ----------------------------------------------------------------

# Dropped, while the server ran without the library
{
	my $name = 'slot dropped';
	my $offset = $node->log_length;

	redis_goes();
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->restart;
	$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('wtcache')});
	segments(6);
	$node->safe_psql('postgres', 'CHECKPOINT') foreach 1 .. 2;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'wtcache'");
	$node->restart;
	redis_returns();
	# counters begin anew with the server
	cold($name, 0, $offset);
	is($node->safe_psql('postgres', q{
		SELECT active FROM pg_replication_slots WHERE slot_name = 'wtcache'}),
		't', "$name: there is one again");
}

# Invalidated by the server
{
	my $name = 'slot invalidated';
	my $offset = $node->log_length;

	redis_goes();
	$node->reconfigure('max_slot_wal_keep_size' => '16MB');
	segments(6);
	$node->safe_psql('postgres', 'CHECKPOINT');
	ok($node->logged(qr/the server has removed WAL that slot "wtcache" kept, making it anew/,
			$offset),
		"$name: noticed");
	redis_returns();
	cold($name, 1, $offset);
	is($node->safe_psql('postgres', q{
		SELECT active AND wal_status <> 'lost' FROM pg_replication_slots
		WHERE slot_name = 'wtcache'}),
		't', "$name: there is one again");
	$node->reconfigure('max_slot_wal_keep_size' => '-1');
}

# --- a segment that somebody has removed ---------------------------------------

{
	my $name = 'segment removed';
	my $offset = $node->log_length;
	my $starts = $node->stat('cold_starts');

	redis_goes();
	my $file = $node->safe_psql('postgres',
		'SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
	$node->safe_psql('postgres', q{
		BEGIN;
		INSERT INTO items VALUES (31, 1, 'prepared');
		PREPARE TRANSACTION 'lost'});
	# which reads its state from WAL before
	$node->safe_psql('postgres', 'CHECKPOINT');
	segments(2);
	ok(unlink($node->data_dir . "/pg_wal/$file"), "$name: it is gone");
	redis_returns();
	cold($name, $starts, $offset);

	# with what a prepared transaction has written; that holds nothing
	is($node->status('uncommitted_batches'), '1', "$name: a prepared transaction is known");
	$node->safe_psql('postgres', "SELECT wtcache.invalidate_tags('any')");
	my $position = position();
	ok($node->poll_query_until('postgres',
			"SELECT watermark >= '$position' FROM wtcache.status"),
		"$name: the watermark passes an invalidation meanwhile");
	$node->safe_psql('postgres', "ROLLBACK PREPARED 'lost'");
	ok($node->poll_query_until('postgres', 'SELECT uncommitted_batches = 0 FROM wtcache.status'),
		"$name: nothing is parked");
}

# --- a prepared transaction does not hold it ------------------------------------

foreach my $end ('COMMIT', 'ROLLBACK')
{
	my $name = "$end PREPARED";

	segments(1);
	$node->safe_psql('postgres', qq{
		BEGIN;
		UPDATE items SET seq = seq + 1, v = '$name' WHERE id IN (1, 2);
		PREPARE TRANSACTION 'long'});
	ok($node->poll_query_until('postgres', 'SELECT uncommitted_batches = 1 FROM wtcache.status'),
		"$name: parked");
	my $position = position();
	segments(6);
	ok($node->poll_query_until('postgres',
			"SELECT retained_from > '$position' AND uncommitted_batches = 1 FROM wtcache.status"),
		"$name: WAL is let go meanwhile");
	$node->safe_psql('postgres', 'CHECKPOINT') foreach 1 .. 2;
	# found again where it has been carried to
	$node->restart;
	ok($node->poll_query_until('postgres', 'SELECT uncommitted_batches = 1 FROM wtcache.status'),
		"$name: parked again after a restart");
	unlike($redis->cli('get', 'items:1'), qr/$name/, "$name: not in Redis before");
	$node->safe_psql('postgres', 'UPDATE items SET seq = seq + 1 WHERE id = 5');
	$node->safe_psql('postgres', "$end PREPARED 'long'");
	settled($name);
	is($redis->cli('get', 'items:1') =~ /$name/ ? 1 : 0,
		$end eq 'COMMIT' ? 1 : 0, "$name: what Redis has");
	ok($node->poll_query_until('postgres', 'SELECT uncommitted_batches = 0 FROM wtcache.status'),
		"$name: nothing is parked");
	is($node->stat('cold_starts'), '0', "$name: not cold");
}
$node->stop;

# --- no slot at all -----------------------------------------------------------

{
	my $name = 'wal_level minimal';
	my $main = $node;

	$redis = Wtcache::Redis->new;
	$redis->cli('set', 'foreign', 'kept');
	$node = Wtcache::Node->start_new(
		'minimal',
		url => $redis->url,
		conf => { %conf, 'wal_level' => 'minimal', 'max_wal_senders' => 0 });
	make_table($node);
	settled($name);
	like($node->log_tail, qr/WARNING:  wtcache: no replication slot to keep WAL with: wal_level is minimal/,
		"$name: a warning");
	is($node->status('retained_from'), '', "$name: status");
	redis_goes();
	redis_returns();
	settled("$name, a short outage");
	is($node->stat('cold_starts'), '0', "$name: replayed");
	my $offset = $node->log_length;
	redis_goes();
	segments(8);
	$node->safe_psql('postgres', 'CHECKPOINT') foreach 1 .. 2;
	redis_returns();
	cold($name, 0, $offset);
	$node->stop;
	$node = $main;
}

# --- nothing to keep ----------------------------------------------------------

# Redis cannot be reached, and nobody uses wtcache.
{
	my $name = 'unused';
	my $main = $node;

	$redis->kill9;
	$node = Wtcache::Node->start_new('unused', url => $redis->url, conf => \%conf);
	$node->safe_psql('postgres', 'CREATE TABLE plain (v text)');
	is($node->status('worker_state'), 'waiting for Redis', "$name: no Redis");
	foreach my $round (1 .. 2)
	{
		my $position = position();

		segments(2);
		ok($node->poll_query_until('postgres',
				"SELECT retained_from > '$position' FROM wtcache.status"),
			"$name: WAL is let go, round $round");
	}
	# As soon as there is something, it is kept.
	$node->safe_psql('postgres', 'DROP TABLE plain');
	make_table($node);
	my $position = position();
	segments(3);
	ok($node->poll_query_until('postgres',
			'SELECT lag_bytes > 32 * 1024 * 1024 FROM wtcache.status'),
		"$name: something to replay");
	is($node->safe_psql('postgres', "SELECT retained_from <= '$position' FROM wtcache.status"),
		't', "$name: ... but not when there is something to replay");
	redis_returns();
	settled("$name, then used");
	is($node->stat('cold_starts'), '0', "$name: not cold");
	$node->stop;
	unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
	$node = $main;
}

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');

done_testing;
