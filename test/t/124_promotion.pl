# PostgreSQL fails over, or is another one than it was: what a lost part of the
# old timeline has written goes, and what cannot be told apart makes the cache
# cold.  Of several servers that write to one Redis the others stand back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
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
		'wtcache.push_timeout' => '2s',
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

# What the primary stores from now on is noted, and the standby has the WAL from
# where a replay would begin.
sub journal_begun
{
	my ($root, $standby) = @_;

	ok($redis->poll_for('hget wtcache:position journal', qr/^\d+$/),
		'there is a journal for ' . $standby->name);
	$redis->wait_for_beat($root);
	$root->wait_for_catchup($standby, 'replay', $root->lsn('insert'));
	return;
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
		SELECT worker_state LIKE 'idle%' AND replay_from IS NULL AND uncommitted_batches = 0
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
	my ($node, $name, $reason, $offset) = @_;

	ok($node->poll_query_until('postgres',
			"SELECT cold_starts = 1 FROM wtcache.stat"),
		"$name: cold");
	like($node->status('cold_reason'), $reason, "$name: the reason");
	is($node->status('cold_at > now() - interval $$1h$$'), 't', "$name: since when");
	idle($node, $name);
	is(scalar(() = $node->log_tail($offset) =~ /the cache was emptied/g),
		1, "$name: logged once");
	is($redis->cli('get', 'foreign'), 'kept', "$name: a key of somebody else's stays");
	nothing_wrong($node, $name);
	is($redis->cli('keys', 'items:*'), '', "$name: empty");
	$node->safe_psql('postgres', 'UPDATE items SET seq = seq + 1');
	settled($node, "$name, and after that");
	return;
}

# It says that another server has taken Redis over, and that it stands back.
sub stands_back
{
	my ($node, $name, $why, $offset) = @_;

	ok($node->logged(qr/WARNING:  wtcache: $why/, $offset), "$name: it says so");
	ok($node->poll_query_until('postgres',
			"SELECT worker_state LIKE 'standing back: %' FROM wtcache.status"),
		"$name: it stands back");
	is($node->status('healthy'), 'f', "$name: not healthy");
	like($node->status('advice'), qr/wtcache\.take_over\(\)/, "$name: advice");
	return;
}

# What it commits puts nothing into Redis, waits for nothing, and is counted.
my $stray = 1000;
sub pushes_nothing
{
	my ($node, $name) = @_;
	my $token = $redis->cli('get', 'wtcache:token');
	my $skipped = $node->stat('pushes_skipped');
	my $held = Wtcache::Compare::contents($redis, 'items:*');
	my $tagged = $redis->cli('scard', 'tag:cat:stray');
	my $begun = time;

	foreach (1 .. 5)
	{
		$stray++;
		$node->safe_psql('postgres', qq{
			UPDATE items SET seq = seq + 1, cat = 'stray', v = 'lost' WHERE id IN (16, 17);
			INSERT INTO items VALUES ($stray, 1, 'stray', 'lost')});
	}
	cmp_ok(time - $begun, '<', 8, "$name: its commits do not wait");
	is($node->stat('pushes_skipped') - $skipped, 10, "$name: ... and are counted");
	is_deeply(Wtcache::Compare::contents($redis, 'items:*'), $held,
		"$name: nothing of it is in Redis");
	is($redis->cli('scard', 'tag:cat:stray'), $tagged, "$name: ... nor a tag");
	is($redis->cli('get', 'wtcache:token'), $token, "$name: the token stays");
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
	journal_begun($primary, $standby);
	# not replayed any more when the watermark has passed it
	$primary->safe_psql('postgres', "UPDATE items SET seq = 2 WHERE id > 40");
	$redis->wait_for_beat($primary);

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
	kill 'STOP', $primary->{paused} = $primary->worker_pid;
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

	nothing_wrong($standby, "$name, new writes");
	is(join(' ', map { $redis->cli('get', "items:$_") =~ /"new"/ ? $_ : () } 1, 11, 20, 101),
		'1 11 20 101', "$name: what the new primary has written is there");
	$standby->safe_psql('postgres', 'UPDATE items SET seq = seq + 1');
	settled($standby, "$name, all rows written");
	is($standby->stat('cold_starts'), '0', "$name: not cold");
}

# The old one lives on: first its worker is away, then it finds out.
{
	my $name = 'demoted';
	my $offset = $primary->log_length;
	my $not_pushed = $primary->stat('pushes_failed + pushes_skipped');
	my $begun = time;

	$primary->safe_psql('postgres',
		"INSERT INTO items VALUES (999, 1, 'stray', 'lost')");
	cmp_ok(time - $begun, '<', 15, "$name, worker away: a commit waits no longer than it may");
	is($primary->stat('pushes_failed + pushes_skipped') - $not_pushed, 1,
		"$name, worker away: counted");
	is($redis->cli('exists', 'items:999', 'tag:cat:stray'), 0,
		"$name, worker away: nothing of it is in Redis");

	$primary->resume_worker;
	stands_back($primary, $name, 'a server that was promoted has taken Redis over', $offset);
	pushes_nothing($primary, $name);
	settled($standby, "$name, the new primary");
	is($standby->stat('cold_starts'), '0', "$name: the new one is not cold");

	# A Redis of its own is one that it may write to.
	my $own = Wtcache::Redis->new;
	$primary->reconfigure('wtcache.url' => $own->url);
	ok($own->poll_for('exists items:999', 1), "$name, another Redis: it pushes");
	$primary->safe_psql('postgres', "UPDATE items SET seq = seq + 1 WHERE id = 23");
	is($own->cli('exists', 'items:23'), 1, "$name, another Redis: ... at once");
	$offset = $primary->log_length;
	$primary->reconfigure('wtcache.url' => $redis->url);
	stands_back($primary, "$name, back", 'a server that was promoted has taken Redis over',
		$offset);
	pushes_nothing($primary, "$name, back");
}

# --- and again -----------------------------------------------------------------

my $second;
{
	my $name = 'promoted again';

	$second = standby_of($standby, 'second');
	journal_begun($standby, $second);
	cut_off($standby, $second);
	$standby->safe_psql('postgres', q{
		UPDATE items SET seq = 200, v = 'lost' WHERE id <= 5;
		INSERT INTO items VALUES (201, 1, 'lost', 'lost')});
	is(lost_keys(), 6, "$name: the tail is in Redis");
	my $offset = $standby->log_length;
	$second->promote;
	ok($second->logged(qr/this server was promoted, (\d+) keys/), "$name: noticed");
	idle($second, $name);
	is(lost_keys(), 0, "$name: the phantoms are gone");
	nothing_wrong($second, $name);
	my $held_now = Wtcache::Compare::contents($redis, 'items:*');
	is(scalar(grep { $held_now->{"items:$_"} } 21 .. 50),
		30, "$name: what was not in the tail has stayed");
	is($second->stat('cold_starts'), '0', "$name: not cold");
	$second->safe_psql('postgres', 'UPDATE items SET seq = seq + 1');
	settled($second, "$name, all rows written");
	stands_back($standby, "$name, the one before",
		'a server that was promoted has taken Redis over', $offset);
	pushes_nothing($standby, "$name, the one before");
	pushes_nothing($primary, "$name, the first one");
	settled($second, "$name, in the end");
}

# --- told to take over -----------------------------------------------------------

{
	my $name = 'told to take over';
	my $offset = $primary->log_length;
	my $second_offset = $second->log_length;

	is($second->safe_psql('postgres', 'SELECT wtcache.take_over()'), 'f',
		"$name: the one that has Redis need not");
	is($primary->safe_psql('postgres', 'SELECT wtcache.take_over()'), 't', $name);
	cold($primary, $name, qr/a timeline that this server does not descend from/, $offset);
	$second->safe_psql('postgres', 'UPDATE items SET seq = seq + 1 WHERE id = 24');
	stands_back($second, "$name, the other",
		'another PostgreSQL server has taken Redis over', $second_offset);
	pushes_nothing($second, "$name, the other");
	settled($primary, "$name, in the end");

	# A start is a reason to take it; and the first one's is the lower timeline.
	$offset = $primary->log_length;
	$second_offset = $second->log_length;
	$second->restart;
	cold($second, "$name, the other restarted",
		qr/no journal of what was stored before this server was promoted/, $second_offset);
	$primary->safe_psql('postgres', 'UPDATE items SET seq = seq + 1 WHERE id = 24');
	stands_back($primary, "$name, superseded again",
		'a server that was promoted has taken Redis over', $offset);
	settled($second, "$name, the other restarted, in the end");
	$_->stop('immediate') foreach $primary, $standby;
}

# --- promoted, but Redis has no journal of the tail -----------------------------

my $third;
{
	my $name = 'no journal';

	$second->safe_psql('postgres', "UPDATE items SET seq = seq + 1, v = 'second'");
	$third = standby_of($second, 'third');
	journal_begun($second, $third);
	$second->reconfigure('wtcache.journal' => 'off');
	ok($redis->poll_for('hexists wtcache:position journal', 0), "$name: none is kept any more");
	is($redis->cli('exists', 'wtcache:journal'), 0, "$name: ... and what there was is gone");
	$redis->wait_for_beat($second);
	cut_off($second, $third);
	$second->safe_psql('postgres',
		"UPDATE items SET seq = 300, v = 'lost' WHERE id <= 5");
	is(lost_keys(), 5, "$name: the tail is in Redis");
	$second->stop('immediate');
	$third->promote;
	cold($third, $name, qr/no journal of what was stored before this server was promoted/);
	is(lost_keys(), 0, "$name: the phantoms are gone");
}

# --- another server ----------------------------------------------------------

my $other;
{
	my $name = 'another system';
	my $offset = $third->log_length;

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
	$third->safe_psql('postgres', 'UPDATE items SET seq = seq + 1 WHERE id = 24');
	stands_back($third, "$name, the one before",
		'another PostgreSQL server has taken Redis over', $offset);
	pushes_nothing($third, "$name, the one before");
	settled($other, "$name, in the end");
	$third->stop('immediate');
}

# --- an older copy of the server ----------------------------------------------

# The second time it has come past the position in Redis before it meets it.
foreach my $late (0, 1)
{
	my $name = $late ? 'an older copy that has gone on' : 'an older copy';
	my $copy = Wtcache::Node->new("copy$late");

	$other->safe_psql('postgres', q{
		DELETE FROM items WHERE id = 300;
		UPDATE items SET seq = seq + 1, v = 'again'});
	$other->stop;
	$other->backup_fs_cold("cold$late");
	$other->start;
	# the first copy has left its own values
	$other->safe_psql('postgres', 'UPDATE items SET seq = seq + 1');
	settled($other, "$name, before");
	$other->safe_psql('postgres', q{
		UPDATE items SET seq = seq + 300, v = 'lost' WHERE id <= 5;
		INSERT INTO items VALUES (300, 1, 'c', 'lost')});
	is(lost_keys(), 6, "$name: what the copy does not have is in Redis");
	$redis->wait_for_beat($other);

	my $offset = $other->log_length;
	my $position = $redis->cli('hget', 'wtcache:position', 'lsn');

	$copy->init_from_backup($other, "cold$late", standby => 0);
	$copy->append_conf('postgresql.conf', "wtcache.url = 'unix:///nowhere'") if $late;
	$copy->start;
	if ($late)
	{
		$copy->poll_query_until('postgres', q{SELECT in_flight = 0 AND worker_pid IS NOT NULL FROM wtcache.status}) or die;
		$copy->safe_psql('postgres',
			'CREATE TABLE more AS SELECT i FROM generate_series(1, 50000) i');
		cmp_ok($copy->safe_psql('postgres',
				q{SELECT pg_current_wal_insert_lsn() - '0/0'}), '>', $position,
			"$name: it has");
		$copy->reconfigure('wtcache.url' => $redis->url);
	}
	cold($copy, $name, qr/Redis is ahead of this server/);
	is(lost_keys(), 0, "$name: and what it does not know is gone");
	# The one that was copied has the same identifier and the same timeline.
	$other->safe_psql('postgres', 'UPDATE items SET seq = seq + 1 WHERE id = 7');
	stands_back($other, "$name, the newer one",
		'another PostgreSQL server has taken Redis over', $offset);
	pushes_nothing($other, "$name, the newer one");
	settled($copy, "$name, in the end");
	$copy->stop;
}
$other->stop;

foreach my $node ($primary, $standby, $second, $third, $other)
{
	unlike(slurp_file($node->logfile),
		qr/PANIC|TRAP|terminated by signal (?!9\b)/,
		'no crash: ' . $node->name);
}

done_testing;
