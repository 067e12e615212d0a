# How order is kept: a request that is executed late does nothing, a push that
# has been overtaken is left out, a key that is under way is waited for, and a
# store under a tag that is invalidated meanwhile does not stay.

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
my $node = Wtcache::Node->start_new(
	'main',
	url => $bad->url,
	conf => {
		'wtcache.push_timeout' => '60s',
		'wtcache.breaker_failures' => 0,
		'wtcache.version_memory' => '64kB'
	});

$node->safe_psql('postgres', q{
	CREATE TABLE items (id int PRIMARY KEY, v text);
	CREATE TABLE many (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('items', tags => ARRAY['all']);
	SELECT wtcache.attach('many');
	INSERT INTO items SELECT i, 'first' FROM generate_series(1, 20) i});

sub value
{
	my ($id) = @_;

	return $redis->cli('get', "items:$id") =~ /"v":"([^"]*)"/ ? $1 : '';
}

sub begin
{
	my ($v, $id, %settings) = @_;
	my $s = $node->session;

	$s->query_safe("SET $_ = '$settings{$_}'") foreach keys %settings;
	$node->begin_query($s, "UPDATE items SET v = '$v' WHERE id = $id");
	return $s;
}

sub done
{
	my ($s) = @_;

	$s->query_safe('SELECT 1');
	$s->quit;
	return;
}

sub counted
{
	my ($column, $code) = @_;
	my $before = $node->stat($column);

	$code->();
	return $node->stat($column) - $before;
}

sub token { return $redis->cli('get', 'wtcache:token'); }

is(value(1), 'first', 'at first');
like(token(), qr/^\d+ 1 \d+ \d+$/, 'the token');

# --- a request that is executed when the client has given up ------------------

{
	my $token = token();

	$bad->mode('hold', count => 1, who => 'backend');
	is(counted(
			'pushes_failed',
			sub {
				my $s = begin('late', 2, 'wtcache.push_timeout' => '300ms');

				ok($bad->wait_held, 'late: held');
				done($s);
			}), 1, 'late: given up');
	$node->safe_psql('postgres', "UPDATE items SET v = 'newer' WHERE id = 2");
	is(value(2), 'newer', 'late: another push');
	isnt(token(), $token, 'late: there is a new token');
	$bad->release;
	is(value(2), 'newer', 'late: the request does nothing');
}

# The worker makes good what was in doubt.
{
	$bad->mode('hold', count => 1, who => 'backend');
	my $s = begin('in doubt', 3, 'wtcache.push_timeout' => '300ms');
	ok($bad->wait_held, 'in doubt: held');
	done($s);
	ok($redis->poll_for([ 'get', 'items:3' ], qr/in doubt/), 'in doubt: replayed');
	$node->safe_psql('postgres', "DELETE FROM items WHERE id = 3");
	$bad->release;
	is($redis->cli('exists', 'items:3'), '0', 'in doubt: and deleted, for good');
}

# Nothing has been sent: nothing is in doubt.
{
	my $token = token();

	$bad->mode('hold', count => 1, who => 'backend');
	my $first = begin('under way', 4);
	ok($bad->wait_held, 'waiting: the key is under way');
	is(counted(
			'pushes_failed',
			sub { done(begin('waits', 4, 'wtcache.push_timeout' => '300ms')) }),
		1, 'waiting: no longer than it may');
	is(token(), $token, 'waiting: the token has stayed');
	$bad->release;
	done($first);
	ok($redis->poll_for([ 'get', 'items:4' ], qr/waits/),
		'waiting: the newer one comes by replay');
}

# --- a key that is under way -------------------------------------------------

{
	$bad->mode('hold', count => 1, who => 'backend');
	my $first = begin('one', 5);
	ok($bad->wait_held, 'under way: held');
	my $second = begin('two', 5);
	ok($node->poll_query_until('postgres',
			'SELECT in_flight = 2 FROM wtcache.status'),
		'under way: the second is committed');
	$node->safe_psql('postgres', "UPDATE items SET v = 'free' WHERE id = 6");
	is(value(6), 'free', 'under way: other keys are not waited for');
	is(value(5), 'first', 'under way: nothing has overtaken');
	$bad->release;
	done($_) foreach $first, $second;
	is(value(5), 'two', 'under way: in their order');
}

# The first one times out while another waits for it: that one sends nothing
# until there is a new token, and then its own.
{
	$bad->mode('hold', count => 1, who => 'backend');
	my $second = $node->session;
	my $first = begin('times out', 7, 'wtcache.push_timeout' => '3s');
	ok($bad->wait_held, 'handed on: held');
	$node->begin_query($second, "UPDATE items SET v = 'next' WHERE id = 7");
	ok($node->poll_query_until('postgres',
			'SELECT in_flight = 2 FROM wtcache.status'),
		'handed on: the second is committed');
	is(counted('pushes_ok', sub { done($second) }), 1, 'handed on: it gets through');
	done($first);
	is(value(7), 'next', 'handed on: to Redis');
	$bad->release;
	is(value(7), 'next', 'handed on: and stays');
}

# --- a push that has been overtaken ------------------------------------------

{
	my $held = begin('older', 8, 'wtcache.debug_hold_push' => 'on');

	$node->poll_query_until('postgres', 'SELECT in_flight = 1 FROM wtcache.status')
	  or die;
	$node->safe_psql('postgres', "UPDATE items SET v = 'younger' WHERE id = 8");
	is(value(8), 'younger', 'overtaken: the later one comes first');
	is( counted('overtaken', sub {
			$node->release_pushes or die;
			done($held);
		}), 1, 'overtaken: counted');
	is(value(8), 'younger', 'overtaken: nothing is sent');
}

# --- tags --------------------------------------------------------------------

# The invalidation is committed later, and executed earlier.
{
	my $held = begin('tagged', 9, 'wtcache.debug_hold_push' => 'on');

	$node->poll_query_until('postgres', 'SELECT in_flight = 1 FROM wtcache.status')
	  or die;
	$node->safe_psql('postgres', "SELECT wtcache.invalidate_tags('all')");
	$node->release_pushes or die;
	done($held);
	is($redis->cli('exists', 'items:9'), '0', 'tags: not stored after its invalidation');
}

# It comes while the store is under way.
{
	$bad->mode('hold', count => 1, who => 'backend');
	my $s = begin('beside', 10);
	ok($bad->wait_held, 'tags: a store is held');
	$node->safe_psql('postgres', "SELECT wtcache.invalidate_tags('all')");
	is(counted('deleted_instead', sub { $bad->release; done($s) }),
		1, 'tags: looked at once more behind the reply');
	is($redis->cli('exists', 'items:10'), '0', 'tags: and deleted');
}

# The scripts are flushed before an invalidation: it is sent again with them.
{
	$node->safe_psql('postgres', "UPDATE items SET v = 'again' WHERE id = 11");
	$redis->cli('script', 'flush');
	is( counted('pushes_ok', sub {
			$node->safe_psql('postgres', q{
				BEGIN;
				SELECT wtcache.invalidate_tags('all');
				UPDATE items SET v = 'with it' WHERE id = 12;
				COMMIT});
		}), 1, 'scripts flushed: pushed');
	is($redis->cli('exists', 'items:11'), '0', 'scripts flushed: invalidated');
	is(value(12), 'with it', 'scripts flushed: stored');
}

# --- a version table that is too small ----------------------------------------

{
	my $held = begin('forgotten', 13, 'wtcache.debug_hold_push' => 'on');

	$node->poll_query_until('postgres', 'SELECT in_flight = 1 FROM wtcache.status')
	  or die;
	$node->safe_psql('postgres', "UPDATE items SET v = 'last' WHERE id = 13");
	is(value(13), 'last', 'small table: stored');
	is( counted('deleted_instead', sub {
			$node->safe_psql('postgres',
				"INSERT INTO many SELECT i, 'x' FROM generate_series(1, 30000) i");
		}), 0, 'small table: a large transaction is stored as a whole');
	is( counted('deleted_instead', sub {
			$node->release_pushes or die;
			done($held);
		}), 1, 'small table: the late push only deletes');
	is($node->safe_psql('postgres', "SELECT wtcache.wait('60s')"), 't',
		'small table: and leaves it to the replay');
	is(value(13), 'last', 'small table: which stores what is newest');
	is($redis->cli('--raw', 'eval',
			"return #redis.call('keys', 'many:*')", 0), '30000',
		'small table: and all of the others');
}

# Redis refuses the deletion, because there is a new token by then.  Sent again, it
# is no more than that.
{
	my $held = $node->session;

	$held->query_safe('SET wtcache.debug_hold_push = on');
	$node->begin_query($held, "UPDATE many SET v = 'forgotten' WHERE id = 1");
	$node->poll_query_until('postgres', 'SELECT in_flight = 1 FROM wtcache.status')
	  or die;
	$node->safe_psql('postgres', "UPDATE many SET v = 'last' WHERE id = 1");
	$node->safe_psql('postgres', "UPDATE many SET v = 'y' WHERE id > 1");
	like($redis->cli('get', 'many:1'), qr/last/, 'refused: stored');
	$bad->mode('hold', count => 2, who => 'backend');
	$node->release_pushes or die;
	ok($bad->wait_held, 'refused: the late push is held');

	my $token = token();
	my $other = begin('in doubt', 16, 'wtcache.push_timeout' => '300ms');
	done($other);
	ok($node->poll_query_until('postgres', 'SELECT redis_open FROM wtcache.status'),
		'refused: another one was in doubt');
	isnt(token(), $token, 'refused: so there is a new token');
	is(counted('deleted_instead', sub { $bad->release; done($held) }),
		1, 'refused: the late push only deletes');
	is($node->safe_psql('postgres', "SELECT wtcache.wait('60s')"), 't',
		'refused: and leaves it to the replay');
	like($redis->cli('get', 'many:1'), qr/last/,
		'refused: which stores what is newest');
}

# A replay that backends outrun reads on, and deletes nothing for lack of an entry.
{
	$node->safe_psql('postgres', "DELETE FROM many WHERE id > 3000");
	$bad->mode('hold', who => 'worker', count => 1);
	$node->safe_psql('postgres', q{
		SET wtcache.mode = async;
		UPDATE many SET v = 'late'});
	ok($bad->wait_held, 'outrun: the replay is held');
	is( counted('deleted_instead', sub {
			$node->safe_psql('postgres', q{
				INSERT INTO many SELECT i, 'x' FROM generate_series(10001, 40000) i});
			$bad->release;
			is($node->safe_psql('postgres', "SELECT wtcache.wait('60s')"), 't',
				'outrun: replayed');
		}), 0, 'outrun: nothing is deleted for lack of an entry');
	is( $node->safe_psql('postgres', q{
			SELECT count(*) FROM wtcache.verify('many')}), '0',
		'outrun: every row is in Redis, as it is now');
}

# --- another server ----------------------------------------------------------

{
	my ($system, $timeline, $started) = split ' ', token();
	my $log = -s $node->logfile;

	# One that began earlier had it before; the worker takes it back.
	$redis->cli('set', 'wtcache:token', '42 1 1 7');
	$node->safe_psql('postgres', "UPDATE items SET v = 'mine' WHERE id = 14");
	# Replayed invalidations may take it away for a moment.
	ok($redis->poll_for([ 'get', 'items:14' ], qr/mine/),
		'a token of before: taken back');
	$node->safe_psql('postgres', "SELECT wtcache.wait('60s')");

	$redis->cli('set', 'wtcache:token', "42 1 ${started}0 7");
	is( counted('pushes_skipped', sub {
			$node->safe_psql('postgres', "UPDATE items SET v = 'theirs' WHERE id = 14");
		}), 1, 'a server that has begun later: nothing is pushed');
	is(value(14), 'mine', '... to Redis');
	ok($node->wait_for_log(
			qr/WARNING:  wtcache: another PostgreSQL server has taken Redis over/, $log),
		'... and it is said');
	like($node->status('worker_state'), qr/^standing back/, '... by the status as well');
	like($node->status('advice'), qr/take_over/, '... with advice');
	is(token(), "42 1 ${started}0 7", 'its token stays');

	is($node->safe_psql('postgres', 'SELECT wtcache.take_over()'), 't', 'taken over');
	ok($redis->poll_for([ 'get', 'wtcache:token' ], qr/^$system $timeline /),
		'there is a token of this server');
	ok($node->poll_query_until('postgres', 'SELECT redis_open FROM wtcache.status'),
		'Redis is open');
	$node->safe_psql('postgres', "UPDATE items SET v = 'ours' WHERE id = 14");
	is(value(14), 'ours', 'and is written again');
	is($node->safe_psql('postgres', 'SELECT wtcache.take_over()'),
		'f', 'nothing to take over any more');

	$redis->cli('set', 'wtcache:token', "$system 2 1 7");
	$node->safe_psql('postgres', "UPDATE items SET v = 'older timeline' WHERE id = 14");
	ok($node->wait_for_log(
			qr/WARNING:  wtcache: a server that was promoted has taken Redis over/, $log),
		'a later timeline of this system');
	is(value(14), 'ours', '... nothing is pushed');
}

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');

done_testing;
