# PostgreSQL fails over, or is another one than it was: what a lost part of the
# old timeline has written goes (R25), and what cannot be told apart makes the
# cache cold (R26).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Compare;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $primary = Wtcache::Node->start_new(
	'primary',
	url => $redis->url,
	init => { allows_streaming => 1 },
	conf => {
		'wtcache.breaker_failures' => 0,
		max_prepared_transactions => 5,
		autovacuum => 'off'
	});

# A streaming standby of a server
sub standby_of
{
	my ($root, $name) = @_;
	my $standby = Wtcache::Node->new($name);

	$root->backup("for_$name");
	$standby->init_from_backup($root, "for_$name", has_streaming => 1);
	$standby->start;
	$root->wait_for_catchup($standby, 'replay', $root->lsn('insert'));
	return $standby;
}

# From now on the standby gets nothing.
sub cut_off
{
	my ($root, $standby) = @_;

	$root->wait_for_catchup($standby, 'replay', $root->lsn('insert'));
	$standby->reconfigure('primary_conninfo' => '');
	$standby->poll_query_until('postgres',
		'SELECT count(*) = 0 FROM pg_stat_wal_receiver')
	  or die 'the standby still receives';
	return;
}

# A tag that a phantom had is not taken from its key: nobody knows it any more,
# and all that it may do is that an invalidation deletes too much.
sub differences
{
	my ($node) = @_;

	return (
		Wtcache::Compare::differences($node, $redis, 'items', 'id'),
		grep { !/^tag.*only in Redis$/ } Wtcache::Compare::tag_differences(
			$node, $redis, q{SELECT 'cat:' || cat, 'items:' || id FROM items}));
}

sub settled
{
	my ($node, $name) = @_;

	is(join("\n", Wtcache::Compare::settle(sub { differences($node) })),
		'', "$name: Redis is as the table");
	return;
}

# What Redis has need not be all, but is as the table.
sub nothing_wrong
{
	my ($node, $name) = @_;
	my @wrong = Wtcache::Compare::settle(
		sub { grep { !/Redis nothing$|only in the table$/ } differences($node) });

	is(join("\n", @wrong), '', "$name: Redis shows nothing that is not so");
	return;
}

sub idle
{
	my ($node, $name) = @_;

	ok($node->poll_query_until('postgres', q{
		SELECT worker_state LIKE 'idle%' AND replay_from IS NULL AND parked = 0
		FROM wtcache.status}), "$name: the worker is idle");
	return;
}

sub lost_keys
{
	return scalar grep { /"(?:lost|late)"/ }
	  values %{ Wtcache::Compare::contents($redis, 'items:*') };
}

# It is cold, says why, and works.
sub cold
{
	my ($node, $name, $reason) = @_;

	ok($node->poll_query_until('postgres',
			"SELECT cold_starts = 1 FROM wtcache.stat"),
		"$name: cold");
	like($node->status('cold_reason'), $reason, "$name: the reason");
	is($node->status('cold_at > now() - interval $$1h$$'), 't', "$name: since when");
	idle($node, $name);
	is(scalar(() = $node->log_tail =~ /the cache was emptied/g),
		1, "$name: logged once");
	is($redis->cli('get', 'foreign'), 'kept', "$name: a key of somebody else's stays");
	nothing_wrong($node, $name);
	is($redis->cli('keys', 'items:*'), '', "$name: empty");
	$node->safe_psql('postgres', 'UPDATE items SET seq = seq + 1');
	settled($node, "$name, and after that");
	return;
}

$redis->cli('set', 'foreign', 'kept');

# --- the lost tail -----------------------------------------------------------

my $standby;
{
	my $name = 'promoted';

	$primary->safe_psql('postgres', q{
		CREATE TABLE items (id int PRIMARY KEY, seq int, cat text, v text);
		SELECT wtcache.attach('items', tags => ARRAY['cat:{cat}']);
		INSERT INTO items SELECT i, 1, 'c' || i % 3, 'old' FROM generate_series(1, 50) i});
	settled($primary, 'primary');
	$standby = standby_of($primary, 'standby');
	is($standby->status('COALESCE(worker_pid, 0)'), '0', 'no worker on a standby');
	$redis->wait_for_beat;
	# not replayed any more when the watermark has passed it
	$primary->safe_psql('postgres', "UPDATE items SET seq = 2 WHERE id > 40");
	$redis->wait_for_beat;
	$redis->wait_for_beat;

	# Two that the standby has seen, but not their commits
	$primary->safe_psql('postgres', q{
		BEGIN; UPDATE items SET v = 'lost' WHERE id = 16; PREPARE TRANSACTION 'tail'});
	my $large = $primary->session;
	$large->query_safe(q{SET wtcache.batch_memory = '64kB'; BEGIN});
	$large->query_safe(q{UPDATE items SET v = 'lost' WHERE id IN (17, 18)});
	$large->query_safe(q{INSERT INTO items
		SELECT i, 100, 'lost', repeat('z', 30000) FROM generate_series(121, 126) i});
	is($primary->status('in_flight'), 1, "$name: messages on the way");
	cut_off($primary, $standby);
	$large->query_safe('COMMIT');
	$large->quit;
	$primary->safe_psql('postgres', q{COMMIT PREPARED 'tail'});

	# One that is committed, and on its way when the primary is lost
	my $held = $primary->session;
	$held->query_safe('SET wtcache.debug_hold_push = on');
	$primary->begin_query($held, "UPDATE items SET seq = 100, v = 'late' WHERE id = 20");
	ok($primary->poll_query_until('postgres',
			'SELECT in_flight = 1 FROM wtcache.status'),
		'a push is held');
	$primary->safe_psql('postgres', q{
		UPDATE items SET seq = 100, v = 'lost' WHERE id <= 5;
		UPDATE items SET seq = 100, cat = 'lost', v = 'lost' WHERE id BETWEEN 6 AND 10;
		DELETE FROM items WHERE id BETWEEN 11 AND 15;
		INSERT INTO items SELECT i, 100, 'lost', 'lost' FROM generate_series(101, 110) i});
	is(lost_keys(), 29, 'the tail is in Redis');
	like($redis->cli('get', 'items:121'), qr/zzz/, '... all of it');

	# The old primary is as good as dead: its worker does not beat any more.
	kill 'STOP', $primary->worker_pid;
	$standby->promote;
	ok($standby->logged(qr/this server was promoted, (\d+) keys/), "$name: noticed");
	$standby->safe_psql('postgres', q{ROLLBACK PREPARED 'tail'});
	idle($standby, $name);
	is(lost_keys(), 0, "$name: the phantoms are gone");
	nothing_wrong($standby, $name);
	my $held_now = Wtcache::Compare::contents($redis, 'items:*');
	is(scalar(grep { $held_now->{"items:$_"} } 21 .. 50),
		30, "$name: what was not in the tail has stayed");

	# Newer than anything of the old timeline
	$standby->safe_psql('postgres', q{
		UPDATE items SET seq = 3, v = 'new' WHERE id IN (1, 11, 20);
		INSERT INTO items VALUES (101, 3, 'c1', 'new')});
	like($redis->cli('get', 'items:20'), qr/"new"/, "$name: a write gets through");
	ok($primary->release_pushes, "$name: a late push of the old primary");
	$held->query_safe('SELECT 1');
	like($redis->cli('get', 'items:20'), qr/"new"/, "$name: ... does not win");
	eval { $held->quit };
	$primary->stop('immediate');

	nothing_wrong($standby, "$name, new writes");
	is(join(' ', map { $redis->cli('get', "items:$_") =~ /"new"/ ? $_ : () } 1, 11, 20, 101),
		'1 11 20 101', "$name: what the new primary has written is there");
	$standby->safe_psql('postgres', 'UPDATE items SET seq = seq + 1');
	settled($standby, "$name, all rows written");
	is($standby->stat('cold_starts'), '0', "$name: not cold");
}

# --- promoted, but Redis has no record of the tail ----------------------------

my $second;
{
	my $name = 'no record';

	$second = standby_of($standby, 'second');
	$redis->wait_for_beat;
	cut_off($standby, $second);
	$standby->safe_psql('postgres',
		"UPDATE items SET seq = 200, v = 'lost' WHERE id <= 5");
	is(lost_keys(), 5, "$name: the tail is in Redis");
	$standby->stop('immediate');
	$redis->cli('del', 'wtcache:positions');
	$second->promote;
	cold($second, $name, qr/no record of what was written before this server was promoted/);
	is(lost_keys(), 0, "$name: the phantoms are gone");
	$second->stop;
}

# --- another server ----------------------------------------------------------

my $other;
{
	my $name = 'another system';

	cmp_ok(scalar(keys %{ Wtcache::Compare::contents($redis, 'items:*') }),
		'>', 40, "$name: Redis is full");
	$other = Wtcache::Node->start_new(
		'other',
		url => $redis->url,
		conf => { 'autovacuum' => 'off' });
	$other->safe_psql('postgres', 'CREATE TABLE items (id int PRIMARY KEY, seq int, cat text, v text)');
	ok($other->poll_query_until('postgres', 'SELECT cold_starts = 1 FROM wtcache.stat'),
		"$name: noticed");
	$other->safe_psql('postgres', q{
		INSERT INTO items SELECT i, 1, 'c', 'other' FROM generate_series(1, 20) i;
		SELECT wtcache.attach('items', tags => ARRAY['cat:{cat}'])});
	cold($other, $name, qr/another PostgreSQL server/);
}

# --- an older copy of the server ----------------------------------------------

{
	my $name = 'an older copy';
	my $copy = Wtcache::Node->new('copy');

	$other->stop;
	$other->backup_fs_cold('cold');
	$other->start;
	$other->safe_psql('postgres', q{
		UPDATE items SET seq = 300, v = 'lost' WHERE id <= 5;
		INSERT INTO items VALUES (300, 1, 'c', 'lost')});
	is(lost_keys(), 6, "$name: what the copy does not have is in Redis");
	$redis->wait_for_beat;
	$redis->wait_for_beat;
	$other->stop;
	$copy->init_from_backup($other, 'cold', standby => 0);
	$copy->start;
	cold($copy, $name, qr/Redis is ahead of this server/);
	is(lost_keys(), 0, "$name: and what it does not know is gone");
	$copy->stop;
}

foreach my $node ($primary, $standby, $second, $other)
{
	unlike(slurp_file($node->logfile),
		qr/PANIC|TRAP|terminated by signal (?!9\b)/,
		'no crash: ' . $node->name);
}

done_testing;
