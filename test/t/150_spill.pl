# Transactions larger than wtcache.batch_memory go through WAL: as a whole, or
# not at all, whatever was rolled back in between.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Compare;
use Wtcache::Node;
use Wtcache::Redis;

my $rows = 1_000_000;
my $batch_memory = 16 * 1024;                 # kB
my $constant = 48 * 1024;                     # kB, with the queue of the triggers
my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'shared_buffers' => '16MB',
		'max_wal_size' => '4GB',
		'autovacuum' => 'off',
		'jit' => 'off',
		'wtcache.push_timeout' => '60s',
		# all keys fit, so that none is deleted where it should be stored
		'wtcache.version_memory' => '64MB',
		'wtcache.batch_memory' => '16MB'
	});

$node->safe_psql('postgres', q{
	CREATE TABLE item (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('item');
	CREATE TABLE tagged (id int PRIMARY KEY, tag text, v text);
	SELECT wtcache.attach('tagged', tags => ARRAY['{tag}'], invalidates => ARRAY['list:{tag}']);
	CREATE TABLE swap (id int PRIMARY KEY, k text UNIQUE DEFERRABLE INITIALLY DEFERRED, v text);
	SELECT wtcache.attach('swap', key => 'swap:{k}')});

sub run { return $node->safe_psql('postgres', $_[0]); }

sub wait_all
{
	my ($name) = @_;

	return is(run(q{SELECT wtcache.wait('120s')}), 't', "$name: all pushed");
}

# All rows are there; or at least, with cold => 1, none is wrong.
sub agrees
{
	my ($name, $table, %o) = @_;
	my ($wrong, $keys) = Wtcache::Compare::count_differences($node, $redis,
		$table, $table eq 'swap' ? 'k' : 'id', %o);

	is($wrong, 0, "$name: none of $keys keys is wrong");
	return;
}

my $s = $node->session;

$s->query_safe(q{INSERT INTO item SELECT -i, 'x' FROM generate_series(1, 100) i});

# A million rows
my $kb = $node->peak_memory($s, qq{INSERT INTO item SELECT i, 'first ' || i FROM generate_series(1, $rows) i});
cmp_ok($kb, '<=', $batch_memory + $constant, "insert: $kb kB at most");
is($redis->cli('get', "item:$rows"), qq({"id":$rows,"v":"first $rows"}),
	'insert: own write');
wait_all('insert');
agrees('insert', 'item');
cmp_ok($node->stat('spilled'), '>', $rows / 2, 'insert: spilled');
is($node->stat('pushes_failed'), 0, 'insert: no failure');

# The same row over and over, and all of them twice
$kb = $node->peak_memory(
	$s,
	'BEGIN',
	qq{UPDATE item SET v = 'second' WHERE id BETWEEN 1 AND 200000},
	qq{UPDATE item SET v = 'third' WHERE id BETWEEN 100000 AND 300000},
	qq{DELETE FROM item WHERE id BETWEEN 150000 AND 160000},
	qq{INSERT INTO item SELECT i, 'again' FROM generate_series(155000, 160000) i},
	'COMMIT');
cmp_ok($kb, '<=', $batch_memory + $constant, "twice: $kb kB at most");
wait_all('twice');
agrees('twice', 'item');

# Deleting counts as well; and comparing takes less time from here on.
$kb = $node->peak_memory($s, 'DELETE FROM item WHERE id > 260000');
cmp_ok($kb, '<=', $batch_memory + $constant, "delete: $kb kB at most");
wait_all('delete');
agrees('delete', 'item');

# Rolled back as a whole
my %before = $node->stats;
$s->query_safe(q{BEGIN; UPDATE item SET v = 'undone' WHERE id BETWEEN 1 AND 140000});
is($node->status('in_flight'), 1, 'rolled back: a mark while it runs');
$s->query_safe('ROLLBACK');
is($node->status('in_flight'), 0, 'rolled back: no mark');
wait_all('rolled back');
agrees('rolled back', 'item');
my %after = $node->stats;
is($after{rollbacks} - $before{rollbacks}, 1, 'rolled back: counted');
is($after{discarded} - $before{discarded}, 140000, 'rolled back: discarded');
is($after{replayed}, $before{replayed}, 'rolled back: nothing replayed');

# Savepoints: the spilled ones of the rolled-back are dead, others are not.
%before = %after;
$kb = $node->peak_memory(
	$s,
	'BEGIN',
	q{UPDATE item SET v = 'outer' WHERE id BETWEEN 1 AND 150000},
	'SAVEPOINT a',
	q{UPDATE item SET v = 'a undone' WHERE id BETWEEN 1 AND 200000},
	'SAVEPOINT b',
	q{UPDATE item SET v = 'b undone' WHERE id BETWEEN 1 AND 150000},
	'RELEASE b',
	q{DELETE FROM item WHERE id BETWEEN 1 AND 1000},
	'ROLLBACK TO a',
	q{UPDATE item SET v = 'a again' WHERE id BETWEEN 50001 AND 100000},
	'RELEASE a',
	'SAVEPOINT c',
	q{DELETE FROM item WHERE id BETWEEN 90001 AND 100000},
	'ROLLBACK TO c',
	q{UPDATE item SET v = 'c' WHERE id BETWEEN 95001 AND 250000},
	'COMMIT');
cmp_ok($kb, '<=', $batch_memory + $constant, "savepoints: $kb kB at most");
wait_all('savepoints');
agrees('savepoints', 'item');
%after = $node->stats;
# of what is merged with something in memory only one is counted
my $discarded = $after{discarded} - $before{discarded};
cmp_ok($discarded, '>=', 195000 + 10000, "savepoints: $discarded discarded");
cmp_ok($discarded, '<=', 195000 + 150000 + 1000 + 10000, '... and not more');

# Thousands of them, of which every third fails
$s->query_safe(q{SET wtcache.batch_memory = '64kB'});
$s->query_safe(q{DO $$ BEGIN
	FOR i IN 1 .. 3000 LOOP
		BEGIN
			UPDATE item SET v = 'loop ' || i || repeat('x', 100) WHERE id IN (i, i + 1, 3001);
			IF i % 3 = 0 THEN RAISE division_by_zero; END IF;
		EXCEPTION WHEN division_by_zero THEN NULL; END;
	END LOOP; END $$});
wait_all('loop');
agrees('loop', 'item');

# Nested deeply
$s->query_safe(q{CREATE FUNCTION deep(n int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		UPDATE item SET v = 'deep ' || n || repeat('x', 1000) WHERE id IN (n, 5000);
		IF n < 300 THEN PERFORM deep(n + 1); END IF;
		IF n = 200 THEN RAISE division_by_zero; END IF;
	EXCEPTION WHEN division_by_zero THEN
		UPDATE item SET v = 'caught ' || n WHERE id = n;
	END $$});
$s->query_safe(q{SET max_stack_depth = '7MB'; SELECT deep(1)});
wait_all('deep');
agrees('deep', 'item');

# Triggers on the same row: never the older image
$s->query_safe(q{CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		UPDATE item SET v = NEW.v || ' by trigger' WHERE id = NEW.id;
		RETURN NULL;
	END $$;
	CREATE TRIGGER again AFTER UPDATE ON item FOR EACH ROW
		WHEN (NEW.v LIKE 'trigger%' AND NEW.v NOT LIKE '%by trigger')
		EXECUTE FUNCTION again()});
$s->query_safe(q{UPDATE item SET v = 'trigger' || repeat('x', 500) WHERE id BETWEEN 1 AND 3000});
wait_all('trigger');
agrees('trigger', 'item', cold => 1);
$s->query_safe(q{DROP TRIGGER again ON item; UPDATE item SET v = 'warm' WHERE id BETWEEN 1 AND 3000});
wait_all('warm');
agrees('warm', 'item');

# Keys that are swapped
$s->query_safe(q{INSERT INTO swap SELECT i, 'k' || i, repeat('v', 300) FROM generate_series(1, 2000) i});
wait_all('swap');
agrees('swap', 'swap', cold => 1);
$s->query_safe(q{UPDATE swap SET k = 'k' || (2001 - id), v = 'swapped' || id});
wait_all('swapped');
agrees('swapped', 'swap', cold => 1);

# Tags
sub tags_agree
{
	my ($name) = @_;

	foreach my $tag (qw(red green blue))
	{
		my $in_redis = join ',', sort split /\n/,
		  $redis->cli('smembers', "tag:$tag");
		my $in_table = join ',', sort split /\n/,
		  run(qq{SELECT 'tagged:' || id FROM tagged WHERE tag = '$tag'});

		is($in_redis, $in_table, "$name: members of $tag");
	}
	wait_all($name);
	agrees($name, 'tagged');
	return;
}

$s->query_safe(q{INSERT INTO tagged SELECT i, 'red', repeat('v', 300) FROM generate_series(1, 1000) i});
wait_all('tags');
tags_agree('tags');
$redis->cli('set', "list-$_", 'x'),
  run("SELECT wtcache.set('list-$_', '1', NULL, '{list:$_}')")
  foreach qw(red green blue);
$s->query_safe(q{BEGIN;
	UPDATE tagged SET tag = 'green' WHERE id <= 500;
	UPDATE tagged SET tag = 'blue' WHERE id <= 250});
is($redis->cli('exists', 'list-red', 'list-green', 'list-blue'), 3, 'tags: not yet');
$s->query_safe('COMMIT');
wait_all('moved');
is($redis->cli('exists', 'list-red', 'list-green', 'list-blue'), 0,
	'moved: all three are invalidated');
tags_agree('moved');

# Invalidated within the transaction that stores: may be absent, not stale
$s->query_safe(q{BEGIN;
	UPDATE tagged SET v = repeat('w', 300);
	SELECT wtcache.invalidate_tags('red');
	UPDATE tagged SET v = repeat('z', 300) WHERE id > 900;
	COMMIT});
wait_all('invalidated');
agrees('invalidated', 'tagged', cold => 1);

# Redis away: committed, after a bounded time, and replayed later
$s->query_safe(q{RESET wtcache.batch_memory; SET wtcache.push_timeout = '2s'});
$redis->pause;
my $begun = time;
$s->query_safe(q{UPDATE item SET v = 'away' WHERE id BETWEEN 1 AND 300000});
cmp_ok(time - $begun, '<', 60, 'away: bounded');
$redis->resume;
wait_all('away');
agrees('away', 'item');

# Cancelled: while it runs it is rolled back
$s->query_safe(q{RESET wtcache.push_timeout});
is(run(q{SET statement_timeout = '1s'; SELECT 1}), 1, 'settings');
$node->psql('postgres', q{SET statement_timeout = '1500ms';
	UPDATE item SET v = 'cancelled'});
wait_all('cancelled');
agrees('cancelled', 'item');
is($node->status('in_flight'), 0, 'cancelled: no mark');

# A crash in the middle, and one right after the commit
$s->query_safe(q{BEGIN; UPDATE item SET v = 'crashed' WHERE id BETWEEN 1 AND 200000});
is($node->status('in_flight'), 1, 'crashed: a mark before');
$node->stop('immediate');
eval { $s->quit; };
$node->start;
wait_all('crashed');
agrees('crashed', 'item');

$node->safe_psql('postgres', q{SET wtcache.mode = async;
	UPDATE item SET v = 'then crashed' WHERE id BETWEEN 1 AND 200000});
$node->stop('immediate');
$node->start;
wait_all('committed, then crashed');
agrees('committed, then crashed', 'item');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');
done_testing();
