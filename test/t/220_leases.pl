# Readers in any language fill what is missing, by the two scripts: nothing is
# stored that is older than what was committed when it was read, whatever happens
# between reading and storing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'wtcache.lease_ttl' => '60s',
		'wtcache.journal' => 'on',
		'wtcache.connect_timeout' => '20s',
		'wtcache.push_timeout' => '20s'
	});

$node->safe_psql('postgres', q{
	CREATE TABLE item (id int PRIMARY KEY, v text, cat text);
	SELECT wtcache.attach('item', tags => ARRAY['cat:{cat}'], ttl => '10 minutes');
	CREATE TABLE hashed (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('hashed', format => 'hash');
	INSERT INTO item SELECT i, 'first', 'a' FROM generate_series(1, 40) i;
	INSERT INTO hashed VALUES (1, 'first')});

sub run { return $node->safe_psql('postgres', $_[0]); }

my %script = map {
	$_ => slurp_file("$FindBin::RealBin/../../src/redis/$_.lua")
} qw(get fill);

# What a reader does, step by step

sub get { return split /\n/, $redis->cli('eval', $script{get}, 1, $_[0]); }

sub lease
{
	my ($key) = @_;
	my ($state, $lease) = get($key);

	is($state, 'fill', "$key: a lease") or return '';
	return $lease;
}

# Value and mark of a row
sub row
{
	my ($id) = @_;

	return split /\|/,
	  run("SELECT pg_current_wal_insert_lsn(), row_to_json(item) FROM item WHERE id = $id");
}

sub fill
{
	my ($key, $lease, $mark, $tags, @value) = @_;

	return join ' ', split /\n/,
	  $redis->cli('eval', $script{fill}, 1, $key, $lease, $mark, 600000,
		scalar @$tags, 0, @$tags, @value);
}

sub reads_and_fills
{
	my ($id, $lease, @tags) = @_;

	return fill("item:$id", $lease, (row($id))[0], \@tags, (row($id))[1]);
}

sub leases_on
{
	$node->reconfigure('wtcache.leases' => 'on');
	ok($redis->poll_for('hmget wtcache:leases version closed', "1\n"), 'there are leases');
	$node->poll_query_until('postgres',
		q{SELECT redis_open AND worker_state LIKE 'idle%' FROM wtcache.status})
	  or die 'the worker has something to do';
	return;
}

# --- without leases

$redis->cli('del', 'item:1');
is_deeply([ get('item:1') ], ['off'], 'by default there are no leases');
$redis->cli('config', 'resetstat');
run(q{UPDATE item SET v = 'second' WHERE id = 1});
unlike($redis->cli('info', 'commandstats'), qr/cmdstat_(evalsha|unlink)/,
	'and no push pays for them');
is_deeply([ get('item:1') ],
	[ 'hit', '{"id":1,"v":"second","cat":"a"}' ], 'what is there is read');

# --- get and fill

leases_on();
$redis->cli('del', 'item:1');
{
	my $lease = lease('item:1');
	my ($state, undef, $ms) = get('item:1');
	my ($mark, $value) = row(1);
	my $ttl;

	is($state, 'wait', 'another reader is told to wait');
	cmp_ok($ms, '<=', 60000, 'for as long as the lease is good at most');
	cmp_ok($ms, '>', 0, 'and for some time');
	is(fill('item:1', $lease, $mark, ['tag:cat:a'], $value),
		'1 filled', 'it is filled');
	is_deeply([ get('item:1') ], [ 'hit', $value ], 'and read');
	is($redis->cli('sismember', 'tag:cat:a', 'item:1'), 1, 'under its tag');
	$ttl = $redis->cli('pttl', 'item:1');
	ok($ttl > 500000 && $ttl <= 600000, 'with its time to live');
	cmp_ok($redis->cli('pttl', 'tag:cat:a'), '>', $ttl, 'that the tag outlives');
	like($redis->cli('lrange', 'wtcache:journal', -1, -1),
		qr/^1 \d+ item:1$/, 'it is in the journal');
	is($redis->cli('lrange', 'wtcache:journal', -1, -1),
		'1 ' . run("SELECT '$mark'::pg_lsn - '0/0'") . ' item:1',
		'at the place of its mark');
	is($redis->cli('get', 'wtcache:mark:item:1'),
		run("SELECT '$mark'::pg_lsn - '0/0'"), 'which stays beside it');
	run(q{UPDATE item SET v = 'third' WHERE id = 1});
	is($redis->cli('get', 'item:1'), '{"id":1,"v":"third","cat":"a"}',
		'a later change is pushed');
	is($redis->cli('exists', 'wtcache:mark:item:1'), 0, 'and the mark is gone');
}

# The mark in decimal, where a number of Lua has too few digits
foreach my $lsn ('FFFFFFFF/FFFFFFFF', '0/1', '123456/89ABCDEF')
{
	$redis->cli('del', 'other');
	is(fill('other', lease('other'), $lsn, [], 'x'), '1 filled', "mark $lsn");
	is($redis->cli('get', 'wtcache:mark:other'),
		run("SELECT '$lsn'::pg_lsn - '0/0'"), 'is the same in decimal');
}

# Hashes
$redis->cli('del', 'hashed:1');
is(fill('hashed:1', lease('hashed:1'), '0/1', [], qw(id 1 v first)),
	'1 filled', 'a hash is filled');
is_deeply([ get('hashed:1') ], [qw(hit id 1 v first)], 'and read');
run(q{UPDATE hashed SET v = 'second'});
is_deeply([ get('hashed:1') ], [qw(hit id 1 v second)], 'and pushed');

# A tag's life is not shortened.
$redis->cli('pexpire', 'tag:cat:a', 9000000);
$redis->cli('del', 'item:1');
is(reads_and_fills(1, lease('item:1'), 'tag:cat:a'), '1 filled', 'tagged');
cmp_ok($redis->cli('pttl', 'tag:cat:a'), '>', 8000000, 'the tag lives on');

# --- there is no row

{
	my $lease = lease('item:999');

	is(fill('item:999', $lease, '0/1', []), '1 absent', 'nothing is there');
	is((get('item:999'))[0], 'absent', 'other readers are told');
	is(fill('item:999', $lease, '0/1', [], 'x'), '0 lease',
		'and it cannot be filled by that lease any more');
	run(q{INSERT INTO item VALUES (999, 'new', 'a')});
	is((get('item:999'))[0], 'hit', 'until it is there');
}

# --- given back

{
	my $lease = lease('item:998');

	is( join(' ', split /\n/, $redis->cli('eval', $script{fill}, 1, 'item:998',
				$lease, '', 0, 0, 0)),
		'1 returned', 'a lease is given back');
	lease('item:998');
}

# --- what happens between reading and filling

sub refused
{
	my ($id, $why, $what, $between, @tags) = @_;
	my ($lease, $mark, $value);

	$redis->cli('del', "item:$id");
	$lease = lease("item:$id");
	($mark, $value) = row($id);
	$between->();
	is(fill("item:$id", $lease, $mark, \@tags, $value), "0 $why", "$what: refused");
	isnt($redis->cli('get', "item:$id"), $value, "$what: nothing old is stored");
	return;
}

refused(2, 'lease', 'another commit',
	sub { run(q{UPDATE item SET v = 'newer' WHERE id = 2}) });
is($redis->cli('get', 'item:2'), '{"id":2,"v":"newer","cat":"a"}',
	'what was committed stays');
refused(3, 'lease', 'a deletion',
	sub { run(q{UPDATE item SET v = 'newer' WHERE id = 3; SELECT wtcache.delete('item:3')}) });
refused(4, 'lease', 'clear()', sub { run(q{SELECT wtcache.clear('item')}) });
refused(5, 'lease', 'TRUNCATE', sub {
	run(q{CREATE TABLE item_copy AS TABLE item; TRUNCATE item}) });
run(q{INSERT INTO item TABLE item_copy});
refused(6, 'tag', 'an invalidated tag that nothing was under',
	sub { run(q{SELECT wtcache.invalidate_tags('nowhere')}) }, 'tag:nowhere');
refused(7, 'tag', 'one of several tags',
	sub { run(q{SELECT wtcache.invalidate_tags('nowhere')}) }, 'tag:else', 'tag:nowhere');
refused(8, 'lease', 'FLUSHDB', sub {
	run(q{UPDATE item SET v = 'newer' WHERE id = 8});
	$redis->cli('flushdb');
});
leases_on();
refused(9, 'token', 'another token', sub {
	$node->reconfigure('wtcache.lease_ttl' => '50s');
	$redis->poll_for('hmget wtcache:leases ttl closed', "50000\n") or die 'no new token';
});
refused(10, 'lease', 'what the worker pushes', sub {
	run(q{SET wtcache.mode = async; UPDATE item SET v = 'newer' WHERE id = 10});
	ok($redis->poll_for('get item:10', qr/newer/), 'the worker has pushed');
	$redis->cli('del', 'item:10');
});
{
	$redis->cli('del', 'item:12');
	is(fill('item:12', lease('item:12'), '', [], 'x'), '0 mark',
		'without a mark it is refused');
}
refused(13, 'present', 'somebody has stored something',
	sub { $redis->cli('set', 'item:13', 'x') });
$redis->cli('del', 'item:13');
refused(14, 'lease', 'a lease that has expired',
	sub { $redis->cli('del', 'wtcache:lease:item:14') });

# A tag that was invalidated before the lease was given
run(q{SELECT wtcache.invalidate_tags('nowhere')});
$redis->cli('del', 'item:15');
is(reads_and_fills(15, lease('item:15'), 'tag:nowhere'), '1 filled',
	'a tag that was invalidated earlier is no reason');

# A change that was rolled back, and one of another row
{
	my $lease;

	$redis->cli('del', 'item:16');
	$lease = lease('item:16');
	run(q{BEGIN; UPDATE item SET v = 'undone' WHERE id = 16; ROLLBACK;
		UPDATE item SET v = 'newer' WHERE id = 17});
	is(reads_and_fills(16, $lease, 'tag:cat:a'), '1 filled',
		'what does not concern the key is no reason');
}

# --- a push that is late

# Two transactions have committed, and neither has pushed yet.  A reader sees the
# newer row; the older must not take its place.
{
	my @sessions = map { $node->session } 1, 2;
	my ($deleted_instead, $lease);

	$_->query_safe('SET wtcache.debug_hold_push = on') foreach @sessions;
	$deleted_instead = $node->stat('deleted_instead');
	$node->begin_query($sessions[0], q{UPDATE item SET v = 'older' WHERE id = 20});
	$node->poll_query_until('postgres',
		q{SELECT v = 'older' FROM item WHERE id = 20}) or die 'not committed';
	$node->begin_query($sessions[1], q{UPDATE item SET v = 'newer' WHERE id = 20});
	$node->poll_query_until('postgres',
		q{SELECT v = 'newer' FROM item WHERE id = 20}) or die 'not committed';
	$redis->cli('del', 'item:20');
	is(reads_and_fills(20, lease('item:20'), 'tag:cat:a'), '1 filled',
		'a row that has not been pushed is filled');
	ok($node->release_pushes, 'the pushes go on');
	$_->query_safe('SELECT 1') foreach @sessions;
	is($redis->cli('exists', 'item:20'), 0,
		'what may be older than what was filled deletes the key');
	cmp_ok($node->stat('deleted_instead'), '>', $deleted_instead, 'which is counted');
	is($redis->cli('exists', 'wtcache:mark:item:20'), 1, 'and the mark stays');
	run(q{UPDATE item SET v = 'newest' WHERE id = 20});
	like($redis->cli('get', 'item:20'), qr/newest/, 'the next change is stored');
	$_->quit foreach @sessions;
}

# --- scripts that Redis has lost, within a push

$redis->cli('script', 'flush');
run(q{UPDATE item SET v = 'after the flush' WHERE id = 21});
like($redis->cli('get', 'item:21'), qr/after the flush/,
	'a push loads the script that it needs');

# --- a server that is full, a replica

{
	my ($lease, $absent);

	$redis->cli('del', 'item:22', 'item:23');
	$lease = lease('item:22');
	$absent = lease('item:900');
	$redis->cli('config', 'set', 'maxmemory', 1);
	is_deeply([ get('item:23') ], ['off'], 'a full server gives no leases');
	is(reads_and_fills(22, $lease, 'tag:cat:a'), '0 full', 'nor is it filled');
	is(fill('item:900', $absent, '0/1', []), '0 full', 'not even with nothing');
	$redis->cli('config', 'set', 'maxmemory', 0);
	is($redis->cli('exists', 'item:22', 'wtcache:mark:item:22'), 0, 'with anything');
}

# What a full server does not store is deleted, and the lease is void.
{
	my ($lease, $mark, $value);

	$redis->cli('del', 'item:25');
	$lease = lease('item:25');
	($mark, $value) = row(25);
	$redis->cli('config', 'set', 'maxmemory', 1);
	run(q{UPDATE item SET v = 'newer' WHERE id = 25});
	$redis->cli('config', 'set', 'maxmemory', 0);
	is($redis->cli('exists', 'item:25'), 0, 'nothing is stored');
	is(fill('item:25', $lease, $mark, [], $value), '0 lease', 'nor filled');
}

# --- something else than a set in place of a tag

$redis->cli('set', 'tag:cat:wrong', 'x');
$redis->cli('del', 'item:24');
is(reads_and_fills(24, lease('item:24'), 'tag:cat:wrong'), '0 tag',
	'without its tag a value is not stored');
is($redis->cli('exists', 'item:24'), 0, 'at all');

$redis->cli('del', 'tag:cat:wrong');

# --- a user of Redis who may do no more than that

{
	my ($acl) = slurp_file("$FindBin::RealBin/../../doc/readers.md") =~
	  /^ACL SETUSER reader (.*)$/m;
	my @login = ('--no-auth-warning', '--user', 'reader', '--pass', 'secret');

	is($redis->cli('acl', 'setuser', 'reader', map({ s/KEYS/item:*/r } split / /, $acl)),
		'OK', 'the user in the manual');
	$redis->cli('del', 'item:26');
	my ($state, $lease) = split /\n/,
	  $redis->cli(@login, 'eval', $script{get}, 1, 'item:26');
	is($state, 'fill', 'gets a lease');
	my ($mark, $value) = row(26);
	is( $redis->cli(@login, 'eval', $script{fill}, 1, 'item:26', $lease, $mark,
			1000, 1, 1, 'tag:cat:a', 'item:*', $value),
		"1\nfilled", 'and fills');
	like($redis->cli(@login, 'set', 'wtcache:token', 'x'), qr/NOPERM/,
		'but is no writer of tokens');
}

# --- another server takes Redis over

{
	my ($lease, $mark, $value);
	my $other;

	$redis->cli('del', 'item:30');
	$lease = lease('item:30');
	($mark, $value) = row(30);
	$other = Wtcache::Node->start_new('other', url => $redis->url,
		conf => { 'wtcache.leases' => 'on' });
	$other->poll_query_until('postgres',
		q{SELECT worker_state LIKE 'idle%' FROM wtcache.status}) or die 'not idle';
	like(fill('item:30', $lease, $mark, [], $value), qr/^0 (lease|token)$/,
		'a lease of before is of no use');
	is($redis->cli('exists', 'item:30'), 0, 'nothing of the other server is stored');
	$other->stop;
	$node->poll_query_until('postgres',
		q{SELECT worker_state LIKE 'standing back%' FROM wtcache.status})
	  or die 'two servers write';
	is(run('SELECT wtcache.take_over()'), 't', 'Redis is taken over again');
	leases_on();
}

# --- cold: what was filled does not stay without its mark

{
	my $pushed;

	$node->reconfigure('wtcache.cold_pattern' => 'nothing:*');
	run(q{UPDATE item SET v = 'pushed' WHERE id = 31});
	$pushed = $redis->cli('get', 'item:31');
	$redis->cli('del', 'item:32');
	is(reads_and_fills(32, lease('item:32')), '1 filled', 'filled');
	$redis->cli('del', 'wtcache:position');
	$redis->cli('client', 'kill', 'type', 'normal');
	$node->poll_query_until('postgres',
		'SELECT cold_at IS NOT NULL FROM wtcache.status') or die 'not cold';
	ok($redis->poll_for('exists wtcache:mark:item:32', '0'), 'the mark is gone');
	is($redis->cli('exists', 'item:32'), 0, 'and its value');
	is($redis->cli('get', 'item:31'), $pushed, 'what was pushed is not');
	$node->reconfigure('wtcache.cold_pattern' => '*');
}

# --- leases end

leases_on();
$redis->cli('del', 'item:33');
{
	my $lease = lease('item:33');

	$node->reconfigure('wtcache.leases' => 'off');
	ok($redis->poll_for('exists wtcache:leases', '0'), 'no more leases');
	is(reads_and_fills(33, $lease), '0 token', 'nor fills by those that there were');
	is_deeply([ get('item:33') ], ['off'], 'readers are told');
}

# --- counted

is_deeply(
	[ split /\|/, run(q{SELECT filled > 0, absent, returned, refused_lease > 0,
		refused_token > 0, refused_tag, refused_mark, refused_present, refused_full,
		refused_journal FROM wtcache.stat_read}) ],
	[ 't', 0, 0, 't', 't', 1, 1, 1, 2, 0 ],
	'what is filled and refused is counted since Redis was emptied')
  or diag run('SELECT * FROM wtcache.stat_read');
run('SELECT wtcache.stat_reset()');
is(run('SELECT filled + refused_lease FROM wtcache.stat_read'), 0, 'until the reset');

done_testing();
