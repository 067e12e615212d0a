# Tags go by the order of the commits: an invalidation reaches what was
# committed before it, and nothing that was committed after it, however long
# before the commit the messages were written, and whoever pushes.

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
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		max_prepared_transactions => 10,
		'wtcache.push_timeout' => '10s',
		'wtcache.heal_window' => '1h'
	});

# All that is in Redis was written after this.
my $first = $node->safe_psql('postgres',
	q{SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn});

$node->safe_psql('postgres', q{
	CREATE TABLE item (id int PRIMARY KEY, v text, tag text);
	SELECT wtcache.attach('item', tags => ARRAY['{tag}']);
	INSERT INTO item SELECT i, 'initial', 'plain' FROM generate_series(1, 50) i});

sub run { return $node->safe_psql('postgres', $_[0]); }

sub prepare
{
	my ($gid, $sql) = @_;

	return run("BEGIN; $sql; PREPARE TRANSACTION '$gid'");
}

sub wait_all
{
	my ($name) = @_;

	return is(run(q{SELECT wtcache.wait('60s')}), 't', "$name: all pushed");
}

sub store
{
	my ($key, $tag) = @_;

	return run(qq{SELECT wtcache.set('$key', '"made"', NULL, ARRAY['$tag'])});
}

# Which of these keys are there
sub there
{
	my @keys = @_;

	return join(' ', grep { $redis->cli('exists', $_) == 1 } @keys);
}

# Everything is pushed by the worker again, in all ways there are: to a Redis that
# has lost all keys and tells of the position at which there were none, and to
# one that has them.
sub again
{
	my ($name, $expected, @keys) = @_;
	my $offset = $node->log_length;

	is(there(@keys), $expected, "$name: at once");
	$redis->lose_since($first);
	ok($node->logged(qr/replay begins at/, $offset), "$name: noticed");
	wait_all($name);
	is(there(@keys), $expected, "$name: given again to a Redis that has lost all");
	$node->stop('immediate');
	$node->start;
	wait_all("$name, after a crash");
	is(there(@keys), $expected, "$name: after a crash");
	return;
}

# --- an invalidation that is committed long after its message ---------------

store('before', 'late');
prepare('late', q{SELECT wtcache.invalidate_tags('late')});
store('between', 'late');
is(there('before', 'between'), 'before between', 'late: not yet');
run(q{COMMIT PREPARED 'late'});
store('after', 'late');
again('late', 'after', qw(before between after));

# What it has settled is not undone by a replay after a crash: as long as a push is
# under way that may be older than its commit, its message is read again.
{
	my $name = 'settled';
	my $held = $node->session;

	prepare($name, qq{SELECT wtcache.invalidate_tags('$name')});
	my $position = run('SELECT pg_current_wal_insert_lsn()');
	$held->query_safe('SET wtcache.debug_hold_push = on');
	$node->begin_query($held,
		q{UPDATE item SET v = 'held' WHERE id = 1});
	$node->poll_query_until('postgres',
		q{SELECT v = 'held' FROM item WHERE id = 1}) or die;
	store("$name $_", $name) foreach 1, 2;
	run("COMMIT PREPARED '$name'");
	is(there("$name 1", "$name 2"), '', "$name: at once");
	ok($node->poll_query_until('postgres', 'SELECT uncommitted_batches = 0 FROM wtcache.status'),
		"$name: the worker is through with it");
	is(run("SELECT watermark < '$position' FROM wtcache.status"), 't',
		"$name: its message would be read again");
	$node->stop('immediate');
	$node->start;
	wait_all($name);
	like($redis->cli('get', 'item:1'), qr/held/, "$name: there was a replay");
	is(there("$name 1", "$name 2"), '', "$name: after the replay");
	eval { $held->quit };
}

# --- an image that is committed long after its message ----------------------

run(q{UPDATE item SET tag = 'image' WHERE id BETWEEN 2 AND 5});
prepare('image', q{UPDATE item SET v = 'image' WHERE id = 2});
run(q{SELECT wtcache.invalidate_tags('image')});
is(there(map { "item:$_" } 2 .. 5), '', 'image: all are out');
run(q{COMMIT PREPARED 'image'});
again('image', 'item:2', map { "item:$_" } 2 .. 5);

# Both, in either order of their messages
foreach my $case (
	[ 'image first', 'image', 'item:10' ],
	[ 'invalidation first', 'invalidation', 'item:10' ])
{
	my ($name, $first) = @$case;
	my %sql = (
		image => qq{UPDATE item SET v = '$name' WHERE id = 10},
		invalidation => q{SELECT wtcache.invalidate_tags('both')});

	run(q{UPDATE item SET tag = 'both' WHERE id IN (10, 11)});
	prepare($_, $sql{$_})
	  foreach sort { ($b eq $first) <=> ($a eq $first) } keys %sql;
	run(q{COMMIT PREPARED 'invalidation'});
	run(q{COMMIT PREPARED 'image'});
	again("$name, committed last", 'item:10', qw(item:10 item:11));

	run(q{UPDATE item SET tag = 'both' WHERE id IN (10, 11)});
	prepare($_, $sql{$_})
	  foreach sort { ($b eq $first) <=> ($a eq $first) } keys %sql;
	run(q{COMMIT PREPARED 'image'});
	run(q{COMMIT PREPARED 'invalidation'});
	again("$name, committed first", '', qw(item:10 item:11));
}

# --- a large transaction ------------------------------------------------------

# Its messages are written on the way.  Its own images stay, wherever among
# them it invalidates their tag.
{
	my $name = 'large';
	my $s = $node->session;
	my @keys = map { "item:$_" } 20 .. 29;

	run(qq{UPDATE item SET tag = '$name' WHERE id BETWEEN 20 AND 40});
	$s->query_safe(q{SET wtcache.batch_memory = '64kB'; BEGIN});
	$s->query_safe(
		q{UPDATE item SET v = repeat('x', 30000) WHERE id BETWEEN 20 AND 24});
	$s->query_safe(qq{SELECT wtcache.invalidate_tags('$name')});
	$s->query_safe(
		q{UPDATE item SET v = repeat('y', 30000) WHERE id BETWEEN 25 AND 29});
	cmp_ok($node->status('in_flight'), '>', 0, "$name: written on the way");
	store("$name between", $name);
	$s->query_safe('COMMIT');
	again($name, "@keys", @keys, map({ "item:$_" } 30 .. 40), "$name between");
	$s->quit;
}

# The connection breaks when half of it has been given again.
{
	my $name = 'half';
	my $rows = 12000;
	my $found = $rows;

	run(q{CREATE TABLE many (id int PRIMARY KEY, v text, tag text);
		SELECT wtcache.attach('many', tags => '{"many {tag}"}')});
	foreach my $attempt (1 .. 5)
	{
		my $s = $node->session;

		run(q{TRUNCATE many});
		$s->query_safe(q{SET wtcache.batch_memory = '1MB'; BEGIN});
		$s->query_safe(qq{INSERT INTO many
			SELECT i, repeat('x', 2000), i / 100 FROM generate_series(1, $rows) i});
		$s->query_safe(q{SELECT wtcache.invalidate_tags('many ' || i)
			FROM generate_series(0, 200) i});
		$node->begin_query($s, 'COMMIT');
		do { $found = $redis->cli('dbsize') } until $found > $rows / 6;
		$redis->cli(qw(client kill type normal));
		$s->query_safe('SELECT 1');
		$s->quit;
		last if $found < $rows * 5 / 6;
	}
	cmp_ok($found, '<', $rows * 5 / 6, "$name: broken in the middle");
	wait_all($name);
	is_deeply([ Wtcache::Compare::differences($node, $redis, 'many', 'id') ],
		[], "$name: all of its images are there");
	run(q{TRUNCATE many});
}

# --- a commit in a subtransaction's name --------------------------------------

store('sub before', 'sub');
prepare('sub', q{SAVEPOINT a; SELECT wtcache.invalidate_tags('sub');
	UPDATE item SET v = 'sub' WHERE id = 45; RELEASE a});
store('sub between', 'sub');
run(q{COMMIT PREPARED 'sub'});
again('sub', 'item:45', 'sub before', 'sub between', 'item:45');

# --- Redis is away when they are committed ------------------------------------

# What lies far behind in WAL is written again as long as it is not committed.
{
	my $name = 'away';

	run(q{UPDATE item SET tag = 'away' WHERE id = 46});
	prepare('image', q{UPDATE item SET v = 'away' WHERE id = 46});
	prepare('invalidation', q{SELECT wtcache.invalidate_tags('inv')});
	prepare('open', q{SELECT wtcache.set('open', to_jsonb(repeat('z', 200000)))});
	run(q{SELECT wtcache.invalidate_tags('away')});
	ok($node->poll_query_until('postgres', q{SELECT uncommitted_batches = 3 FROM wtcache.status}),
		"$name: all are parked");
	$node->reconfigure('wtcache.push_timeout' => '500ms');
	$redis->pause;
	run(q{COMMIT PREPARED 'image'});
	run(q{COMMIT PREPARED 'invalidation'});
	store('later', 'inv');
	run(q{SELECT count(pg_logical_emit_message(false, 'junk', repeat('z', 1000000)))
		FROM generate_series(1, 100)});
	my $position = run('SELECT pg_current_wal_insert_lsn()');
	ok($node->poll_query_until('postgres',
			"SELECT pg_current_wal_insert_lsn() - '$position' > 200000"),
		"$name: what is open is written again");
	$redis->resume;
	wait_all($name);
	is(there('item:46', 'later'), 'item:46 later',
		"$name: both were committed after the invalidations");
	run(q{ROLLBACK PREPARED 'open'});
	$node->reconfigure('wtcache.push_timeout' => '10s');
}

# --- Redis loses all it had while a push is under way --------------------------

# A replay begins before that push, and before the message of an invalidation
# that was committed after it.
{
	my $name = 'lost';
	my $held = $node->session;

	$node->reconfigure('wtcache.heal_window' => '0');
	prepare($name, qq{SELECT wtcache.invalidate_tags('$name')});
	run('SELECT pg_switch_wal()');
	my $position = run('SELECT pg_current_wal_insert_lsn()');
	run(q{UPDATE item SET v = 'lost' WHERE id = 47});
	$held->query_safe('SET wtcache.debug_hold_push = on');
	$node->begin_query($held,
		qq{SELECT wtcache.set('$name', '"made"', NULL, ARRAY['$name'])});
	ok($node->poll_query_until('postgres', q{SELECT in_flight = 1 FROM wtcache.status}),
		"$name: a push is held");
	run("COMMIT PREPARED '$name'");
	ok($node->poll_query_until('postgres', 'SELECT uncommitted_batches = 0 FROM wtcache.status'),
		"$name: the worker is through with the invalidation");
	is( run("SELECT watermark < '$position' AND in_flight = 1 FROM wtcache.status"), 't',
		"$name: its message would be read again");
	run(q{UPDATE item SET v = 'lost' WHERE id = 48});
	$redis->restart;
	ok($redis->poll_for('exists item:48', 1), "$name: what was committed later is there");
	is(there($name), '', "$name: not given again");
	ok($node->release_pushes, "$name: the push goes on");
	$held->query_safe('SELECT 1');
	wait_all($name);
	is(there($name), '', "$name: nor by that push");
	$held->quit;
	ok($node->poll_query_until('postgres',
			"SELECT watermark > '$position' AND retained_from > '$position'"
			  . ' FROM wtcache.status'),
		"$name: in the end it need not be read any more");
}

run(q{UPDATE item SET v = 'last'});
wait_all('at the end');
is_deeply([ Wtcache::Compare::differences($node, $redis, 'item', 'id') ],
	[], 'Redis agrees with the table');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');
done_testing();
