# R4 on the wire: pushes that overtake each other, and what the fence does when
# it cannot know.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::BadRedis;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $bad = Wtcache::BadRedis->new(upstream => $redis);
my $fence_ttl = 600;
my $node = Wtcache::Node->start_new(
	'main',
	url => $bad->url,
	conf => {
		'wtcache.push_timeout' => '60s',
		'wtcache.breaker_failures' => 0,
		'wtcache.fence_ttl' => "${fence_ttl}s"
	});

$node->safe_psql('postgres', q{
	CREATE TABLE items (id int PRIMARY KEY, v text);
	INSERT INTO items SELECT i, 'initial' FROM generate_series(1, 9) i;
	SELECT wtcache.attach('items', tags => ARRAY['all']);
	UPDATE items SET v = v});

# What the worker would replay is seen at the end.
$node->pause_worker;

my $slow = $node->session;    # its pushes are held
my $fast = $node->session;
$_->query_safe("UPDATE items SET v = 'before'") foreach $slow, $fast;

sub in_redis
{
	my ($id) = @_;
	my $json = $redis->cli('get', "items:$id");

	return $json =~ /^\{"id":$id,"v":"(.*)"\}$/ ? $1 : $json;
}

sub in_table
{
	my ($id) = @_;

	return $node->safe_psql('postgres', "SELECT v FROM items WHERE id = $id");
}

# Two ways to be overtaken after the commit: the backend is slow to send, or
# what it has sent is slow to arrive.
my %way = (
	backend => {
		hold => sub {
			my ($sql) = @_;
			$slow->query_safe('SET wtcache.debug_hold_push = on');
			$node->begin_query($slow, $sql);
			return;
		},
		release => sub {
			ok($node->release_pushes, 'released');
			$slow->query_safe('SET wtcache.debug_hold_push = off');
			return;
		}
	},
	wire => {
		hold => sub {
			my ($sql) = @_;
			$bad->mode('hold', count => 1);
			$node->begin_query($slow, $sql);
			ok($bad->wait_held, 'held');
			$bad->normal;
			return;
		},
		release => sub { $bad->release; $slow->query_safe('SELECT 1'); return; }
	});

# The slow session's statement is committed, visible and held; then the others
# do something; then it is released.
sub race
{
	my ($way, $sql, $visible, $meanwhile) = @_;

	$way{$way}{hold}->($sql);
	ok($node->poll_query_until('postgres', "SELECT $visible"),
		"$way: committed and visible");
	$meanwhile->();
	$way{$way}{release}->();
	return;
}

my $older;
sub older { return $node->stat('refused_older'); }

foreach my $way ('backend', 'wire')
{
	# Value over value
	$older = older();
	race(
		$way,
		"UPDATE items SET v = 'older' WHERE id = 1",
		"v = 'older' FROM items WHERE id = 1",
		sub {
			isnt(in_redis(1), 'older', "$way: not pushed yet");
			$fast->query_safe("UPDATE items SET v = 'newer' WHERE id = 1");
			is(in_redis(1), 'newer', "$way: the newer one is there first");
		});
	is(in_redis(1), 'newer', "$way: the newer value stays");
	is(older() - $older, 1, "$way: the older one was refused");

	# Without the fence the same race goes wrong: so it is needed.
	$slow->query_safe('SET wtcache.debug_no_fence = on');
	race(
		$way,
		"UPDATE items SET v = 'older' WHERE id = 1",
		"v = 'older' FROM items WHERE id = 1",
		sub {
			$fast->query_safe("UPDATE items SET v = 'newer' WHERE id = 1");
			is(in_redis(1), 'newer', "$way: the newer one is there first");
		});
	is(in_table(1), 'newer', "$way, no fence: the table has the newer value");
	is(in_redis(1), 'older', "$way, no fence: Redis has the older one");
	$slow->query_safe('SET wtcache.debug_no_fence = off');
	$fast->query_safe("UPDATE items SET v = 'again' WHERE id = 1");
	is(in_redis(1), 'again', "$way: with the fence all is well again");

	# A deleted row stays deleted.
	race(
		$way,
		"UPDATE items SET v = 'older' WHERE id = 2",
		"v = 'older' FROM items WHERE id = 2",
		sub {
			$fast->query_safe('DELETE FROM items WHERE id = 2');
			is($redis->cli('exists', 'items:2'), '0', "$way: deleted");
		});
	is($redis->cli('exists', 'items:2'), '0', "$way: stays deleted");
	is($redis->cli('sismember', 'tag:all', 'items:2'),
		'0', "$way: ... and without its tag");

	# A row that came back is not deleted by the older delete.
	$fast->query_safe("INSERT INTO items VALUES (2, 'back')");
	race(
		$way,
		'DELETE FROM items WHERE id = 2',
		'count(*) = 0 FROM items WHERE id = 2',
		sub {
			$fast->query_safe("INSERT INTO items VALUES (2, 'back again')");
			is(in_redis(2), 'back again', "$way: inserted again");
		});
	is(in_redis(2), 'back again', "$way: an older delete is refused");
	is($redis->cli('sismember', 'tag:all', 'items:2'),
		'1', "$way: ... and the tag stays");

	# An older value does not come back after its tag was invalidated.
	race(
		$way,
		"UPDATE items SET v = 'older' WHERE id = 3",
		"v = 'older' FROM items WHERE id = 3",
		sub { $fast->query_safe("SELECT wtcache.invalidate_tag('all')"); });
	is($redis->cli('exists', 'items:3'),
		'0', "$way: older than the invalidation of its tag");
	$fast->query_safe("UPDATE items SET v = 'newer' WHERE id = 3");
	is(in_redis(3), 'newer', "$way: newer than the invalidation");

	# Half of a transaction may be overtaken; the other half counts.
	race(
		$way,
		"UPDATE items SET v = 'older' WHERE id IN (4, 5)",
		"v = 'older' FROM items WHERE id = 4",
		sub { $fast->query_safe("UPDATE items SET v = 'newer' WHERE id = 4"); });
	is(in_redis(4), 'newer', "$way: the overtaken row");
	is(in_redis(5), 'older', "$way: the other row of the transaction");

	# --- the fence is lost while a push is under way -------------------------

	# Each half alone is a loss as well.
	foreach my $lost ([0], [1], [ 0, 1 ])
	{
		my $name = "$way: lost half @$lost";

		$fast->query_safe("UPDATE items SET v = 'stable' WHERE id = 6");
		is(in_redis(6), 'stable', $name);
		my $degraded = $node->stat('degraded');
		race(
			$way,
			"UPDATE items SET v = 'under way' WHERE id = 6",
			"v = 'under way' FROM items WHERE id = 6",
			sub { $redis->cli('del', map { "wtcache:fence:$_" } @$lost); });
		is($redis->cli('exists', 'items:6'), '0', "$name: only deletes");
		is($node->stat('degraded') - $degraded, 1, "$name: counted");
		$fast->query_safe("UPDATE items SET v = 'next' WHERE id = 6");
		is(in_redis(6), 'next', "$name: the next one stores");
	}

	# With others pushing in between, too: what they stored may be newer.
	race(
		$way,
		"UPDATE items SET v = 'older' WHERE id = 7",
		"v = 'older' FROM items WHERE id = 7",
		sub {
			$redis->cli('del', 'wtcache:fence:0', 'wtcache:fence:1');
			$fast->query_safe("UPDATE items SET v = 'other' WHERE id = 8");
			is($redis->cli('exists', 'items:8'),
				'0', "$way: created before the loss is seen, only deletes");
			$fast->query_safe("UPDATE items SET v = 'other' WHERE id = 8");
			is(in_redis(8), 'other', "$way: created after it, stores");
		});
	is($redis->cli('exists', 'items:7'),
		'0', "$way: created before the loss, only deletes");

	race(
		$way,
		"UPDATE items SET v = 'older' WHERE id = 7",
		"v = 'older' FROM items WHERE id = 7",
		sub {
			$redis->cli('del', 'wtcache:fence:0', 'wtcache:fence:1');
			$fast->query_safe("UPDATE items SET v = 'newer' WHERE id = 7");
			$fast->query_safe("UPDATE items SET v = 'newest' WHERE id = 7");
			is(in_redis(7), 'newest', "$way: stored after the loss");
		});
	is(in_redis(7), 'newest', "$way: not overwritten by the older one");
}

# --- windows -----------------------------------------------------------------

# Marks of the halves: begun at, since when the pair is whole
sub marks
{
	my ($half) = @_;
	my ($b, $s) = split /\n/,
	  $redis->cli('eval',
		q{return redis.call('hmget', KEYS[1], '\0b', '\0s')},
		1, "wtcache:fence:$half");

	return { b => $b, s => $s };
}

# As if the halves had been begun so many microseconds earlier.
sub age
{
	my ($half, $us) = @_;

	$redis->cli(
		'eval', q{
		for _, f in ipairs({'\0b', '\0s'}) do
			local v = tonumber(redis.call('hget', KEYS[1], f))
			redis.call('hset', KEYS[1], f, string.format('%.0f', v - ARGV[1]))
		end}, 1, "wtcache:fence:$half", $us);
	return;
}

sub age_both { age($_, $_[0]) foreach 0, 1; return; }
sub current { return marks(1)->{b} > marks(0)->{b} ? 1 : 0; }

sub record
{
	my ($half, $key) = @_;

	return $redis->cli('hexists', "wtcache:fence:$half", $key);
}

my $window = $fence_ttl * 1000000 + 1;

$redis->cli('del', 'wtcache:fence:0', 'wtcache:fence:1');
$fast->query_safe("UPDATE items SET v = 'x' WHERE id = 1") foreach 1, 2;
my $cur = current();
is(record($cur, 'items:1'), '1', 'the current half has the record');
is(record(1 - $cur, 'items:1'), '0', 'the other one does not');

# One window later the halves change places; the record still counts.
$older = older();
race(
	'backend',
	"UPDATE items SET v = 'older' WHERE id = 1",
	"v = 'older' FROM items WHERE id = 1",
	sub {
		$fast->query_safe("UPDATE items SET v = 'newer' WHERE id = 1");
		is(record($cur, 'items:1'), '1', 'recorded');
		age_both($window);
		$fast->query_safe("UPDATE items SET v = 'x' WHERE id = 2");
		is(in_redis(2), 'x', 'a push one window later stores');
		is(current(), 1 - $cur, 'the halves have changed places');
		is(record(1 - $cur, 'items:2'), '1', 'the record is in the new half');
		is(record($cur, 'items:1'), '1', 'the old half is kept');
	});
is(in_redis(1), 'newer', 'a record of the previous window refuses');
is(older() - $older, 1, 'counted');

# Two windows later it is forgotten ...
age_both($window);
$fast->query_safe("UPDATE items SET v = 'x' WHERE id = 3");
is(current(), $cur, 'changed places again');
is(record($cur, 'items:1'), '0', 'the record is gone');
is(record(1 - $cur, 'items:2'), '1', 'that of the previous window is not');
is(in_redis(3), 'x', 'it stores');

# ... and what was created before the previous window began only deletes.
$fast->query_safe("UPDATE items SET v = 'stored' WHERE id = 1");
race(
	'backend',
	"UPDATE items SET v = 'late' WHERE id = 1",
	"v = 'late' FROM items WHERE id = 1",
	sub {
		foreach my $half (0, 1)
		{
			# both windows begin after it was created
			$redis->cli(
				'eval', q{
				local t = redis.call('time')
				redis.call('hset', KEYS[1], '\0b', t[1] * 1000000 + t[2] + ARGV[1])},
				1, "wtcache:fence:$half", $half);
		}
	});
is($redis->cli('exists', 'items:1'),
	'0', 'more than two windows late: only deletes');

# --- everything lost ---------------------------------------------------------

$redis->cli('del', 'wtcache:fence:0', 'wtcache:fence:1');
$_->query_safe("UPDATE items SET v = 'y'") foreach $slow, $fast, $fast;
is(in_redis(9), 'y', 'before FLUSHALL');
$redis->cli('flushall');
my $degraded = $node->stat('degraded');
$fast->query_safe("UPDATE items SET v = 'first' WHERE id = 9");
is($redis->cli('exists', 'items:9'),
	'0', 'FLUSHALL under an open connection: the first push only deletes');
is($node->stat('degraded') - $degraded, 1, '... which is counted');
$fast->query_safe("UPDATE items SET v = 'second' WHERE id = 9");
is(in_redis(9), 'second', '... the second one stores');
$slow->query_safe("UPDATE items SET v = 'third' WHERE id = 9");
is(in_redis(9), 'third', '... and that of another open connection');
$redis->cli('flushall');
my $new = $node->session;
$new->query_safe("UPDATE items SET v = 'fourth' WHERE id = 9");
is(in_redis(9), 'fourth', 'FLUSHALL before a connection is made: it stores');

# --- in the end --------------------------------------------------------------

$slow->query_safe("UPDATE items SET v = v || '!'");
is(in_redis($_), in_table($_), "row $_: as in the table") foreach 1 .. 9;
is($node->stat('pushes_failed'), '0', 'no push failed');

# --- with the worker ---------------------------------------------------------

# Whatever is lost comes back: a push that finds it lost is told by the missing
# generation, and the worker replays what was written before, too.
sub as_the_table
{
	my ($name, @ids) = @_;

	ok( $redis->poll_for(
			[ 'mget', map { "items:$_" } @ids ],
			$node->safe_psql('postgres', 'SELECT row_to_json(i) FROM items i'
				  . ' WHERE id IN (' . join(',', @ids) . ') ORDER BY id')),
		$name);
	return;
}

$redis->cli('del', map { "items:$_" } 1 .. 9);
foreach my $lost (
	['wtcache:fence:0'], ['wtcache:fence:1'],
	[ 'wtcache:fence:0', 'wtcache:fence:1' ], ['everything'])
{
	my $unconfirmed = $node->stat('unconfirmed');

	$redis->cli($lost->[0] eq 'everything' ? 'flushall' : ('del', @$lost));
	$fast->query_safe("UPDATE items SET v = 'without @$lost' WHERE id = 9");
	is($node->stat('unconfirmed') - $unconfirmed,
		1, "lost @$lost: the push is not counted as good");
	$node->resume_worker;
	as_the_table("lost @$lost: replayed", 1 .. 9);
	my $ok = $node->stat('pushes_ok');
	$fast->query_safe("UPDATE items SET v = 'after @$lost' WHERE id = 9");
	is(in_redis(9), "after @$lost", "lost @$lost: the next push stores");
	is($node->stat('pushes_ok') - $ok, 1, "lost @$lost: ... and counts");
	$node->pause_worker;
}
$node->resume_worker;

# A push that is overtaken while it is under way does not come to anything by
# being replayed, either.
foreach my $way ('backend', 'wire')
{
	race(
		$way,
		"UPDATE items SET v = 'older' WHERE id = 1",
		"v = 'older' FROM items WHERE id = 1",
		sub {
			$redis->cli('del', 'wtcache:fence:0', 'wtcache:fence:1');
			$fast->query_safe("UPDATE items SET v = 'newer' WHERE id = 1");
		});
	as_the_table("$way: lost and overtaken, replayed", 1 .. 9);
	is($node->safe_psql('postgres', "SELECT wtcache.flush('60s')"),
		't', "$way: ... all of it");
	is(in_redis(1), 'newer', "$way: ... the newer one stays");
}
is($node->stat('pushes_failed'), '0', 'still no push failed');
$_->quit foreach $slow, $fast, $new;
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');

done_testing;
