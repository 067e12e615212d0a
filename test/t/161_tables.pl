# wtcache.stat_attachment with more tables than there is room for, and with
# tables that come and go; read and reset while it is written, and by as many
# connections as there can be.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wtcache::Node;
use Wtcache::Redis;

# As in src/shared/stats.h: tables in the place of a backend, and those for all
use constant { RECENT => 16, COMMON => 1024, TABLES => 1100 };

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new('main', url => $redis->url,
	conf => {
		'max_connections' => 12,
		'max_locks_per_transaction' => 1000,
		'autovacuum' => 'off' });
my ($writer, $other, $reader) = map { $node->session } 1 .. 3;

$writer->query_safe($_) foreach (
	'CREATE TABLE parts (id int PRIMARY KEY, v int) PARTITION BY LIST (id)',
	'DO $$ BEGIN FOR i IN 1 .. ' . TABLES . q{ LOOP
		EXECUTE format('CREATE TABLE part_%s PARTITION OF parts FOR VALUES IN (%s)', i, i);
	END LOOP; END $$},
	q{SELECT wtcache.attach('parts')});

# Operations counted, for how many tables, and those that are not counted
sub counted
{
	return $reader->query_safe(q{
		SELECT concat_ws(' ', sum(s.sets), count(*), (SELECT not_in_stat_attachment FROM wtcache.stat))
		  FROM wtcache.stat_attachment() s WHERE s.sets > 0});
}

sub number
{
	return $reader->query_safe(q{SELECT sets FROM wtcache.stat_attachment WHERE relation = 'parts'::regclass});
}

# --- too many ------------------------------------------------------------------

$writer->query_safe('SELECT wtcache.stat_reset()');
$writer->query_safe('INSERT INTO parts SELECT i, 1 FROM generate_series(1, ' . COMMON . ') i');
is(counted(), COMMON . ' ' . COMMON . ' 0', 'as many as there is room for');
$writer->query_safe('DELETE FROM parts');
$writer->query_safe('SELECT wtcache.stat_reset()');
$writer->query_safe('INSERT INTO parts SELECT i, 1 FROM generate_series(1, ' . TABLES . ') i');
my $room = RECENT + COMMON;
is(counted(), "$room $room " . (TABLES - $room), 'more than there is room for');
is(number(), $room, 'the partitioned table has all that is counted');

# Another backend has a place of its own; then all is either counted or not.
$other->query_safe('UPDATE parts SET v = 2 WHERE id <= 10');
is(counted() =~ /^(\d+) (\d+) (\d+)$/ && $1 + $3, TABLES + 10, 'another backend counts');
$other->query_safe('UPDATE parts SET v = 3');
is(counted() =~ /^(\d+) (\d+) (\d+)$/ && $1 + $3, 2 * TABLES + 10, 'nothing is lost, nothing counts twice');
cmp_ok($2, '<=', $room + RECENT, '... no more tables than there is room for');

# --- tables that are no more -----------------------------------------------------

# Their entries are used again once somebody has looked.
$writer->query_safe('DO $$ BEGIN FOR i IN 1 .. 400 LOOP
	EXECUTE format(\'DROP TABLE part_%s\', i); END LOOP; END $$');
$reader->query_safe('SELECT count(*) FROM wtcache.stat_attachment()');
my $uncounted = $node->stat('not_in_stat_attachment');
$writer->query_safe('UPDATE parts SET v = 4');
is($node->stat('not_in_stat_attachment'), $uncounted, 'there is room again');
is($reader->query_safe('SELECT count(*) FROM wtcache.stat_attachment()'), TABLES - 400,
	'... for all that are there');

# It is asked every few seconds, so it must not take the square of the tables.
my $explained = $reader->query_safe('EXPLAIN (ANALYZE, TIMING OFF) SELECT * FROM wtcache.stat_attachment');

unlike($explained, qr/SubPlan|Nested Loop.*loops=[1-9]\d\d/, 'each partition is looked up once');
cmp_ok($explained =~ /cost=[\d.]+\.\.([\d.]+) / && $1, '<', 50_000, 'a cheap query');

# --- reading while it is written ---------------------------------------------------

# More tables in turn than a backend has room for, so that each commit moves one
# out of its place.  The large one may not be missed on its way.
$writer->query_safe($_) foreach (
	q{CREATE TABLE large (id int PRIMARY KEY, v int)},
	q{SELECT wtcache.attach('large')},
	q{INSERT INTO large SELECT generate_series(1, 300)},
	q{CREATE PROCEDURE turn(times int, from_id int) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 0 .. times - 1 LOOP
			UPDATE parts SET v = i WHERE id = from_id + i % 60;
			COMMIT;
		END LOOP;
	END $$},
	q{CREATE PROCEDURE turn_with_large(times int) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. times LOOP
			UPDATE large SET v = i;
			COMMIT;
			CALL turn(16, 500);
		END LOOP;
	END $$},
	'SELECT wtcache.stat_reset()');
$node->begin_query($writer, q{CALL turn_with_large(200)});
$node->begin_query($other, q{CALL turn(2000, 600)});
my ($last, $looks, $wrong) = (0, 0, 0);
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

while ($last < 200 * 300 && time < $deadline)
{
	my $now = $reader->query_safe(q{
		SELECT coalesce(sum(sets), 0) FROM wtcache.stat_attachment() WHERE relation = 'large'::regclass});

	$wrong++ if $now < $last || $now % 300 != 0;
	$last = $now;
	$looks++;
}
cmp_ok($looks, '>', 3, 'looked while it was written');
is("$wrong $last", '0 60000', '... and what moved was counted once each time');
$_->query_safe('SELECT 1') foreach $writer, $other;
is(number(), 200 * 16 + 2000, '... for each table');

# --- resetting while it is written ---------------------------------------------------

# After a reset there is nothing that was before it.
$node->begin_query($writer, q{CALL turn(2000, 500)});
$node->begin_query($other, q{CALL turn(2000, 600)});
($looks, $wrong) = (0, 0);
while (time < $deadline)
{
	my ($writers, $sets) = split / /, $reader->query_safe(q{
		SELECT wtcache.stat_reset(); SELECT concat_ws(' ',
			(SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL turn%' AND state = 'active'),
			(SELECT sum(sets) FROM wtcache.stat_attachment))}) =~ s/^\s+//r;

	$looks++;
	# as many as two backends can commit between two statements
	$wrong++ if $sets > 1000;
	last if $writers == 0;
}
cmp_ok($looks, '>', 3, 'reset while it was written');
is($wrong, 0, '... to nothing');
$writer->query_safe('SELECT wtcache.stat_reset()');
is(counted(), '0 0', 'nothing');
$_->query_safe('UPDATE parts SET v = 5 WHERE id BETWEEN 500 AND 599') foreach $writer, $other;
is(counted(), '200 100 0', '... and on');

# --- every connection that there can be ------------------------------------------------

my @more = map { $node->session } 4 .. 12;

$reader->query_safe('SELECT wtcache.stat_reset()');
foreach my $i (1 .. 2)
{
	$_->query_safe("UPDATE parts SET v = $i WHERE id = 700") foreach @more, $writer, $other, $reader;
}
is(counted(), '24 1 0', 'each connection has a place');
is($reader->query_safe(q{
	SELECT concat_ws(' ', (SELECT pushes_ok FROM wtcache.stat), sum(pushes)) FROM wtcache.stat_latency}),
	'24 24', '... also for pushes');

$_->quit foreach $writer, $other, $reader, @more;

# --- tables that go while what is attached is read --------------------------------------

# Without locks, so that what a condition names may be gone when it is looked at.
$node->pgbench(
	'-n -c 4 -t 150', 0, [qr{processed: 600/600}], [qr/^(?!.*ERROR)/s],
	'tables that are being dropped are left out, without an error',
	{
		'161_come_and_go' => q{
			SET client_min_messages = error;
			CREATE FUNCTION positive_:client_id(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
			CREATE TABLE short_:client_id (id int PRIMARY KEY, a int);
			SELECT wtcache.attach('short_:client_id', condition => 'positive_:client_id(a)');
			DROP FUNCTION positive_:client_id(int) CASCADE;
			DROP TABLE short_:client_id;
		},
		'161_watch' => q{
			SELECT count(condition), count(definition) FROM wtcache.attachments;
			SELECT count(*) FROM wtcache.stat_attachment;
		}
	});
$node->stop;

done_testing();
